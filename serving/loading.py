"""The model of the service, loaded and tried: a model that cannot predict is refused before a client meets it."""

import signal
from collections.abc import Callable
from typing import Any, Final

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.movies.text import NAMES, facts_among
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.engines import Precision
from serving.watching import fingerprint

# One value for each field that a model may read, so that the first movie below has all of its facts.
FACTS: Final[dict[str, Any]] = {
    "year": 2000,
    "runtime": 100,
    "budget": 1_000_000,
    "collection": "A Collection",
} | {field: ["A Name"] for field in NAMES}


def load(path: str, rev: str | None, precision: Precision = "auto", cached: int = 0) -> Classifier:
    """Load a model, as `Classifier.load` does, and predict a movie with its facts, one without, and a long text.

    The first prediction of a process takes longer than those after it; no client should wait for this one.

    Raises:
        UserError: the model cannot be loaded, or cannot predict, or another program wrote to its folder meanwhile.
            Whatever else goes wrong is such an error too.
    """
    before = fingerprint(path)
    try:
        classifier = Classifier.load(path, rev, precision=precision, cached=cached)
        text = classifier.metadata.text
        plot = {"title": "A first movie", "summary": "A story."}
        facts = {field: FACTS[field] for field in facts_among(classifier.metadata.fields)}
        # Once together, which pads the shorter ones, and the longest by itself.
        classifier.predict([plot | facts, plot, {"title": "A"}])
        classifier.predict([plot | {"summary": "word " * min(text.max_length, 4_096)}])
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    # A library's error or a panic of Rust, which is no Exception: the model is at fault each time.
    except BaseException as error:
        raise UserError(f"{path}: cannot be used ({type(error).__name__}: {first_line(error)})") from None
    # Each file was checked before it was read: a file that was replaced in between could be of another model.
    if rev is None and fingerprint(path) != before:
        raise UserError(f"{path}: changed while it was loaded")
    return classifier


class Hangups:
    """Keeps a SIGHUP that comes before the service listens: without a handler, it would end the process."""

    def __init__(self) -> None:
        self._came = False
        signal.signal(signal.SIGHUP, self._keep)

    def _keep(self, *_: Any) -> None:
        self._came = True

    def hand_over(self, handler: Callable[[], None]) -> None:
        """Call ``handler`` if a signal came; the caller has set it as the handler of the next ones."""
        if self._came:
            handler()
