"""The classifier that serves an exported model: an engine, tokenizers and weights; nothing that training needs.

The label comes from the checkpoint's decision rule, which is fitted to find rare classes too; the probabilities are
calibrated. The label need not have the largest probability: a movie can be labelled "good" at a probability of 0.4,
because only one movie in seven is good. `Decision` lists both kinds of label.
"""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import MODEL
from movie_ratings.model import checkpoint, comparables
from movie_ratings.model import linear as linear_part
from movie_ratings.model.batches import of_one_length, pad
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import Contributions, LinearPart
from movie_ratings.model.rating import implied_ratings
from movie_ratings.movies import text
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.movies.validation import MovieError, ValidMovie, validated
from movie_ratings.prediction import engines, served
from movie_ratings.prediction.cache import Cache
from movie_ratings.prediction.engines import Computed, Engine, Precision
from movie_ratings.prediction.steps import PART, SIZE, Steps, finish

if TYPE_CHECKING:
    import pandas as pd

SIMILAR: Final = 5  # comparable films of a movie


class Comparable(NamedTuple):
    """A rated movie of the training split that resembles a movie; ``similarity`` is at most 1.

    ``rating`` is the movie's true rating, 0 to 10. It never enters a prediction.
    """

    title: str
    year: int | None
    rating: float
    similarity: float


# How the label follows from the probabilities: by the checkpoint's rule, which weighs each probability against how rare
# its class is, or as the class with the largest probability.
Decision = Literal["balanced", "most_probable"]
BALANCED: Final[Decision] = "balanced"


class Prediction(NamedTuple):
    """What the model predicts of one movie.

    ``label`` is the class by the checkpoint's decision rule. ``probabilities`` has the calibrated probability of each
    class, worst class first. ``predicted_rating`` is the median of the rating's distribution, 0 to 10. The rating of
    four movies in five lies in ``interval_80``, from its first value to its second.
    """

    label: str
    probabilities: dict[str, float]
    predicted_rating: float
    interval_80: tuple[float, float]

    @property
    def most_probable(self) -> str:
        """The class with the largest probability."""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    def decided(self, decision: Decision) -> "Prediction":
        """The prediction with the label that ``decision`` gives."""
        return self if decision == BALANCED else self._replace(label=self.most_probable)


@dataclass(frozen=True)
class Variants:
    """What the variants of one movie share, each of which lacks a part of it.

    ``known`` is whether at least half of the movie's facts are known: all variants are predicted with the weights for
    such movies, or all with those for the others. ``texts`` has the transformer's logits (classes,) of texts that were
    read before, by their token ids, and receives those of new texts: each text is read once.
    """

    known: bool
    texts: dict[tuple[int, ...], Floats] = field(default_factory=dict)


