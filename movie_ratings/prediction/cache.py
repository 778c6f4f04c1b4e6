"""The logits of the texts that a classifier read last, so that a text that comes again is not read again."""

import threading
from array import array
from collections.abc import Iterable, Sequence

import numpy as np

from movie_ratings.core.arrays import Floats

Ids = tuple[int, ...]


class Cache:
    """At most ``size`` texts, by their token ids; the one that was wanted longest ago makes room. 0: none is kept.

    A text takes about a kilobyte. Threads may share a cache.
    """

    def __init__(self, size: int):
        self._size = size
        self._kept: dict[bytes, Floats] = {}  # in the order in which they were wanted last
        self._lock = threading.Lock()

    def known(self, texts: Sequence[Ids]) -> dict[Ids, Floats]:
        """The logits (classes,) of those texts that are kept."""
        if not self._kept:
            return {}
        with self._lock:
            found = {}
            for ids in texts:
                key = _key(ids)
                if (logits := self._kept.pop(key, None)) is not None:
                    self._kept[key] = found[ids] = logits
            return found

    def add(self, logits: Iterable[tuple[Ids, Floats]]) -> None:
        """Keep the logits (classes,) of texts."""
        if not self._size:
            return
        with self._lock:
            for ids, found in logits:
                # A copy: a row of an array keeps the whole array.
                self._kept[_key(ids)] = np.array(found)
            for key in list(self._kept)[: max(0, len(self._kept) - self._size)]:
                del self._kept[key]


def _key(ids: Ids) -> bytes:
    """A tenth of the memory of a tuple."""
    return array("I", ids).tobytes()
