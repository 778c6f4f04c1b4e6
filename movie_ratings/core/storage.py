"""Files in and out: whole or not at all, and named in every complaint."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import STORE


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write a file or a folder to; rename it when the block ends well.

    A crash at any moment leaves either the old ``path`` or the new one, never half of one. Leftovers of an earlier
    crash are removed first: the caller holds the lock on ``path``, so nobody else is writing them.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    remove(temporary)
    try:
        yield temporary
        for place in [*(temporary.rglob("*") if temporary.is_dir() else ()), temporary]:
            _flush(place)
        if path.is_dir():
            remove(path)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        remove(temporary)


@contextlib.contextmanager
def scratch(path: str | Path) -> Iterator[Path]:
    """Give an empty folder beside ``path`` for what only this block needs; what a crash left of an earlier one goes."""
    folder = Path(path).with_name(f".{Path(path).name}.scratch")
    remove(folder)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove(folder)


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
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the stage before this one (`dvc repro` runs all)") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


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
