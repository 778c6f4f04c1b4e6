"""Batches of rows of similar length, each padded to its longest row, so that little work is spent on padding."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

# The token ids of one row.
Ids = Sequence[int] | npt.NDArray[np.int32]

# Padded tokens in one batch of inference: enough to keep the cores busy, and little memory.
TOKENS = 8_192
# Lengths of padded rows are multiples of this number of tokens: few lengths fill their batches, for little padding.
STEP = 8


def by_length(lengths: Sequence[int], tokens: int = TOKENS) -> Iterator[list[int]]:
    """Row numbers in batches of at most ``tokens`` padded tokens, the longest rows first."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def of_one_length(lengths: Sequence[int], most: int, tokens: int = TOKENS) -> Iterator[tuple[list[int], int]]:
    """Row numbers in batches of at most ``tokens`` padded tokens, and the padded length of each batch.

    The padded length of a row is the next multiple of `STEP`, at most ``most``, whatever rows stand beside it: sums
    over other numbers of padded tokens are rounded otherwise.
    """
    rows: dict[int, list[int]] = defaultdict(list)
    for row, length in enumerate(lengths):
        rows[max(length, min(-(-length // STEP) * STEP, most))].append(row)
    for padded, alike in sorted(rows.items(), reverse=True):
        size = max(1, tokens // padded)
        yield from ((alike[first : first + size], padded) for first in range(0, len(alike), size))


def pad(
    input_ids: Sequence[Ids], pad_id: int, length: int | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Token ids and attention mask, both of shape (rows, length); ``length`` None: that of the longest row."""
    longest = length or max(map(len, input_ids))
    ids = np.full((len(input_ids), longest), pad_id, dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, row_ids in enumerate(input_ids):
        ids[row, : len(row_ids)] = row_ids
        mask[row, : len(row_ids)] = 1
    return ids, mask
