"""Recognise what a file is by its first bytes, where its name promises something else."""

import re
from typing import Final

HEAD: Final = 1 << 10  # bytes

WEB_PAGE: Final = re.compile(rb"\s*(<!doctype html|<html|<\?xml|<head|<body|<!--)", re.IGNORECASE)
JSON: Final = re.compile(rb'\s*(\{\s*"([^"\\]|\\.)*"\s*:|\[\s*[\[{])')
POINTER: Final = b"version https://git-lfs.github.com/spec/"
# The first bytes, what such a file is, the kinds of tables that begin so, and what to do with it.
SIGNATURES: Final = (
    (b"\x1f\x8b", "a file compressed with gzip", (), "add .gz to its name"),
    (b"BZh", "a file compressed with bzip2", (), "add .bz2 to its name"),
    (b"\xfd7zXZ\x00", "a file compressed with xz", (), "add .xz to its name"),
    (b"\x28\xb5\x2f\xfd", "a file compressed with Zstandard", (), "unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", (), "unpack it first"),
    (b"Rar!", "a RAR archive", (), "unpack it first"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old or encrypted Excel workbook", ("workbook",), "name it .xls"),
    (b"PAR1", "a Parquet file", ("parquet",), "name it .parquet"),
    (b"ARROW1", "an Arrow file", (), "save it as Parquet"),
    (b"SQLite format 3\x00", "an SQLite database", (), "export the table as CSV"),
    (b"%PDF", "a PDF document", (), "save the table as CSV"),
    (b"\x89HDF", "an HDF5 file", (), "save the table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array", (), "save the table as CSV or Parquet"),
    (b"\x80\x04\x95", "a Python pickle", (), "save the table as CSV or Parquet"),
    (b"\x80\x05\x95", "a Python pickle", (), "save the table as CSV or Parquet"),
)


def mistaken(head: bytes, kind: str) -> str | None:
    """What a file that begins so is, and what to do, if it is no table of this kind; None if it may be one."""
    if head.startswith(POINTER):
        return "a pointer of Git LFS, not the table itself; fetch the table with git lfs pull"
    if WEB_PAGE.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "a web page or XML, not a table; download the file itself"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and kind != "workbook":
        # The members of a workbook have these names.
        if any(name in head for name in (b"[Content_Types].xml", b"xl/", b"mimetypeapplication/vnd.oasis")):
            return "a workbook by its content; name it .xlsx, or .ods if it is of OpenDocument"
        return "a zip archive by its content; name it .zip"
    for signature, what, kinds, remedy in SIGNATURES:
        if head.startswith(signature) and kind not in kinds:
            return f"{what} by its content; {remedy}"
    if kind == "delimited" and JSON.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "JSON by its content; name it .json, or .jsonl with one object a line"
    if kind == "workbook" and not head.startswith((b"PK", b"\xd0\xcf\x11\xe0")) and head:
        return "no workbook by its content; name it .csv if it is delimited text"
    return None
