"""Files in and out: whole or not at all, and named in every complaint."""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import STORE

# Why a disk does not take what is written, by what a library's error holds. Only torch does not give the reason.
REFUSED: Final = {
    **{os.strerror(code): os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)},
    "PytorchStreamWriter failed writing": "cannot be written; the disk may be full",
    "unexpected pos": "cannot be written; the disk may be full",  # torch, too, as it closes such a file
}


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write a file or a folder to; move it to ``path`` when the block ends.

    A crash at any moment leaves either the old ``path`` or the new one, complete. Leftovers of an earlier crash are
    removed first: the caller holds the lock on ``path``, so no other process writes them.

    Raises:
        UserError: ``path`` is a folder and the block wrote a file, or the other way round; or the disk does not take
            what the block writes. ``path`` stays as it is.
    """
    path = Path(path)
    with writing(path):
        yield from _whole(path)


def _whole(path: Path) -> Iterator[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = (path.with_name(f".{path.name}.{kind}") for kind in ("tmp", "old.tmp"))
    if aside.exists() and not path.exists():
        aside.rename(path)  # a crash came between the two renames of `_replace_folder`
    remove(temporary)
    remove(aside)
    try:
        yield temporary
        for place in [*(temporary.rglob("*") if temporary.is_dir() else ()), temporary]:
            _flush(place)
        if temporary.is_dir() and path.exists() and not path.is_dir():
            raise UserError(f"{path}: a file of this name exists; a folder does not replace it")
        if not temporary.is_dir():
            require_no_folder(path)
        if path.is_dir():
            _replace_folder(temporary, path, aside)
        else:
            temporary.replace(path)
        _flush(path.parent)
    finally:
        remove(temporary)
        remove(aside)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Name ``path`` where the disk does not take what this block writes.

    Raises:
        UserError: the disk is full, or read-only, or a limit on the size of files or on the space of a user is reached.
    """
    try:
        yield
    except UserError:
        raise
    # Each library has an error of its own for this, few of which name the file.
    except Exception as error:
        cause = next((cause for sign, cause in REFUSED.items() if sign in str(error)), None)
        if cause is None:
            raise
        raise UserError(f"{path}: {cause}") from None


def _replace_folder(new: Path, old: Path, aside: Path) -> None:
    """Move the folder ``new`` to the name ``old``; what stood there stands at ``new`` or ``aside`` afterwards."""
    if not _exchange(new, old):
        old.rename(aside)
        new.rename(old)


def _exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step; False where the system or the file system cannot."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):  # not Linux, or a C library without it
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(swap(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def require_no_folder(path: Path) -> None:
    """Check that a file may be written to ``path``; a command calls this before its work, and `whole` after it.

    Raises:
        UserError: ``path`` is a folder.
    """
    if path.is_dir():
        raise UserError(f"{path}: a folder of this name exists; a file does not replace it")


def require_own(folder: Path, names: Collection[str]) -> None:
    """Check that a folder may be replaced: it does not exist, or holds nothing but files with these names.

    Raises:
        UserError: the folder holds something else, which is named.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: not a folder")
    others = sorted(path.name for path in folder.iterdir() if path.name not in names) if folder.is_dir() else []
    if others:
        raise UserError(f"{folder}: holds {others[0]!r}, which this command did not write; give another folder")


@contextlib.contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` for what only this block needs; what a crash left of an earlier one goes."""
    folder = Path(path).with_name(f".{Path(path).name}.scratch")
    with writing(path):
        remove(folder)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove(folder)


def reserve(path: Path, size: int) -> None:
    """Take ``size`` bytes of the disk for the file ``path``, which is made if it is missing.

    Some libraries do not check what they write, and a write through a memory map to a full disk kills the process.

    Raises:
        OSError: the disk, or what a quota leaves of it, is too full.
    """
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        elif size > shutil.disk_usage(path.parent).free:  # macOS
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def require_room(path: Path, size: int) -> None:
    """Check that ``size`` bytes can be written beside ``path``.

    Raises:
        UserError: the disk, or what a quota leaves of it, is too full.
    """
    with scratch(path) as folder:
        reserve(folder / "room", size)


def remove(path: Path) -> None:
    """Delete a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all; NaN is refused, since JSON has none."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or is not JSON, which knows neither NaN nor infinity.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_no_number)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage before this one (`dvc repro` runs all)") from None
    # A RecursionError: a million brackets, which no JSON file of this project has.
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({first_line(error)})") from None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def store() -> Path:
    """The folder of what is worth keeping between runs (downloads): outside every DVC output.

    ``MOVIE_RATINGS_STORE`` moves it, for queued experiments, which run in a copy of the repository.
    """
    return Path(os.environ.get("MOVIE_RATINGS_STORE", STORE))


def _flush(path: Path) -> None:
    """Ask the operating system to put a file, or a folder's list of names, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
