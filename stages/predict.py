"""Predict: bad, average or good for one movie from flags, or for every movie of a file.

The label is the checkpoint's decision, made so that rare classes are found too; the probabilities are calibrated. The
two can differ: "good" may be the answer at a probability of 0.4 where only one movie in seven is good.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from stages import checkpoint, served, text
from stages.batches import by_length, pad
from stages.command import exit_code
from stages.decision import Floats
from stages.errors import UserError
from stages.explain import LIMITS, Effect, explain, strongest
from stages.labels import CLASSES

MODEL: Final = "models/movie-rating"
BATCH: Final = 1_000
TOKENS: Final = 512  # padded tokens in a batch: more do not fit the caches of a few cores and go slower


class Prediction(NamedTuple):
    """A label and the calibrated probability of each class, worst class first."""

    label: str
    probabilities: dict[str, float]


class Classifier:
    """A served model that answers with labels and probabilities; see `Classifier.load`."""

    def __init__(self, session: Any, tokenizer: Tokenizer, model: served.Served):
        self._session, self._tokenizer, self._model = session, tokenizer, model

    @classmethod
    def load(cls, path: str | Path = MODEL, rev: str | None = None, threads: int = 0) -> "Classifier":
        """Load a folder that the export stage wrote, or the one that ``path`` was at a git revision or tag.

        ``threads`` compute; 0 is one for each core.

        Raises:
            UserError: the folder is missing, incomplete, damaged, or of another text format; the revision is unknown
                or its model cannot be had.
        """
        if rev is not None:
            from stages import revisions

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
            raise UserError(f"{path}: cannot be loaded ({str(error).splitlines()[0]})") from None
        return cls(session, tokenizer, model)

    @property
    def metadata(self) -> checkpoint.Metadata:
        """Thresholds, text format, calibration, decision and origin."""
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

    def probabilities(self, movies: Sequence[Mapping[str, Any]]) -> Floats:
        """Calibrated probabilities, shape (movies, classes), in the order of ``movies``."""
        rows = self.encode(movies)
        logits = np.zeros((len(rows), len(CLASSES)))
        for batch in by_length([len(ids) for ids in rows], TOKENS):
            ids, mask = pad([rows[row] for row in batch], self._model.pad_id)
            (logits[batch],) = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        return self.metadata.calibration.probabilities(logits)

    def predict(self, movies: Sequence[Mapping[str, Any]]) -> list[Prediction]:
        """Label and probabilities of each movie: a mapping with ``title``, ``summary`` and ``genres`` (a list).

        A field that is absent or empty is left out of the text, but title and summary may not both be.

        Raises:
            UserError: a movie has neither title nor summary, or a field has the wrong type.
        """
        for place, movie in enumerate(movies):
            require_movie(movie, f"movie {place + 1}")
        if not movies:
            return []
        probabilities = self.probabilities(movies)
        answers = self.metadata.decision.classes(probabilities)
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
    genres = movie.get("genres") or []
    if not isinstance(genres, list) or not all(isinstance(genre, str) for genre in genres):
        raise UserError(f"{place}: genres must be a list of names, found {genres!r}")
    if not text.normalise(movie.get("title") or "") and not text.normalise(movie.get("summary") or ""):
        raise UserError(f"{place}: title and summary are both empty")


def predict_file(classifier: Classifier, source: Path, target: Path, progress: bool = True) -> int:
    """Predict every movie of ``source`` into ``target`` (CSV, JSON lines or Parquet by suffix); return how many.

    ``progress`` shows a bar on standard error.

    Raises:
        UserError: the source cannot be read; the message says where.
    """
    from tqdm import tqdm

    from stages import movie_files  # Parquet: not needed for one movie

    rows = 0
    with movie_files.Writer(target) as writer, tqdm(desc="predict", unit=" movies", disable=not progress) as bar:
        for batch in movie_files.read(source, BATCH):
            for place, movie in batch:
                require_movie(movie, place)
                if {"label", "true_label"} <= movie.keys():
                    raise UserError(f"{place}: both a label and a true_label; drop one, label becomes true_label")
            predictions = classifier.predict([movie for _, movie in batch])
            writer.write([joined(movie, p) for (_, movie), p in zip(batch, predictions, strict=True)])
            rows += len(batch)
            bar.update(len(batch))
    return rows


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.predict",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='Example: python -m stages.predict --title "The Long Harbour" '
        '--summary "A widowed pilot guides one last ship home." --genres Drama --genres Romance',
    )
    parser.add_argument("--title", help="title of one movie")
    parser.add_argument("--summary", help="its plot, or what there is of one")
    parser.add_argument("--genres", action="append", metavar="GENRE", help="a genre; repeat for several")
    parser.add_argument(
        "--input",
        type=Path,
        metavar="FILE",
        help="many movies: .csv, .jsonl or .parquet with columns title, summary and genres "
        '(in CSV: "Drama, Crime" or a JSON list)',
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where to: .csv, .jsonl or .parquet (default: here)"
    )
    parser.add_argument("--model", default=MODEL, metavar="FOLDER", help="a served folder (default: %(default)s)")
    parser.add_argument("--rev", help="the model of this git revision or tag, out of DVC's cache or remote")
    parser.add_argument("--json", action="store_true", help="answer in lines of JSON, with the model's version")
    parser.add_argument("--explain", action="store_true", help="one movie: which words and fields pushed the answer")
    parser.add_argument("--engine", choices=["local", "ray"], default="local", help="ray: for a cluster; Parquet")
    parser.add_argument("--workers", type=int, default=2, help="--engine ray: how many (default: %(default)s)")
    options = parser.parse_args(arguments)
    one = options.title is not None or options.summary is not None or options.genres is not None
    if bool(options.input) == one or (options.output and not options.input):
        parser.error("give either --title, --summary and --genres, or --input")
    if options.input and options.explain:
        parser.error("--explain is for one movie: --title, --summary and --genres")
    if options.engine == "ray" and not options.output:
        parser.error("--engine ray needs --input and --output")
    if options.output and options.json:
        parser.error("--json is for answers that are printed; an --output that ends in .jsonl gives lines of JSON")
    return exit_code(lambda: _predict_many(options) if options.input else _predict_one(options))


def _predict_one(options: argparse.Namespace) -> None:
    movie = {"title": options.title, "summary": options.summary, "genres": options.genres}
    require_movie(movie, "--title, --summary")
    classifier = Classifier.load(options.model, options.rev)
    (prediction,) = classifier.predict([movie])
    explanation = explain(classifier, movie) if options.explain else None
    if options.json:
        told = (
            {"explanation": {"fields": _dicts(explanation.fields), "words": _dicts(explanation.words)}}
            if explanation
            else {}
        )
        print(json.dumps({**prediction._asdict(), **told, "version": classifier.version}))
        return
    print(prediction.label)
    for name, probability in prediction.probabilities.items():
        print(f"  {name:<8} {probability:.3f}  {'█' * round(40 * probability)}")
    if explanation:
        print(f"What moved the probability of {prediction.label!r}, and by how much:")
        for found in [*explanation.fields, *strongest(explanation.words, 8)]:
            print(f"  {found.effect:+.3f}  {found.field:<8} {found.text[:60]}")
        print(f"({LIMITS})")


def _dicts(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    return [found._asdict() for found in effects]


def _predict_many(options: argparse.Namespace) -> None:
    from stages import movie_files

    for path in filter(None, (options.input, options.output)):
        movie_files.require_format(path)
    if not options.input.is_file():
        raise UserError(f"{options.input}: no such file")
    if options.engine == "ray":
        from stages import cluster, revisions

        model = revisions.fetch(options.rev, options.model) if options.rev else options.model
        rows = cluster.predict(options.input, options.output, str(model), options.workers)
        print(f"predict: {rows:,} movies, {options.output} written")
        return
    classifier = Classifier.load(options.model, options.rev)
    if options.output:
        rows = predict_file(classifier, options.input, options.output)
        print(f"predict: {rows:,} movies, {options.output} written")
        return
    for batch in movie_files.read(options.input, BATCH):
        movies = [movie for _, movie in batch]
        for place, movie in batch:
            require_movie(movie, place)
        for movie, prediction in zip(movies, classifier.predict(movies), strict=True):
            title = text.normalise(movie.get("title") or "")
            if options.json:
                print(json.dumps({"title": title, **prediction._asdict(), "version": classifier.version}))
            else:
                print(f"{prediction.label:<8} {_percents(prediction)}  {title[:80]}")


def _percents(prediction: Prediction) -> str:
    return " ".join(f"{name} {probability:4.0%}" for name, probability in prediction.probabilities.items())


def joined(movie: Mapping[str, Any], prediction: Prediction) -> dict[str, Any]:
    """The input's columns and the prediction's; a ``label`` that came along is kept as ``true_label``."""
    own = {"true_label" if name == "label" else name: value for name, value in movie.items()}
    probabilities = {f"probability_{name}": p for name, p in prediction.probabilities.items()}
    return own | {"label": prediction.label} | probabilities


if __name__ == "__main__":
    sys.exit(main())
