"""The folder of the log: lines that are being written, and Parquet parts that are complete.

Rows are appended to an open file of JSON lines, so that a process that is killed loses none that were written. When
the open file is large or old enough, it becomes a Parquet part, which gets its name once it is complete. The oldest
parts are removed when all of them would take more than their limit.
"""

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

import filelock
import pyarrow as pa
import pyarrow.json as pa_json

from movie_ratings.core import parquet, storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.log.schemas import SCHEMAS

SALT: Final = "salt"
OPEN: Final = ".open.jsonl"
PART: Final = ".parquet"
KEY_BYTES: Final = 32
CHUNK: Final = 1_000  # rows that are in memory at once
OLDEST: Final = 3_600.0  # seconds after which an open file becomes a part, if it has rows
LARGEST: Final = 4 << 20  # bytes of an open file: a larger one would take more memory when it becomes a part


def lock(folder: Path) -> filelock.BaseFileLock:
    """Make the folder if it is missing, and lock it: one process writes a log. Others may read it.

    Raises:
        UserError: another process writes to it, or the path is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: not a folder")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = filelock.FileLock(folder / ".lock")
    try:
        found.acquire(blocking=False)
    except filelock.Timeout:
        raise UserError(f"{folder}: another process writes this log; give another folder") from None
    return found


def key(folder: Path) -> bytes:
    """The key of the hashes and ids of the log, made when the folder has none. Only the owner may read it.

    Raises:
        UserError: the file holds no key.
    """
    path = folder / SALT
    if not path.exists():
        with storage.whole(path) as temporary:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
    try:
        found = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, UnicodeDecodeError):
        found = b""
    if len(found) != KEY_BYTES:
        raise UserError(
            f"{path}: not {2 * KEY_BYTES} hexadecimal digits; put the right file back, or remove the folder"
        )
    return found


class Parts:
    """The rows of one kind, ``predictions`` or ``feedback``; the caller holds the `lock`.

    ``limit`` is the number of bytes that all files of the kind may take. What a killed process left is made a part, or
    removed if it already is one.
    """

    def __init__(self, folder: Path, kind: str, limit: int):
        self._folder, self._kind, self._limit, self._schema = folder, kind, limit, SCHEMAS[kind]
        self._largest = min(LARGEST, limit // 8)
        self._file: BinaryIO | None = None
        self._path = folder
        self._size, self._since = 0, 0.0
        for leftover in folder.glob(f".{kind}-*.tmp"):
            storage.remove(leftover)
        for path in open_files(folder, kind):
            self._complete(path)

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows; they are readable when this returns.

        Raises:
            OSError: the disk does not take them.
        """
        lines: list[bytes] = []
        for row in rows:
            lines.append(json.dumps(row, separators=(",", ":")).encode() + b"\n")
        for line in _joined(lines, self._largest):
            self._write(line)
            if self._size >= self._largest:
                self.rotate()

    def rotate_if_old(self) -> None:
        """Make a part of the open file if it is old enough.

        Raises:
            OSError, UserError: as `rotate`.
        """
        if self._file and time.monotonic() - self._since > OLDEST:
            self.rotate()

    def rotate(self) -> None:
        """Make a part of the open file, and remove the oldest parts that are too much.

        Raises:
            OSError, UserError: the disk does not take it; the open file stays.
        """
        if self._file:
            self._file.close()
            self._file = None
            self._complete(self._path)

    def _write(self, content: bytes) -> None:
        if self._file is None:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
            self._path = self._folder / f"{self._kind}-{stamp}{OPEN}"
            self._file = self._path.open("xb", buffering=0)
            self._size, self._since = 0, time.monotonic()
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._size += len(content)

    def _complete(self, path: Path) -> None:
        part = path.with_name(path.name.removesuffix(OPEN) + PART)
        # A part that exists is complete: the process was killed before it removed the lines.
        if not part.exists():
            batches = as_batches(read_lines(path), self._schema)
            if any(True for _ in read_lines(path)):
                try:
                    parquet.write_batches(part, batches, self._schema)
                except pa.ArrowInvalid as error:
                    raise UserError(f"{path}: not lines of this log ({first_line(error)}); remove the file") from None
        path.unlink()
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        sizes = {path: path.stat().st_size for path in part_files(self._folder, self._kind)}
        # Beside the parts, there are an open file and the part that it becomes.
        too_much = sum(sizes.values()) - (self._limit - 2 * self._largest)
        for path, size in sorted(sizes.items()):
            if too_much <= 0:
                break
            path.unlink()
            too_much -= size


def open_files(folder: Path, kind: str) -> list[Path]:
    """The files of lines of a kind, the oldest first."""
    return _named(folder, kind, OPEN)


def part_files(folder: Path, kind: str) -> list[Path]:
    """The complete parts of a kind, the oldest first."""
    return _named(folder, kind, PART)


def _named(folder: Path, kind: str, suffix: str) -> list[Path]:
    name = re.compile(rf"{kind}-\d{{8}}T\d{{6}}\.\d{{6}}{re.escape(suffix)}")
    return sorted(path for path in folder.iterdir() if name.fullmatch(path.name))


def read_lines(path: Path) -> Iterator[bytes]:
    """The rows of an open file as JSON. A line without an end, which its process did not complete, is none."""
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, RecursionError):
                if line.endswith(b"\n") and isinstance(json.loads(line), dict):
                    yield line


def as_batches(lines: Iterator[bytes], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of `read_lines`, at most `CHUNK` in a batch.

    Raises:
        pa.ArrowInvalid: a line holds other types.
    """
    # Arrow itself reads the lines: for lists of Python, it would import pandas where that is installed (70 MB).
    as_numbers = pa.schema([pa.field(f.name, pa.int64()) if pa.types.is_timestamp(f.type) else f for f in schema])
    parsing = pa_json.ParseOptions(explicit_schema=as_numbers, unexpected_field_behavior="ignore")
    while chunk := b"".join(islice(lines, CHUNK)):
        reading = pa_json.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
        yield from pa_json.read_json(pa.BufferReader(chunk), reading, parsing).cast(schema).to_batches()


def _joined(lines: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Lines joined to pieces of hardly more than ``size`` bytes."""
    piece: list[bytes] = []
    length = 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= size:
            yield b"".join(piece)
            piece, length = [], 0
    if piece:
        yield b"".join(piece)
