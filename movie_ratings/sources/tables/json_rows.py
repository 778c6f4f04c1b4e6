"""Read rows of JSON: an object a line, an array of objects, a page of results, or a table as pandas writes it.

Objects a line and arrays are read in blocks, twice: once for the keys, which are the columns, and once for the rows.
Any other form is one object, which must fit into memory.
"""

import functools
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables.chunks import CHUNK, Broken, Part, Row, Size, from_rows

HEAD: Final = 1 << 20  # bytes in which the form is found
BLOCK: Final = 1 << 20  # characters
LARGEST: Final = 1 << 23  # bytes of a line, or characters of an element of an array
DOCUMENT: Final = 8  # times the bytes of a chunk: the largest file that is one object
PAGES: Final = ("results", "movies", "items", "data", "rows")  # the keys under which web services list rows
SPACE: Final = re.compile(r"[ \t\r\n]*")
ENCODER: Final = json.JSONEncoder(ensure_ascii=False)
SHOWN: Final = 200  # characters of a broken row

# What is read: the line of each row, and the row, or the reason why it cannot be read.
Found = Iterator[tuple[int, dict[str, Any]] | Broken]


class JsonRows:
    """The rows of one file."""

    def __init__(self, file: io.RawIOBase, is_lines: bool, keeps_rows: bool = False, size: Size = CHUNK):
        """``file`` is UTF-8 and must stay open. It is read once, by `columns` or by `parts`.

        ``is_lines`` says whether the file has an object on each line, if its beginning does not show it. With
        ``keeps_rows``, chunks have the rows as typed values too. ``size`` is that of a chunk.

        Raises:
            UserError: the file holds neither objects nor an array.
        """
        self._file, self._keeps_rows, self._size = io.BufferedReader(file, BLOCK), keeps_rows, size
        head = self._file.peek(HEAD)[:HEAD]
        if not head.strip():
            raise UserError("empty, expected JSON objects")
        if head.lstrip()[:1] not in (b"{", b"["):
            raise UserError("no JSON: expected an object or an array; a delimited table has a name that ends in .csv")
        self._is_lines = _is_lines(head) if b"\n" in head.strip() else is_lines
        self._is_array = head.lstrip()[:1] == b"["

    def columns(self) -> list[str]:
        """The keys of all rows, in the order in which they appear."""
        keys: dict[str, None] = {}
        broken: Broken | None = None
        for found in self._rows():
            if isinstance(found, Broken):
                broken = broken or found
            elif not found[1].keys() <= keys.keys():
                keys |= dict.fromkeys(found[1])
        if not keys and broken:
            raise UserError(f"line {broken.line}: {broken.reason}")
        return list(keys)

    def parts(self, names: Sequence[str], needed: Sequence[str]) -> Iterator[Part]:
        """The members ``names``. A member that a row lacks is null."""
        some: list[Row | Broken] = []
        size = 0
        for found in self._rows():
            if isinstance(found, Broken):
                some.append(found)
            else:
                cells = [_cell(found[1].get(name)) for name in names]
                some.append(Row(found[0], cells, found[1] if self._keeps_rows else None))
                size += sum(len(cell) for cell in cells if cell)
            # Few long rows fill a chunk too.
            if len(some) == self._size.rows or size > self._size.bytes:
                yield functools.partial(from_rows, some, names)
                some, size = [], 0
        if some:
            yield functools.partial(from_rows, some, names)

    def _rows(self) -> Found:
        if self._is_lines:
            return _of_lines(self._lines(), exact=self._keeps_rows)
        if self._is_array:
            return _of_values(_values(self._file))
        return _of_document(self._file, DOCUMENT * self._size.bytes)

    def _lines(self) -> Iterator[bytes]:
        number = 0
        while line := self._file.readline(LARGEST):
            number += 1
            if len(line) == LARGEST:
                raise UserError(f"line {number}: more than {LARGEST:,} bytes, which no movie has")
            yield line


def _is_lines(head: bytes) -> bool:
    """Whether a file that begins so holds an object on each line."""
    first, *others = [line for line in head.splitlines() if line.strip()]
    if not others or not first.startswith(b"{"):
        return False
    # The first line may be broken. The lines of an object that spans several are indented, or no complete values.
    return _is_complete(first) or any(line.startswith(b"{") and _is_complete(line) for line in others[:100])


