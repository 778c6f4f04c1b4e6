"""Read text of any encoding as UTF-8.

A byte order mark or the zero bytes of UTF-16 decide at once. Any other text is read as it is while its bytes are ASCII,
for which all other encodings agree. The first other byte is the occasion to decide: valid UTF-8 sequences and invalid
bytes are counted from there, until UTF-8 is certain or the file ends. Text with more valid sequences than invalid
bytes is UTF-8, and its invalid bytes break their rows alone. For other text, chardet compares what the letters spell in
each code page. Its input is a sample of the lines with such letters, from all over the file.
"""

import codecs
import io
from typing import Any, Final, cast

import chardet
import numpy as np

from movie_ratings.core.errors import UserError
from movie_ratings.sources.tables.archives import Binary

AUTO: Final = "auto"
HEAD: Final = 1 << 16  # bytes in which zero bytes are counted
STEP: Final = 1 << 20  # bytes that are decoded at a time
SLICE: Final = 1 << 18  # bytes: arrays made from a slice fit into the processor's cache
CERTAIN: Final = 256  # valid sequences of UTF-8, which no text of another encoding holds by chance
SAMPLE: Final = 1 << 16  # bytes, at most, that chardet looks at
SAMPLES: Final = 64  # places of the file, at most, from which the sample is taken
FEW: Final = 8  # fewer letters than this spell no language
ERASED: Final = 0xFF  # what erased storage holds; a common letter in Cyrillic text alone, which has many others
BROKEN: Final = "movie_ratings.broken"  # the name of the error handler
# The longer marks come first: UTF-32's begins with UTF-16's.
MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}

# An invalid stretch becomes a lone surrogate, which no valid text holds.
codecs.register_error(BROKEN, lambda error: ("\udcff", cast(UnicodeDecodeError, error).end))


class Utf8(io.RawIOBase):
    """A text file, read as UTF-8 without a byte order mark. Invalid bytes become bytes that are invalid in UTF-8."""

    def __init__(self, file: Binary, encoding: str = AUTO):
        """``file`` must be seekable and stay open. ``encoding`` is the name of a codec, or "auto"."""
        head = file.read(HEAD)
        mark = next((mark for mark in MARKS if head.startswith(mark)), b"")
        if encoding == AUTO:
            name = MARKS.get(mark) or _by_zeros(head)
        else:
            name = codecs.lookup(encoding).name.removesuffix("-sig")
        file.seek(len(mark) if MARKS.get(mark) == name else 0)
        self._file = file
        self._source: Binary | _Transcoded = file if name in (None, "utf-8") else _Transcoded(file, str(name))
        self.encoding = name
        """The name of the codec; None as long as all bytes are ASCII."""

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """See io.RawIOBase."""
        count = self._source.readinto(buffer)
        if self.encoding is not None or is_ascii(buffer[:count]):
            return count
        position = self._file.tell()
        evidence = _Evidence()
        evidence.add(bytes(buffer[:count]))
        while not evidence.certain and (data := self._file.read(STEP)):
            evidence.add(data)
        evidence.end()
        if evidence.is_utf8:
            self.encoding = "utf-8"
            if self._file.tell() != position:
                self._file.seek(position)
            return count
        self._file.seek(position - count)
        self.encoding = evidence.code_page()
        self._source = _Transcoded(self._file, self.encoding)
        return self._source.readinto(buffer)


def checked(encoding: str) -> str:
    """The encoding, if Python knows it.

    Raises:
        UserError: there is no text encoding of this name.
    """
    try:
        if encoding == AUTO or "a".encode(encoding).decode(encoding) == "a":
            return encoding
    except (LookupError, ValueError):
        pass
    raise UserError(f"no encoding is called {encoding!r}; expected auto, or a name such as utf-8, cp1252 or utf-16")


def is_ascii(data: Any) -> bool:
    """Whether no byte of a buffer is above 127."""
    signed = np.frombuffer(data, np.int8)
    return all(bool(signed[start : start + SLICE].min() >= 0) for start in range(0, len(signed), SLICE))


