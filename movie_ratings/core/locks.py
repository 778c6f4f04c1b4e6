"""Locks between processes; the operating system frees a lock however the process that holds it ends."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import filelock

from movie_ratings.core import paths
from movie_ratings.core.errors import UserError

LOCKS = Path(paths.LOCKS)


@contextlib.contextmanager
def lock_outputs(outputs: Sequence[str]) -> Iterator[None]:
    """Hold an exclusive lock on each output of a stage.

    Raises:
        UserError: another process holds one of them.
    """
    with contextlib.ExitStack() as stack:
        for output in sorted(outputs):
            LOCKS.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(LOCKS / f"{output.replace('/', '-')}.lock")
            try:
                stack.enter_context(lock.acquire(blocking=False))
            except filelock.Timeout:
                raise UserError(
                    f"{output}: another process is writing it (perhaps left behind by a killed dvc); "
                    "wait for it to finish or stop it, then run again"
                ) from None
        yield


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that several processes may make, such as a download; wait where another one holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        print(f"{path}: waiting for another process that writes it", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