class Classifier:
    """A served model that predicts labels and probabilities; see `Classifier.load`."""

    def __init__(
        self,
        engine: Engine,
        tokenizer: Tokenizer,
        linear: LinearPart | None,
        model: served.Served,
        folder: Path | None = None,
        cached: int = 0,
    ):
        self._engine, self._tokenizer, self._linear, self._model = engine, tokenizer, linear, model
        # The logits of texts that were read before. They are those of this model: another model is another classifier.
        self._cache = Cache(cached)
        # The folder of the comparable films, which are read when they are first needed: most predictions need none.
        self._folder = folder
        self._films: comparables.Comparables | None = None

    @classmethod
    def load(
        cls,
        path: str | Path = MODEL,
        rev: str | None = None,
        threads: int = 0,
        precision: Precision = "fp32",
        cached: int = 0,
    ) -> "Classifier":
        """Load the folder ``path``, which the export stage wrote; with ``rev``, as it was at a git revision.

        ``rev`` may also be a tag, a stage of the model (``prod``, or ``movie-rating#prod`` as GTO writes it) or a DVC
        experiment: see `movie_ratings.prediction.revisions.resolve`.

        ``threads`` is the number of computing threads; 0 means one for each core. ``precision`` auto computes products
        in bf16 where OpenVINO is installed, the processor has instructions for bf16, and the export stage found bf16 to
        predict nearly the same: faster for many movies, slower to load. The logits of the last ``cached`` texts are
        kept, so that a text that comes again is not read again.

        Raises:
            UserError: the folder is missing, incomplete, damaged, or of another text format; the revision is unknown
                or its model is neither in DVC's cache nor on a remote.
        """
        if rev is not None:
            from movie_ratings.prediction import revisions

            path = revisions.fetch(rev, str(path))
        model = served.read(path)
        try:
            engine = engines.load(Path(path), model, precision, threads)
            tokenizer = Tokenizer.from_file(str(Path(path, served.TOKENIZER)))
        except (UserError, KeyboardInterrupt, SystemExit):
            raise
        # The libraries raise whatever their native parts raise, a panic of Rust, which is no Exception, included; the
        # file is at fault in each case.
        except BaseException as error:
            raise UserError(f"{path}: cannot be loaded ({first_line(error)})") from None
        linear = linear_part.read(path) if model.metadata.has_linear else None
        return cls(engine, tokenizer, linear, model, Path(path) if model.has_comparables else None, cached)

    @property
    def metadata(self) -> checkpoint.Metadata:
        """Thresholds, text format, calibrations, decisions and origin."""
        return self._model.metadata

    @property
    def version(self) -> str:
        """A hash of the model's content: twelve hexadecimal digits."""
        return self._model.version

    @property
    def base_rates(self) -> dict[str, float]:
        """The share of each class among the training movies: the probability before anything is known of a movie."""
        return dict(zip(CLASSES, self.metadata.base_rates, strict=True))

    @property
    def variant(self) -> served.Variant:
        """The precision of the graph: fp32, or int8 if the export stage found int8 to predict nearly the same."""
        return self._model.variant

    @property
    def precision(self) -> Computed:
        """What the transformer is computed in: the variant of the graph, or bf16."""
        return self._engine.precision

    @property
    def validation(self) -> dict[str, Any]:
        """Figures of merit on the validation split, as the export stage measured them."""
        return self._model.validation

    def encode(self, movies: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """The token ids that the transformer reads, for each movie."""
        return text.encode(self._tokenizer, movies, self.metadata.text)

    def logits(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Class logits of each part, shape (parts, movies, classes): the transformer's, then the linear part's."""
        return finish(self.logits_in_steps(movies))

    def logits_in_steps(self, movies: Sequence[Mapping[str, Any]], variants: Variants | None = None) -> Steps[Floats]:
        """As `logits`, with pauses; with ``variants``, the movies are variants of one movie."""
        # The texts of variants are too many to keep for another movie.
        texts: MutableMapping[tuple[int, ...], Floats] = variants.texts if variants else {}
        rows: list[tuple[int, ...]] = []
        added: list[Floats] = []  # the linear part's logits
        for first in range(0, max(len(movies), 1), PART):
            if first:
                yield
            part = movies[first : first + PART]
            rows += map(tuple, self.encode(part))
            if self._linear:
                added.append(self._linear.logits(part, variants.known if variants else None))
        if not variants:
            texts.update(self._cache.known(rows))
        new = [ids for ids in dict.fromkeys(rows) if ids not in texts]
        found = np.zeros((len(new), len(CLASSES)))
        # Making and encoding the texts of many movies was a step of its own.
        done = len(rows) if len(rows) > SIZE else 0
        lengths = [len(ids) for ids in new]
        for batch, length in of_one_length(lengths, self.metadata.text.max_length, self._engine.tokens):
            if done >= SIZE:
                yield
                done = 0
            ids, mask = pad([new[row] for row in batch], self._model.pad_id, length)
            try:
                found[batch] = self._engine.logits(ids, mask)
            # A graph that cannot compute these tokens: the message names its nodes and no text of the movie.
            except Exception as error:
                raise UserError(f"model {self.version} cannot predict ({first_line(error)})") from None
            done += len(batch)
        texts.update(zip(new, found, strict=True))
        if not variants:
            self._cache.add(zip(new, found, strict=True))
        logits = np.array([texts[ids] for ids in rows]).reshape(len(rows), len(CLASSES))
        return np.stack([logits, np.concatenate(added)] if added else [logits])

    def contributions(self, movie: Mapping[str, Any]) -> Contributions | None:
        """The linear part's rating of a movie as a sum; None for a model without a linear part."""
        return self._linear.contributions(with_year(movie)) if self._linear else None

    def answer(self, movies: Sequence[Mapping[str, Any]]) -> tuple[Floats, Ints]:
        """Calibrated probabilities (movies, classes) and predicted classes (movies,), in the order of ``movies``."""
        return self.decide(movies, self.logits(movies))

    def decide(self, movies: Sequence[Mapping[str, Any]], logits: Floats) -> tuple[Floats, Ints]:
        """As `answer`, of movies whose `logits` were computed before.

        Raises:
            UserError: the model computes a probability that is not finite.
        """
        found = self.metadata.answerings.answer(logits, facts_known(movies, self.metadata.text.fields))
        if not np.isfinite(found[0]).all():
            raise UserError(f"model {self.version} cannot predict (a probability is not a finite number)")
        return found

    def rate(self, movies: Sequence[Mapping[str, Any]], probabilities: Floats) -> tuple[Floats, Floats]:
        """Predicted ratings (movies,) and the ends of their 80% intervals (movies, 2), of calibrated probabilities."""
        ratings = implied_ratings(probabilities, self.metadata.thresholds)
        return ratings, self.metadata.answerings.intervals(ratings, facts_known(movies, self.metadata.text.fields))

    def predict(self, movies: Sequence[Mapping[str, Any]], decision: Decision = BALANCED) -> list[Prediction]:
        """Label, probabilities and rating of each movie.

        A movie is a mapping with the fields of `movie_ratings.movies.text.FIELDS`. A field that is absent or empty is
        unknown; title and summary may not both be unknown. The model reads the fields that ``metadata.fields`` names
        and ignores all others.

        Raises:
            UserError: a movie has neither title nor summary, or a field has the wrong type; the message has the number
                of the movie, counted from 1.
        """
        found = self.predict_validated([_numbered(movie, number) for number, movie in enumerate(movies, 1)])
        return [prediction.decided(decision) for prediction in found]

    def predict_frame(
        self, frame: "pd.DataFrame", decision: Decision = BALANCED, mapping: Mapping[str, Any] | None = None
    ) -> "pd.DataFrame":
        """Label, probabilities and rating of the movie in each row of a pandas DataFrame, with the frame's index.

        The columns of ``frame`` are recognised by their names, and its cells are read, as those of a file are: lists,
        dates, runtimes and budgets in many spellings. ``mapping`` has the columns of fields whose columns have other
        names, such as ``{"title": "Name", "cast": ["Star 1", "Star 2"], "genres": None}``; None: no column has the
        field. The frame itself is not changed.

        The result has the columns ``label``, ``probability_bad``, ``probability_average``, ``probability_good``,
        ``predicted_rating`` (0 to 10), ``predicted_rating_low`` and ``predicted_rating_high`` (the 80% interval). Its
        ``attrs`` say which columns were read: ``read`` has the columns of each field, ``not_read`` all others. A value
        that cannot be read counts as not known, and a UserWarning names its field and its row.

        Raises:
            UserError: pandas is not installed, the frame has no column for a title or a summary, or a row holds no
                movie; the message names the column, or the label of the row.
        """
        from movie_ratings.prediction import frames  # pyarrow, which a single prediction does not need

        return frames.predict_frame(self, frame, decision, mapping or {})

    def predict_validated(self, movies: Sequence[ValidMovie]) -> list[Prediction]:
        """As `predict`, of movies that have been checked."""
        return finish(self.predict_in_steps(movies))

    def comparables(self, movies: Sequence[ValidMovie], count: int = SIMILAR) -> list[list[Comparable]]:
        """The rated movies of the training split that resemble each movie most, at most ``count``, nearest first.

        The lists are empty if the served folder has no comparable films (``export.comparables`` is 0, or the model was
        published).

        Raises:
            UserError: the file of comparable films cannot be read.
        """
        return finish(self.comparables_in_steps(movies, count))

    def comparables_in_steps(self, movies: Sequence[ValidMovie], count: int = SIMILAR) -> Steps[list[list[Comparable]]]:
        """As `comparables`, with pauses."""
        if self._folder is None:
            return [[] for _ in movies]
        if self._films is None:
            self._films = comparables.read(self._folder)
        found = []
        for place, movie in enumerate(movies):
            if place % SIZE == SIZE - 1:
                yield
            nearest = self._films.nearest(with_year(movie), count)
            found.append([Comparable(*self._films.films[film], similarity) for film, similarity in nearest])
        return found

    def predict_in_steps(self, movies: Sequence[ValidMovie]) -> Steps[list[Prediction]]:
        """As `predict_validated`, with pauses."""
        if not movies:
            return []
        known = [with_year(movie) for movie in movies]
        return self.predictions(known, (yield from self.logits_in_steps(known)))

    def predictions(self, movies: Sequence[Mapping[str, Any]], logits: Floats) -> list[Prediction]:
        """As `predict`, of movies with their year whose `logits` were computed before."""
        probabilities, classes = self.decide(movies, logits)
        ratings, intervals = self.rate(movies, probabilities)
        columns = (array.tolist() for array in (classes, probabilities, ratings, intervals))
        return [
            Prediction(CLASSES[index], dict(zip(CLASSES, row, strict=True)), rating, (low, high))
            for index, row, rating, (low, high) in zip(*columns, strict=True)
        ]


def _numbered(movie: Mapping[str, Any], number: int) -> ValidMovie:
    try:
        return validated(movie)
    except MovieError as error:
        raise error.at(f"movie {number}") from None
