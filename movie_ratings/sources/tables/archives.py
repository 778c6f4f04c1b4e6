"""Open files, compressed files, and the members of archives."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from movie_ratings.core.errors import UserError

Binary = io.BufferedReader | gzip.GzipFile | zipfile.ZipExtFile

COMPRESSED: Final[dict[str, Callable[[Any], Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ARCHIVES: Final = (".zip", ".tar", ".tgz", *(f".tar{suffix}" for suffix in COMPRESSED))
GZIP: Final = b"\x1f\x8b"
DEFLATE64: Final = 9
ENCRYPTED: Final = 1  # in the flags of a zip archive's member


def is_archive(path: Path) -> bool:
    """Whether the name is that of an archive."""
    return path.name.lower().endswith(ARCHIVES)


def inner_name(name: str) -> str:
    """The name without the suffix of a compression."""
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in COMPRESSED else name


def members(path: Path) -> list[str]:
    """The names of the files in an archive."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            # Not `is_dir`, which fails for a damaged entry without a name.
            return [name for name in archive.namelist() if name and not name.endswith("/")]
    with tarfile.open(path) as tar:
        return [member.name for member in tar if member.isfile()]


@contextmanager
def opened(path: Path, member: str | None) -> Iterator[Binary]:
    """The bytes of a file, or of a member of an archive; decompressed if the name ends in .gz, .bz2 or .xz.

    Raises:
        UserError: the member is encrypted, or compressed in a way that Python cannot read; or bytes that are not
            compressed follow the compressed ones, when these are read.
    """
    open_ = COMPRESSED.get(Path(member or path).suffix.lower())
    with path.open("rb") if member is None else _member(path, member) as file:
        if open_ is None:
            yield cast(Binary, file)
            return
        begins_well = file.read(len(GZIP)) == GZIP
        file.seek(0)
        try:
            with open_(file) as inner:
                yield inner
        except gzip.BadGzipFile as error:
            if not (begins_well and str(error).startswith("Not a gzipped file")):
                raise
            raise UserError(
                "behind the compressed data are bytes that are not compressed; unpack it with gzip -dc"
            ) from None


@contextmanager
def _member(path: Path, member: str) -> Iterator[Any]:
    if path.suffix.lower() != ".zip":
        with tarfile.open(path) as tar:
            yield tar.extractfile(member)
        return
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
        if info.flag_bits & ENCRYPTED:
            raise UserError("encrypted; extract the archive with its password, and read the table itself")
        try:
            file = archive.open(info)
        except NotImplementedError:
            method = "Deflate64" if info.compress_type == DEFLATE64 else f"method {info.compress_type}"
            raise UserError(
                f"compressed with {method}, which Python does not read; extract the archive, and read the table itself"
            ) from None
        with file:
            yield file
