"""Read text files of any encoding as UTF-8, in blocks of complete lines."""

import codecs
import gzip
import io
import zipfile
from collections.abc import Iterator
from typing import Any, Final

import charset_normalizer
import numpy as np
import numpy.typing as npt

from movie_ratings.core.errors import UserError

SAMPLE: Final = 1 << 20  # bytes from which the encoding is detected
GUESSED: Final = 1 << 16  # bytes, at most, that charset_normalizer looks at
BLOCK: Final = 16 << 20  # bytes
LONGEST_LINE: Final = 64 << 20  # bytes
SLICE: Final = 1 << 18  # bytes: arrays made from a slice fit into the processor's cache
LOOK: Final = 1 << 12  # bytes: longer than most lines
QUOTE: Final = ord('"')
NEWLINE: Final = ord("\n")

Binary = io.BufferedReader | gzip.GzipFile | zipfile.ZipExtFile
Bytes = npt.NDArray[np.uint8]


class Block:
    """Complete lines of a file. Where possible, the block ends after a line at which every quote is closed."""

    def __init__(self, text: memoryview):
        """``rest`` holds the bytes of ``text`` after the last line of the block."""
        found = np.frombuffer(text, np.uint8)
        quotes = _places(found, QUOTE)
        end = last = _after_last_line(found)
        while end and np.searchsorted(quotes, end) % 2:
            end = _after_last_line(found[: end - 1])
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
        """Whether each quote stands at the start of a cell, at its end, or in a pair inside the cell.

        If so, the block ends outside quotes, and no parsing is needed to know it.
        """
        if len(self._quotes) % 2:
            return False
        beside = np.zeros(256, dtype=bool)
        beside[[ord(separator), NEWLINE, ord("\r"), QUOTE]] = True
        # The byte before the first has the index -1, which is the last byte: a newline, like the one before the block.
        before, behind = self._bytes[self._quotes[0::2] - 1], self._bytes[self._quotes[1::2] + 1]
        return bool(beside[before].all() and beside[behind].all())


class Text:
    """A text file. A missing newline at the end of the last line is added."""

    def __init__(self, file: Binary):
        """``file`` must be seekable and stay open."""
        head = file.read(SAMPLE)
        file.seek(0)
        encoding = _encoding(head)
        self.beginning = head.decode(encoding, errors="replace")
        self._file, self._held = _utf8(file, encoding, self.beginning), b""

    def block(self, size: int | None = None) -> Block | None:
        """The next lines, about ``size`` bytes if ``size`` is given; None at the end of the file.

        Raises:
            UserError: a line is longer than `LONGEST_LINE`.
        """
        while len(self._held) <= LONGEST_LINE:
            # The buffer is filled in place: copying it would take about as long as parsing it.
            text = np.empty(len(self._held) + (size or BLOCK) + 1, np.uint8).data
            text[: len(self._held)] = self._held
            end = len(self._held)
            while end < len(text) - 1 and (more := self._file.readinto(text[end:-1])):
                end += more
            if end == 0:
                return None
            if end < len(text) - 1 and text[end - 1] != NEWLINE:
                text[end] = NEWLINE
                end += 1
            block = Block(text[:end])
            self._held = block.rest
            if len(block.data):
                return block
        raise UserError(f"a line of more than {LONGEST_LINE:,} bytes, which no table has")

    def lines(self, size: int | None = None) -> list[bytes]:
        """The next lines, about ``size`` bytes if ``size`` is given; an empty list at the end of the file."""
        block = self.block(size)
        return block.split() if block else []

    def give_back(self, data: bytes) -> None:
        """Put ``data`` back, to be read next."""
        self._held = data + self._held


class _Transcoded(io.RawIOBase):
    """A file of any encoding, read as UTF-8. Bytes that are invalid in the encoding become bytes invalid in UTF-8."""

    def __init__(self, text: io.TextIOBase):
        self._text, self._left = text, b""

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        buffer = memoryview(buffer)
        if not self._left:
            self._left = self._text.read(len(buffer)).encode("utf-8", errors="surrogatepass")
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


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


def _utf8(file: Binary, encoding: str, beginning: str) -> "Binary | _Transcoded":
    """The file as UTF-8 without a byte order mark, with ``\\n`` in its line ends."""
    only_returns = "\r" in beginning and "\n" not in beginning
    if not encoding.startswith("utf-8") or only_returns:
        newline = None if only_returns else ""
        return _Transcoded(io.TextIOWrapper(file, encoding, errors="surrogateescape", newline=newline))
    if encoding == "utf-8-sig":
        file.read(len(codecs.BOM_UTF8))
    return file


def _encoding(head: bytes) -> str:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        # Only lines with bytes outside ASCII depend on the encoding, and guessing from few bytes is fast.
        guessed = b"\n".join(line for line in head.splitlines() if not line.isascii())[:GUESSED]
        found = charset_normalizer.from_bytes(guessed)
        best = found.best()
        # A few words fit several code pages; cp1252 is the most common of them.
        western = any(guess.encoding == "cp1252" and guess.coherence >= best.coherence for guess in found if best)
        return "cp1252" if western or best is None else best.encoding
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else "utf-8"