class _Transcoded:
    """The rest of a file, decoded and encoded again in UTF-8."""

    def __init__(self, file: Binary, encoding: str):
        self._file, self._left, self._ended = file, memoryview(b""), False
        self._decoder = codecs.getincrementaldecoder(encoding)(BROKEN)

    def readinto(self, buffer: Any) -> int:
        while not self._left and not self._ended:
            data = self._file.read(STEP)
            self._ended = not data
            # A lone surrogate is encoded as bytes that are invalid in UTF-8.
            self._left = memoryview(self._decoder.decode(data, self._ended).encode("utf-8", "surrogatepass"))
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count


class _Evidence:
    """What the bytes above 127 say about the encoding of a text."""

    def __init__(self) -> None:
        self._valid = self._invalid = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._sample: list[bytes] = []
        self._blocks, self._stride = 0, 1

    def add(self, data: bytes) -> None:
        """Count the sequences and the invalid bytes of the next block, and take a sample of its lines."""
        self._count(self._decoder.decode(_beyond_ascii(data)))
        if data.isascii():
            return
        if self._blocks % self._stride == 0:
            lines = [line for line in data.splitlines() if not line.isascii()]
            self._sample.append(b"\n".join(_spread(lines, SAMPLE // SAMPLES * 4)))
        self._blocks += 1
        if len(self._sample) > SAMPLES:
            self._sample, self._stride = self._sample[::2], self._stride * 2

    def end(self) -> None:
        """Count what the end of the text cuts off."""
        if not self.certain:
            self._count(self._decoder.decode(b"", True))

    def _count(self, text: str) -> None:
        if not text.isascii():
            codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
            invalid = int(np.count_nonzero((codes >= 0xDC80) & (codes <= 0xDCFF)))
            self._invalid += invalid
            self._valid += int(np.count_nonzero(codes > 127)) - invalid

    @property
    def certain(self) -> bool:
        """Whether the text is UTF-8 for certain, whatever follows."""
        return self._valid >= CERTAIN and self._valid > 16 * self._invalid

    @property
    def is_utf8(self) -> bool:
        """Whether more valid sequences than invalid bytes were found, or a few bytes that are letters nowhere."""
        if self._invalid < FEW and {byte for block in self._sample for byte in block if byte > 127} == {ERASED}:
            return True
        return self._valid > self._invalid

    def code_page(self) -> str:
        """The encoding in which the sample spells words."""
        sample = b"\n".join(_spread(b"\n".join(self._sample).split(b"\n"), SAMPLE))
        few = sum(byte > 127 for byte in sample) < FEW
        era = chardet.EncodingEra.MODERN_WEB if few else chardet.EncodingEra.ALL & ~chardet.EncodingEra.MAINFRAME
        found = chardet.detect_all(sample, encoding_era=era, ignore_threshold=True, compat_names=False)
        scores = {str(guess["encoding"]): guess["confidence"] for guess in found if guess["encoding"]}
        scores.pop("utf-8", None)
        best = max(scores, key=lambda name: scores[name], default="cp1252")
        # cp1252 adds printed characters to iso8859-1. It is also the most common, where few letters decide nothing.
        is_western = best == "iso8859-1" or (few and scores.get("cp1252", 0) >= scores.get(best, 0) / 2)
        return "cp1252" if is_western else best


def _beyond_ascii(data: bytes) -> bytes:
    """The bytes above 127, and those behind them, which end an incomplete sequence."""
    found = np.frombuffer(data, np.uint8)
    kept = found > 127
    kept[1:] |= kept[:-1]
    kept[:1] = True
    return found[kept].tobytes()


def _spread(lines: list[bytes], size: int) -> list[bytes]:
    """Every n-th line, so that about ``size`` bytes are taken from all over the lines; at most so many of one line."""
    every = -(-sum(map(len, lines)) // size) or 1
    return [line[:size] for line in lines[::every]]


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: separators, digits and line ends have zero bytes at the same places there."""
    if len(head) < 4:
        return None
    zeros = (np.frombuffer(head[: len(head) // 4 * 4], np.uint8).reshape(-1, 4) == 0).mean(axis=0)
    for name, always in (("utf-32-le", [2, 3]), ("utf-32-be", [0, 1])):
        if zeros[always].min() > 0.99:
            return name
    even, odd = zeros[[0, 2]].mean(), zeros[[1, 3]].mean()
    for name, rare, common in (("utf-16-le", even, odd), ("utf-16-be", odd, even)):
        if common > 0.05 and rare < common / 10:
            return name
    return None
