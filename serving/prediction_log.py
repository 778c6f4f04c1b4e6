"""Writes the log of what is served, on a thread of its own: a prediction never waits for the disk."""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.log import parts, records
from movie_ratings.log.schemas import SCHEMAS
from movie_ratings.movies.text import NAMES, TEXTS
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Prediction
from serving.log_options import LogOptions
from serving.metrics import Metrics

LOG: Final = logging.getLogger("serving")
FLUSH: Final = 0.5  # seconds between two writes: a process that is killed loses the rows of this time
ROWS: Final = 4_096  # that may wait
CHARACTERS: Final = 16 << 20  # of all movies that wait, estimated
CLOSING: Final = 2.0  # seconds to write what waits when the service stops
FEEDBACK_SHARE: Final = 4  # one byte in four is for feedback: whoever sends too much of it pushes out no prediction


@dataclass(frozen=True)
class _Served:
    """The predictions of one request, as they wait."""

    time: int  # milliseconds since 1970
    ids: Sequence[str]
    version: str
    movies: Sequence[ValidMovie]
    predictions: Sequence[Prediction]


class PredictionLog:
    """The log of one service. `close` must be called at the end.

    ``texts`` says whether the log holds the texts of movies. When the disk does not take a row, the log stops with one
    line in the log of the process. Predictions go on.
    """

    def __init__(self, options: LogOptions, metrics: Metrics):
        """Lock the folder, and complete what a killed process left in it.

        Raises:
            UserError: another process writes to the folder, it cannot be written, or its key is damaged.
        """
        self.texts, self._metrics = options.texts, metrics
        self._lock = parts.lock(options.folder)
        self._key = parts.key(options.folder)
        feedback = options.limit // FEEDBACK_SHARE
        self._predictions = parts.Parts(options.folder, "predictions", options.limit - feedback)
        self._feedback = parts.Parts(options.folder, "feedback", feedback)
        self._waiting: deque[_Served | dict[str, Any]] = deque()
        self._rows = self._characters = 0
        self._changed = threading.Lock()
        self._closing = threading.Event()
        self._writes = True
        metrics.log_writes.set(1)
        for kind in SCHEMAS:
            metrics.log_rows.labels(kind)
            metrics.log_dropped.labels(kind)
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def predicted(
        self, movies: Sequence[ValidMovie], predictions: Sequence[Prediction], version: str
    ) -> Sequence[str] | None:
        """Keep predictions; returns their ids, or None if too many rows wait, or the log has stopped."""
        ids = [records.new_id(self._key) for _ in movies]
        served = _Served(_now(), ids, version, movies, predictions)
        return ids if self._keep("predictions", served, len(movies), sum(map(_characters, movies))) else None

    def rated(self, number: str, rating: float | None, label: str | None) -> bool:
        """Keep the true rating or label of a prediction; returns whether the log has room for it."""
        row = {"time": _now(), "id": number, "rating": rating, "label": label}
        return self._keep("feedback", row, 1, 100)

    def knows(self, number: str) -> bool:
        """Whether the id is of a prediction of this log."""
        return records.is_own(number, self._key)

    def close(self, seconds: float = CLOSING) -> None:
        """Write what waits, make parts of the open files, and let go of the folder."""
        self._closing.set()
        self._thread.join(seconds)
        if not self._thread.is_alive():
            self._lock.release()

    def _keep(self, kind: str, what: _Served | dict[str, Any], rows: int, characters: int) -> bool:
        with self._changed:
            # One request alone always has room.
            full = self._rows and (self._rows + rows > ROWS or self._characters + characters > CHARACTERS)
            keeps = self._writes and not full
            if keeps:
                self._waiting.append(what)
                self._rows += rows
                self._characters += characters
        if not keeps:
            self._metrics.log_dropped.labels(kind).inc(rows)
        return keeps

    def _work(self) -> None:
        try:
            while not self._closing.wait(FLUSH):
                self._write()
                for kind in (self._predictions, self._feedback):
                    kind.rotate_if_old()
            self._write()
            for kind in (self._predictions, self._feedback):
                kind.rotate()
        # Whatever fails here, predictions must go on. The message of another error could quote a movie.
        except (OSError, UserError) as error:
            self._stop(first_line(error))
        except Exception as error:
            self._stop(type(error).__name__)

    def _write(self) -> None:
        with self._changed:
            taken = list(self._waiting)
            self._waiting.clear()
            self._rows = self._characters = 0
        predictions = [row for one in taken if isinstance(one, _Served) for row in self._made(one)]
        feedback = [one for one in taken if not isinstance(one, _Served)]
        for kind, where, rows in (
            ("predictions", self._predictions, predictions),
            ("feedback", self._feedback, feedback),
        ):
            if rows:
                try:
                    where.append(rows)
                except Exception:
                    self._metrics.log_dropped.labels(kind).inc(len(rows))
                    raise
                self._metrics.log_rows.labels(kind).inc(len(rows))

    def _made(self, served: _Served) -> list[dict[str, Any]]:
        rows = []
        for number, movie, prediction in zip(served.ids, served.movies, served.predictions, strict=True):
            content = records.content(movie)
            # ASCII: half of a surrogate pair could not be encoded otherwise.
            movie_json = json.dumps(content)
            low, high = prediction.interval_80
            rows.append(
                {
                    "time": served.time,
                    "id": number,
                    "model_version": served.version,
                    "known": list(content),
                    "input_hash": records.input_hash(movie_json, self._key),
                    "label": prediction.label,
                    **{f"probability_{name}": p for name, p in prediction.probabilities.items()},
                    "predicted_rating": prediction.predicted_rating,
                    "predicted_rating_low": low,
                    "predicted_rating_high": high,
                    "movie": movie_json if self.texts else None,
                }
            )
        return rows

    def _stop(self, reason: str) -> None:
        with self._changed:
            self._writes = False
            self._waiting.clear()
            self._rows = self._characters = 0
        self._metrics.log_writes.set(0)
        LOG.error("the log of predictions stops", extra={"details": {"reason": reason}})


def _now() -> int:
    return time.time_ns() // 1_000_000


def _characters(movie: Mapping[str, Any]) -> int:
    """About how many characters a movie has; a name is taken for long, so that names need not be counted."""
    return sum(len(movie.get(field) or "") for field in TEXTS) + 100 * sum(len(movie.get(f) or ()) for f in NAMES)
