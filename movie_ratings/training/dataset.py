"""The data set of a training: token ids, ratings and weights of the movies of two splits."""

from collections.abc import Sequence
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import PreTrainedTokenizerBase

from movie_ratings.core.arrays import Bools
from movie_ratings.model.batches import pad
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import TextFormat
from movie_ratings.params import Params
from movie_ratings.training.data import Data, drop_fields, vote_weights
from movie_ratings.training.frozen import FEATURES, Features
from movie_ratings.training.records import NEEDED
from movie_ratings.training.tokens import write_tokens


class TrainingDataset(torch.utils.data.Dataset):
    """The movies of both splits as token ids, ratings and weights; the rows of the training split come first.

    In each epoch, a share of the training movies (``text.field_dropout``) is read with facts left out, as requests
    leave facts out. `set_epoch` draws these movies. The token ids are in the file tokens.arrow in ``folder``: an
    interrupted run leaves the file there, and the next run reads it.

    ``movies``, ``ratings`` and ``weights`` hold all rows, ``train`` and ``validation`` are the rows of each split, and
    ``dropped`` holds the training movies with facts left out (or no movie, with a ``field_dropout`` of 0): those of
    ``text``, and those of ``names``, which the linear part reads.
    """

    def __init__(
        self,
        data: Data,
        tokenizer: PreTrainedTokenizerBase,
        text: TextFormat,
        options: Params,
        folder: Path,
        names: Sequence[str] = (),
    ):
        count = data.train.num_rows
        columns = list(dict.fromkeys([*text.fields, *names, *NEEDED]))
        self.movies = Movies(pa.concat_tables([table.select(columns) for table in (data.train, data.validation)]))
        self.train, self.validation = range(count), range(count, len(self.movies))
        self.ratings = np.concatenate([table["rating"].to_numpy() for table in (data.train, data.validation)])
        self.weights = np.ones(len(self.movies))
        self.weights[:count] = vote_weights(data.train["vote_count"], options.train.vote_weighting)
        self._share, self._seed = options.text.field_dropout, options.train.seed
        self.dropped = drop_fields(self.movies[: count if self._share else 0], text.fields, self._seed, names)
        # The file holds the whole movies, then those movies with facts left out that any epoch reads.
        drawn = np.any([self._drawn(epoch) for epoch in range(options.train.epochs)], axis=0)
        self._places = len(self.movies) - 1 + np.cumsum(drawn)  # in the file, of the movies that are drawn
        # Without the columns that the linear part alone reads: making dictionaries of a million movies takes long.
        whole, dropped = (
            Movies(some.table.select(text.fields), some.fields, some.left_out) for some in (self.movies, self.dropped)
        )
        texts, size = chain(whole, compress(dropped, drawn)), len(self.movies) + int(drawn.sum())
        self.input_ids = write_tokens(folder / "tokens.arrow", texts, size, tokenizer.backend_tokenizer, text)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the training movies that this epoch reads with facts left out; the same ones for the same seed."""
        self._leaves_out = self._drawn(epoch)

    def _drawn(self, epoch: int) -> Bools:
        drawn = np.random.default_rng([self._seed, epoch]).random(len(self.train)) < self._share
        return drawn if self.dropped else np.zeros(len(self.train), dtype=bool)

    def __len__(self) -> int:
        return len(self.movies)

    def __getitem__(self, row: int) -> dict[str, Any]:
        place = int(self._places[row]) if row < len(self.train) and self._leaves_out[row] else row
        return {
            "place": place,
            "input_ids": self.input_ids[place],
            "labels": (self.ratings[row], self.weights[row]),
        }


class Collator:
    """Pads a batch to its longest row: token ids and, with ``features``, the hidden states of the frozen layers."""

    def __init__(self, pad_id: int, features: Features | None):
        self.pad_id, self.features = pad_id, features

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """The tensors of a batch of items of `TrainingDataset`.

        ``input_ids`` and ``attention_mask`` are (rows, tokens), ``labels`` (rows, 2), ``features``, where there are
        any, (rows, tokens, hidden size).
        """
        ids, mask = pad([row["input_ids"] for row in rows], self.pad_id)
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.tensor([row["labels"] for row in rows], dtype=torch.float64),
        }
        if self.features is None:
            return batch
        states = [self.features[row["place"]] for row in rows]
        hidden = np.zeros((*ids.shape, states[0].shape[1]), dtype=np.float32)
        for place, state in zip(hidden, states, strict=True):
            place[: len(state)] = state
        return batch | {FEATURES: torch.from_numpy(hidden)}
