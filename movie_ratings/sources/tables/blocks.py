"""Read delimited text in blocks of complete lines."""

import io
import re
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables.dialect import Dialect

SAMPLE: Final = 1 << 20  # bytes from which the dialect is detected
LONGEST_LINE: Final = 8 << 20  # bytes
SLICE: Final = 1 << 18  # bytes: arrays made from a slice fit into the processor's cache
LOOK: Final = 1 << 12  # bytes: longer than most lines
QUOTE: Final = ord('"')
NEWLINE: Final = ord("\n")
RETURN: Final = ord("\r")
NUL: Final = 0
ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
NULL: Final = re.compile(rb"(?:(?<=[,;|\t\r\n])|^)\\N(?=[,;|\t\r\n])")  # a cell without a value, as databases write it

Bytes = npt.NDArray[np.uint8]


class LongLineError(UserError):
    """A line is longer than `LONGEST_LINE`."""


class Block:
    """Complete lines of a file. Where possible, the block ends after a line at which every quote is closed."""

    def __init__(self, text: memoryview, dialect: Dialect, ended: bool):
        """``rest`` holds the bytes of ``text`` after the last line of the block. If the file has ``ended``, the end of
        ``text`` is the end of a line, even if that line end is escaped.
        """
        found = np.frombuffer(text, np.uint8)
        # Where characters can be escaped, the quotes and line ends among the escaped ones do not count.
        plain = found if dialect.escape is None else np.frombuffer(ESCAPED.sub(b"__", text), np.uint8)
        quotes = _places(plain, QUOTE)
        end = last = len(plain) if ended else _after_last_line(plain)
        while end and np.searchsorted(quotes, end) % 2:
            end = _after_last_line(plain[: end - 1])
        end = end or last
        self.data, self.rest = text[:end], bytes(text[end:])
        self._bytes, self._quotes = found[:end], quotes[: np.searchsorted(quotes, end)]

    @property
    def lines(self) -> int:
        """The number of lines."""
        return sum(int(np.count_nonzero(part == NEWLINE)) for part in _sliced(self._bytes))

    def split(self) -> list[bytes]:
        """The lines."""
        return io.BytesIO(self.data).readlines()

    def is_regular(self, separator: str) -> bool:
        """Whether each quote stands at a cell's start, at its end, or in a pair inside the cell, and no NUL occurs.

        If so, the block ends outside quotes, and no parsing is needed to know it.
        """
        if len(self._quotes) % 2 or any((part == NUL).any() for part in _sliced(self._bytes)):
            return False
        beside = np.zeros(256, dtype=bool)
        beside[[ord(separator), NEWLINE, ord("\r"), QUOTE]] = True
        # The byte before the first has the index -1, which is the last byte: a newline, like the one before the block.
        before, behind = self._bytes[self._quotes[0::2] - 1], self._bytes[self._quotes[1::2] + 1]
        return bool(beside[before].all() and beside[behind].all())


class Text:
    """A text file in UTF-8. A missing newline at the end of the last line is added."""

    def __init__(self, file: io.RawIOBase):
        """``file`` must stay open."""
        self._file, self._held = file, b""
        self._ahead = memoryview(b"")
        self._dialect = Dialect()
        sample = memoryview(bytearray(SAMPLE))
        self._ahead = sample[: self._fill(sample)]
        self.beginning = bytes(self._ahead).decode("utf-8", errors="replace")

    def read_as(self, dialect: Dialect) -> None:
        """Follow the line ends and the escapes of a dialect from now on."""
        self._dialect = dialect

    def block(self, size: int) -> Block | None:
        """The next lines, about ``size`` bytes; None at the end of the file.

        Raises:
            LongLineError: a line is longer than `LONGEST_LINE`.
        """
        while len(self._held) <= LONGEST_LINE:
            # The buffer is filled in place: copying it would take about as long as parsing it.
            text = np.empty(len(self._held) + size + 1, np.uint8).data
            text[: len(self._held)] = self._held
            end = len(self._held)
            end += self._fill(text[end:-1])
            if end == 0:
                return None
            ended = end < len(text) - 1
            if ended and text[end - 1] != NEWLINE:
                text[end] = NEWLINE
                end += 1
            found = text[:end] if self._dialect.escape is None else _without_nulls(text[:end])
            block = Block(found, self._dialect, ended)
            self._held = block.rest
            if len(block.data):
                return block
        raise LongLineError(f"a line of more than {LONGEST_LINE:,} bytes, which no table has")

    def lines(self, size: int) -> list[bytes]:
        """The next lines, about ``size`` bytes; an empty list at the end of the file."""
        block = self.block(size)
        return block.split() if block else []

    def give_back(self, data: bytes) -> None:
        """Put ``data`` back, to be read next."""
        self._held = data + self._held

    def _fill(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the file allows."""
        end = min(len(buffer), len(self._ahead))
        buffer[:end], self._ahead = self._ahead[:end], self._ahead[end:]
        while end < len(buffer) and (more := self._file.readinto(buffer[end:])):
            end += more
        if self._dialect.ends_in_return:
            found = np.frombuffer(buffer[:end], np.uint8)
            found[found == RETURN] = NEWLINE
        return end


def _sliced(data: Bytes) -> Iterator[Bytes]:
    return (data[start : start + SLICE] for start in range(0, len(data), SLICE))


def _places(data: Bytes, byte: int) -> npt.NDArray[np.intp]:
    found = [n * SLICE + np.flatnonzero(part == byte) for n, part in enumerate(_sliced(data))]
    return np.concatenate([np.zeros(0, np.intp), *found])


def _after_last_line(data: Bytes) -> int:
    for start in reversed(range(0, len(data), LOOK)):
        ends = np.flatnonzero(data[start : start + LOOK] == NEWLINE)
        if len(ends):
            return start + int(ends[-1]) + 1
    return 0


def _without_nulls(text: memoryview) -> memoryview:
    """The text with empty cells for ``\\N``, which the parsers would read as an escaped letter."""
    return memoryview(NULL.sub(b"", text))
