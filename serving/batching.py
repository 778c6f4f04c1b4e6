"""Dynamic batching: requests that wait at the same time are answered in one go."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from movie_ratings.prediction.classifier import Classifier, Prediction, require_movie

BATCH: Final = 32  # movies answered in one go: more would only make the first of them wait for the last
CAPACITY: Final = 64  # movies that may be open: with a hundred answered a second, nobody waits much over half of one
LOG: Final = logging.getLogger("serving")

Movies = Sequence[Mapping[str, Any]]


class BusyError(Exception):
    """The queue is full; ask again in a second."""


@dataclass(frozen=True)
class Answer:
    """The predictions of one request and the version of the model that made them all."""

    predictions: list[Prediction]
    version: str


@dataclass(frozen=True)
class _Job:
    movies: Movies
    future: "asyncio.Future[Answer]"
    loop: asyncio.AbstractEventLoop


class Batcher:
    """Answers requests one batch after another, on one thread, out of a queue of at most ``capacity`` movies.

    Requests are answered in the order in which they came and are not split. A single request may be larger than the
    queue if nothing waits. ``on_batch`` is told the size of each batch.
    """

    def __init__(
        self, classifier: Classifier, capacity: int = CAPACITY, on_batch: Callable[[int], None] = lambda size: None
    ):
        self.classifier = classifier
        self._capacity, self._on_batch = capacity, on_batch
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._open = 0  # movies that wait or are being answered
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def open(self) -> int:
        """Movies that wait or are being answered."""
        return self._open

    @property
    def full(self) -> bool:
        """Whether even a request of one movie would be refused."""
        return self._open >= self._capacity

    async def predict(self, movies: Movies) -> Answer:
        """Answer ``movies``, together with those of other requests.

        Raises:
            BusyError: the queue is full.
            UserError: a movie cannot be read.
        """
        # Here and not in the batch, where one movie that cannot be read would fail its neighbours.
        for number, movie in enumerate(movies, 1):
            require_movie(movie, f"movie {number}")
        loop = asyncio.get_running_loop()
        job = _Job(movies, loop.create_future(), loop)
        with self._changed:
            if self._closing or (self._open and self._open + len(movies) > self._capacity):
                raise BusyError
            self._open += len(movies)
            self._jobs.append(job)
            self._changed.notify()
        return await job.future

    def swap(self, classifier: Classifier) -> None:
        """Answer from now on with another model; a batch that is being answered ends with the one it began with."""
        self.classifier = classifier

    def close(self) -> None:
        """Answer what waits, then stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._take():
            classifier = self.classifier
            movies = [movie for job in batch for movie in job.movies]
            try:
                predictions = classifier.predict(movies)
                results: list[Answer | Exception] = []
                for job in batch:
                    results.append(Answer(predictions[: len(job.movies)], classifier.version))
                    del predictions[: len(job.movies)]
            # Whatever went wrong is the answer of these requests; the thread has to live on for the others.
            except Exception as error:
                results = [error] * len(batch)
            with self._changed:
                self._open -= len(movies)
            self._on_batch(len(movies))
            for job, result in zip(batch, results, strict=True):
                try:
                    job.loop.call_soon_threadsafe(_resolve, job.future, result)
                except RuntimeError:  # the loop is closed: nobody is waiting any more
                    LOG.warning("an answer came too late", exc_info=True)

    def _take(self) -> list[_Job]:
        """The jobs of the next batch; none when closed and all is answered."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            batch: list[_Job] = []
            size = 0
            while self._jobs and (not batch or size + len(self._jobs[0].movies) <= BATCH):
                batch.append(self._jobs.popleft())
                size += len(batch[-1].movies)
            return batch


def _resolve(future: "asyncio.Future[Answer]", result: Answer | Exception) -> None:
    if future.done():  # the client hung up
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
