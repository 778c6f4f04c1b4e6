"""Token ids of many movies, computed once by all cores into an Arrow file that is read through a memory map."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer
from tqdm import tqdm

from movie_ratings.core import storage
from movie_ratings.movies.text import TextFormat, compose, tokenize

CHUNK: Final = 5_000  # movies in a record batch; in larger ones the cores idle less at the end of a batch
SCHEMA: Final = pa.schema([("input_ids", pa.list_(pa.int32()))])

Ids = npt.NDArray[np.int32]


class Tokens(Sequence[Ids]):
    """The token ids of every row of a file that `write_tokens` wrote; only the rows that are read are in memory."""

    def __init__(self, path: Path):
        with pa.ipc.open_file(pa.memory_map(str(path))) as file:
            chunks = [file.get_batch(number)["input_ids"] for number in range(file.num_record_batches)]
        self._values = [chunk.values.to_numpy() for chunk in chunks]
        self._offsets = [chunk.offsets.to_numpy() for chunk in chunks]
        self.lengths: Ids = np.concatenate([np.zeros(0, np.int32), *map(np.diff, self._offsets)])

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, row: int) -> Ids: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Ids]: ...
    def __getitem__(self, row: int | slice) -> Any:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        if row >= len(self):
            raise IndexError(row)
        chunk, place = divmod(row, CHUNK)
        start, end = self._offsets[chunk][place : place + 2]
        return self._values[chunk][start:end]


def write_tokens(
    path: Path, movies: Iterable[Mapping[str, Any]], count: int, tokenizer: Tokenizer, text: TextFormat
) -> Tokens:
    """Tokenise ``count`` movies as `movies.text.encode` does into the file ``path``, unless it exists already."""
    if not path.exists():
        left = iter(movies)

        def texts() -> list[str]:
            return [compose(movie, text.fields) for movie in islice(left, CHUNK)]

        with (
            storage.whole(path) as temporary,
            pa.ipc.new_file(temporary, SCHEMA) as file,
            ThreadPoolExecutor(1) as ahead,
            tqdm(total=count, desc="tokens", unit=" movies", unit_scale=True) as progress,
        ):
            # The next texts are composed while the tokenizer runs, which does not hold the interpreter's lock.
            coming = ahead.submit(texts)
            while chunk := coming.result():
                coming = ahead.submit(texts)
                ids = pa.array(tokenize(tokenizer, chunk, text.max_length), SCHEMA.field(0).type)
                file.write_batch(pa.record_batch([ids], SCHEMA))
                progress.update(len(chunk))
    return Tokens(path)
