"""The classifier that serves an exported model: ONNX Runtime, tokenizers and weights; nothing that training needs.

The label is the checkpoint's decision, made so that rare classes are found too; the probabilities are calibrated. The
two can differ: "good" may be the answer at a probability of 0.4 where only one movie in seven is good.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import MODEL
from movie_ratings.model import checkpoint
from movie_ratings.model import linear as linear_part
from movie_ratings.model.batches import by_length, pad
from movie_ratings.model.decision import facts_known
from movie_ratings.model.linear import LinearPart
from movie_ratings.movies import text
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.release import with_year
from movie_ratings.prediction import served

RANGES: Final = {"year": (1870, 2100), "runtime": (0, 10_000)}  # minutes
TOKENS: Final = 512  # padded tokens in a batch: more do not fit the caches of a few cores and go slower


class Prediction(NamedTuple):
    """A label and the calibrated probability of each class, worst class first."""

    label: str
    probabilities: dict[str, float]


class Classifier:
    """A served model that answers with labels and probabilities; see `Classifier.load`."""

    def __init__(self, session: Any, tokenizer: Tokenizer, linear: LinearPart | None, model: served.Served):
        self._session, self._tokenizer, self._linear, self._model = session, tokenizer, linear, model

    @classmethod
    def load(cls, path: str | Path = MODEL, rev: str | None = None, threads: int = 0) -> "Classifier":
        """Load a folder that the export stage wrote, or the one that ``path`` was at a git revision or tag.

        ``threads`` compute; 0 is one for each core.

        Raises:
            UserError: the folder is missing, incomplete, damaged, or of another text format; the revision is unknown
                or its model cannot be had.
        """
        if rev is not None:
            from movie_ratings.prediction import revisions

            path = revisions.fetch(rev, str(path))
        model = served.read(path)
        import onnxruntime  # a fifth of a second: not for --help, not for typos

        onnxruntime.set_default_logger_severity(3)
        try:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            session = onnxruntime.InferenceSession(Path(path, served.MODEL), options, ["CPUExecutionProvider"])
            tokenizer = Tokenizer.from_file(str(Path(path, served.TOKENIZER)))
        # Both libraries raise what their native parts raise; whatever it is, the file is at fault.
        except Exception as error:
            raise UserError(f"{path}: cannot be loaded ({first_line(error)})") from None
        return cls(session, tokenizer, linear_part.read(path) if model.metadata.has_linear else None, model)

    @property
    def metadata(self) -> checkpoint.Metadata:
        """Thresholds, text format, calibrations, decisions and origin."""
        return self._model.metadata

    @property
    def version(self) -> str:
        """A hash of the model's content: twelve hexadecimal digits."""
        return self._model.version

    @property
    def variant(self) -> served.Variant:
        """fp32, or int8 where the export stage found it to answer nearly alike."""
        return self._model.variant

    @property
    def validation(self) -> dict[str, Any]:
        """Figures of merit on the validation split, as the export stage measured them."""
        return self._model.validation

    def encode(self, movies: Sequence[Mapping[str, Any]]) -> list[list[int]]:
        """The token ids that the model sees for each movie."""
        return text.encode(self._tokenizer, movies, self.metadata.text)

    def logits(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Class logits of each part, shape (parts, movies, classes): the transformer's, then the linear one's."""
        rows = self.encode(movies)
        logits = np.zeros((len(rows), len(CLASSES)))
        for batch in by_length([len(ids) for ids in rows], TOKENS):
            ids, mask = pad([rows[row] for row in batch], self._model.pad_id)
            (logits[batch],) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        return np.stack([logits, self._linear.logits(movies)] if self._linear else [logits])

    def answer(self, movies: Sequence[Mapping[str, Any]]) -> tuple[Floats, Ints]:
        """Calibrated probabilities (movies, classes) and answers (movies,), in the order of ``movies``."""
        return self.decide(movies, self.logits(movies))

    def decide(self, movies: Sequence[Mapping[str, Any]], logits: Floats) -> tuple[Floats, Ints]:
        """What `answer` says of ``movies`` whose `logits` are known already."""
        return self.metadata.answerings.answer(logits, facts_known(movies, self.metadata.text.fields))

    def predict(self, movies: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Label and probabilities of each movie: a mapping with the fields of `movie_ratings.movies.text.FIELDS`.

        A field that is absent or empty is not known, but title and summary may not both be so. A field that the model
        was not trained on is not looked at: ``metadata.text.fields`` has those that are.

        Raises:
            UserError: a movie has neither title nor summary, or a field has the wrong type.
        """
        for place, movie in enumerate(movies):
            require_movie(movie, f"movie {place + 1}")
        if not movies:
            return []
        probabilities, answers = self.answer([with_year(movie) for movie in movies])
        return [
            Prediction(CLASSES[answer], dict(zip(CLASSES, map(float, row), strict=True)))
            for answer, row in zip(answers, probabilities, strict=True)
        ]


def require_movie(movie: Mapping[str, Any], place: str) -> None:
    """Check that the model can read ``movie``.

    Raises:
        UserError: naming ``place`` and the field.
    """
    for field in ("title", "summary"):
        if not isinstance(movie.get(field) or "", str):
            raise UserError(f"{place}: {field} must be text, found {movie[field]!r}")
    for field in text.NAMES:
        found = movie.get(field) or []
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            raise UserError(f"{place}: {field} must be a list of names, found {found!r}")
    for field, (least, most) in RANGES.items():
        value = movie.get(field)
        # NaN is how tables say that they do not know.
        if value is not None and value == value and not (_whole(value) and least <= value <= most):
            raise UserError(f"{place}: {field} must be a whole number from {least} to {most:,}, found {value!r}")
    if not text.normalise(movie.get("title") or "") and not text.normalise(movie.get("summary") or ""):
        raise UserError(f"{place}: title and summary are both empty")


def _whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
