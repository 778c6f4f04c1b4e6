"""Training rows: movies as token ids, some of them with facts left out, with their ratings and weights."""

from collections.abc import Sequence
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from transformers import PreTrainedTokenizerBase

from movie_ratings.core.arrays import Bools, Floats
from movie_ratings.model.batches import pad
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import FIELDS, NAMES, PLOT, TextFormat, facts_among
from movie_ratings.params import Params
from movie_ratings.training.frozen import Features
from movie_ratings.training.tokens import write_tokens


class Rows(torch.utils.data.Dataset):
    """The rows of both splits as token ids, ratings and weights, those of the training split first.

    In each epoch, a share of the training rows stands there with facts left out: the ones that `set_epoch` draws. The
    token ids are in a file in ``folder``, made there unless an interrupted run has left it.
    """

    def __init__(
        self,
        train: pa.Table,
        validation: pa.Table,
        tokenizer: PreTrainedTokenizerBase,
        text: TextFormat,
        options: Params,
        folder: Path,
    ):
        movies = Movies(pa.concat_tables([train.select(FIELDS), validation.select(FIELDS)]))
        self.train, self.validation = range(train.num_rows), range(train.num_rows, len(movies))
        self.movies = movies
        self.ratings = np.concatenate([table["rating"].to_numpy() for table in (train, validation)])
        self.weights = np.ones(len(movies))
        self.weights[: len(train)] = vote_weights(train["vote_count"], options.train.vote_weighting)
        self._share, self._seed = options.text.field_dropout, options.train.seed
        self.dropped = drop_fields(movies[: len(train)] if self._share else movies[:0], text.fields, self._seed)
        # Behind the whole movies stand those that an epoch will show with facts left out.
        shown = np.any([self._drawn(epoch) for epoch in range(options.train.epochs)], axis=0)
        self._places = len(movies) - 1 + np.cumsum(shown)  # of those that are shown
        asked, count = chain(movies, compress(self.dropped, shown)), len(movies) + int(shown.sum())
        self.input_ids = write_tokens(folder / "tokens.arrow", asked, count, tokenizer.backend_tokenizer, text)
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the training rows that this epoch shows with facts left out; the same ones for the same seed."""
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
    """Pads a batch to its longest row: token ids, or in their place what the frozen layers made of them."""

    def __init__(self, pad_id: int, features: Features | None):
        self.pad_id, self.features = pad_id, features

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Tensors of some of the items of `Rows`."""
        ids, mask = pad([row["input_ids"] for row in rows], self.pad_id)
        batch = {
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.tensor([row["labels"] for row in rows], dtype=torch.float64),
        }
        if self.features is None:
            return batch | {"input_ids": torch.from_numpy(ids)}
        states = [self.features[row["place"]] for row in rows]
        hidden = np.zeros((*ids.shape, states[0].shape[1]), dtype=np.float32)
        for place, state in zip(hidden, states, strict=True):
            place[: len(state)] = state
        return batch | {"inputs_embeds": torch.from_numpy(hidden)}


def known_fields(movies: pa.Table, fields: Sequence[str]) -> list[str]:
    """Those of ``fields`` that are known of any movie, and title, genres and summary: the others teach nothing."""
    read = {field: movies[field] for field in facts_among(fields)}
    known = {
        field
        for field, values in read.items()
        if pc.any(pc.greater(pc.list_value_length(values), 0) if field in NAMES else pc.is_valid(values)).as_py()
    }
    return [field for field in fields if field in PLOT or field in known]


def vote_weights(counts: pa.ChunkedArray, half: float) -> Floats:
    """The weight of each movie, shape (movies,), 1 on average: votes / (votes + ``half``), of the counts of votes.

    A mean of many votes tells more than one of a few. With ``half`` 0, and where votes were not counted, all are 1.
    """
    votes = pc.fill_null(counts, 0).to_numpy().astype(np.float64)
    if half == 0 or not votes.any():
        return np.ones(len(votes))
    votes = np.maximum(votes, 1)
    weights: Floats = votes / (votes + half)
    return weights / weights.mean()


def drop_fields(movies: Movies, fields: Sequence[str], seed: int) -> Movies:
    """Each movie with facts left out, as requests leave them out.

    Half of them keep nothing but the original's request (`movies.text.PLOT`), the others each fact by the toss of a
    coin. Without facts among ``fields`` there are none.
    """
    facts = facts_among(fields)
    if not facts:
        return movies[:0]
    generator = np.random.default_rng(seed)
    coins = generator.random((len(movies), 1 + len(facts))) < 0.5
    return movies.without(facts, coins[:, 1:] | coins[:, :1])