def _is_complete(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _of_lines(lines: Iterable[bytes], exact: bool) -> Found:
    """The rows of lines. With ``exact``, a whole number of any length is one; orjson makes a float of a long one."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line) if exact and b"\\u" not in line else orjson.loads(line)
        except (ValueError, RecursionError):
            # Python's own reader also knows NaN and lone surrogates.
            try:
                value = _as_text(json.loads(line))
            except RecursionError:
                value = Broken(number, "nested too deeply", _shown(line))
            except ValueError as error:
                value = Broken(number, str(error), _shown(line))
        yield from _of_values([(number, value)])


def _of_values(values: Iterable[tuple[int, Any]]) -> Found:
    """The rows among values that should be rows, or pages of rows."""
    for line, value in values:
        if isinstance(value, Broken):
            yield value
        elif not isinstance(value, dict):
            yield Broken(line, f"expected an object, found {type(value).__name__}", json.dumps(value)[:SHOWN])
        elif (page := _page(value)) is not None:
            yield from ((line, row) for row in page)
        else:
            yield line, value


def _of_document(file: BinaryIO, most: int) -> Found:
    data = file.read(most + 1)
    if len(data) > most:
        raise UserError(f"line 1: an object of more than {most:,} bytes; write one object a line, or an array")
    values = list(_values(io.BytesIO(data)))
    if len(values) == 1 and isinstance(values[0][1], dict) and _page(values[0][1]) is None:
        values = [(number, row) for number, row in enumerate(_table(values[0][1]), 1)]
    return _of_values(values)


def _page(value: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The rows of a page of results; None for any other object."""
    if any(key in value for key in ("title", "name")):
        return None
    for key in PAGES:
        rows = value.get(key)
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            return rows
    return None


def _table(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an object that is a table: by column, by row, or split into columns and data. Else the one row."""
    members = list(value.values())
    if {"columns", "data"} <= value.keys() and all(isinstance(value[key], list) for key in ("columns", "data")):
        names = [str(name) for name in value["columns"]]
        if any(not isinstance(row, list) or len(row) != len(names) for row in value["data"]):
            raise UserError('the rows of "data" have not as many values as "columns" has names')
        return [dict(zip(names, row, strict=True)) for row in value["data"]]
    if members and all(isinstance(member, list) for member in members):
        if len({len(member) for member in members}) > 1:
            raise UserError("an object of columns that are not equally long")
        return [dict(zip(value, row, strict=True)) for row in zip(*members, strict=True)]
    if members and all(isinstance(member, dict) for member in members):
        numbered = all(key.isdecimal() for member in members for key in member)
        if numbered and all(key.isdecimal() for key in value):
            raise UserError("an object of objects, where neither keys are names of columns")
        if not numbered:
            return members
        index = dict.fromkeys(key for member in members for key in member)
        return [{name: column.get(row) for name, column in value.items()} for row in index]
    return [value]


def _values(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    """The elements of the array in a file, or the values one after another, each with its line.

    Raises:
        UserError: something is no JSON; the message names the line.
    """
    text = _Values(file)
    if text.mark() != "[":
        while text.mark():
            yield text.line, text.value()
        return
    text.skip()
    if text.mark() != "]":
        yield text.line, text.value()
    while text.mark() == ",":
        text.skip()
        text.mark()
        yield text.line, text.value()
    if text.mark() != "]":
        raise text.error("expected a comma or the end of the array" if text.mark() else "the array does not end")
    text.skip()
    if text.mark():
        raise text.error("something follows the end of the array")


class _Values:
    """Reads values one after another from a text that is held in part."""

    def __init__(self, file: BinaryIO):
        self._text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
        self._held, self._at = "", 0
        self._read = json.JSONDecoder().raw_decode
        self.line = 1

    def mark(self) -> str:
        """The next character that is not space; an empty string at the end. ``line`` is its line."""
        while True:
            start = self._at
            self._at = SPACE.match(self._held, start).end()  # type: ignore[union-attr]  # matches everywhere
            self.line += self._held.count("\n", start, self._at)
            if self._at < len(self._held) or not self._hold_more(BLOCK):
                return self._held[self._at : self._at + 1]

    def skip(self) -> None:
        """Go on behind the next character."""
        self._at += 1

    def value(self) -> Any:
        """The value that begins at the next character."""
        size = BLOCK
        while True:
            try:
                value, end = self._read(self._held, self._at)
            except RecursionError:
                raise self.error("nested too deeply") from None
            except json.JSONDecodeError as error:
                # Perhaps the value is not held to its end.
                if len(self._held) - self._at > LARGEST or not self._hold_more(size):
                    self.line += self._held.count("\n", self._at, error.pos)
                    raise self.error(error.msg) from None
                size *= 2
                continue
            # A number that ends with the held text may go on.
            if end < len(self._held) or not self._hold_more(size):
                self.line += self._held.count("\n", self._at, end)
                self._at = end
                return value

    def error(self, reason: str) -> UserError:
        """The error for what cannot be read at this place."""
        return UserError(f"line {self.line}: no JSON ({reason})")

    def _hold_more(self, size: int) -> bool:
        more = self._text.read(size)
        if more:
            self._held, self._at = self._held[self._at :] + more, 0
        return bool(more)


def _as_text(value: Any) -> Any:
    """The value with U+FFFD for each half of a surrogate pair, which JSON can hold as an escape and a text cannot."""
    text = json.dumps(value, ensure_ascii=False)
    return value if text.isascii() else json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _shown(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else ENCODER.encode(value)
