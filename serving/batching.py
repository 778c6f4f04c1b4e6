"""Dynamic batching: one queue and one thread in front of the model.

Requests that wait at the same time are predicted in one batch. Long work (an explanation, a table) runs in steps on the
same thread: after each step it goes to the back of the queue, so that it never holds up a request by more than a step.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Classifier, Prediction
from movie_ratings.prediction.steps import Steps

BATCH: Final = 32  # movies in one batch: a larger one would make its first request wait longer and be hardly faster
CAPACITY: Final = 64  # open movies: at a hundred predictions a second, a request waits little more than half a second
LONG: Final = 4  # open pieces of long work: a request waits for at most one step of each
LOG: Final = logging.getLogger("serving")

T = TypeVar("T")


class BusyError(Exception):
    """The queue is full; the client should try again in a second."""


@dataclass(frozen=True)
class Predictions:
    """The predictions of one request, and the version of the one model that made them."""

    predictions: list[Prediction]
    version: str


class _Result:
    """The future of one request, set from the thread of the batches."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    @property
    def unwanted(self) -> bool:
        """Whether nobody waits for the result any more."""
        return self.future.cancelled()

    def set(self, result: Any) -> None:
        """Pass on the result, or the error if it is one."""
        try:
            self._loop.call_soon_threadsafe(self._resolve, result)
        except RuntimeError:  # the loop is closed, so nobody waits any more
            LOG.warning("a prediction came too late", exc_info=True)

    def _resolve(self, result: Any) -> None:
        if self.future.done():  # the client closed the connection
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


@dataclass
class _Request:
    movies: Sequence[ValidMovie]
    result: _Result


@dataclass
class _Long:
    """Long work. It gets its classifier at its first step and keeps it to the end."""

    work: Callable[[Classifier], Steps[Any]]
    result: _Result
    steps: Steps[Any] | None = None


class Batcher:
    """Predicts on one thread, from one queue of at most ``capacity`` movies and `LONG` pieces of long work.

    The queue is first in, first out, and requests are not split. A single request may be larger than the capacity if no
    other is open. ``on_batch`` is called with the size of each batch.
    """

    def __init__(
        self, classifier: Classifier, capacity: int = CAPACITY, on_batch: Callable[[int], None] = lambda size: None
    ):
        self.classifier = classifier
        self._capacity, self._on_batch = capacity, on_batch
        self._queue: deque[_Request | _Long] = deque()
        self._changed = threading.Condition()
        self._open = self._long = 0
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    @property
    def open(self) -> int:
        """The number of movies that wait or are being predicted; those of long work do not count."""
        return self._open

    @property
    def full(self) -> bool:
        """Whether even a request of one movie would be refused."""
        return self._open >= self._capacity

    async def predict(self, movies: Sequence[ValidMovie]) -> Predictions:
        """Predict ``movies``, in one batch with other requests that wait.

        Raises:
            BusyError: the queue is full, or is closing.
        """
        result = _Result()
        with self._changed:
            if self._closing or (self._open and self._open + len(movies) > self._capacity):
                raise BusyError
            self._open += len(movies)
            self._queue.append(_Request(movies, result))
            self._changed.notify()
        found: Predictions = await result.future
        return found

    async def run(self, work: Callable[[Classifier], Steps[T]]) -> T:
        """Run long work in steps and return its result; one and the same classifier serves all of its steps.

        Raises:
            BusyError: too much long work is open, or the queue is closing.
        """
        result = _Result()
        with self._changed:
            if self._closing or self._long >= LONG:
                raise BusyError
            self._long += 1
            self._queue.append(_Long(work, result))
            self._changed.notify()
        found: T = await result.future
        return found

    def swap(self, classifier: Classifier) -> None:
        """Use another model from now on; a batch or long work that has begun ends with the model it began with."""
        self.classifier = classifier

    def close(self) -> None:
        """Finish the requests that wait, abandon long work after its present step, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closing)
                if not self._queue:
                    return
                head = self._queue.popleft()
                batch = self._batch(head) if isinstance(head, _Request) else []
            if isinstance(head, _Long):
                self._step(head)
            else:
                self._predict(batch)

    def _batch(self, head: _Request) -> list[_Request]:
        """The request ``head`` and those right behind it that still fit into its batch."""
        batch, size = [head], len(head.movies)
        while self._queue and isinstance(following := self._queue[0], _Request):
            size += len(following.movies)
            if size > BATCH:
                break
            batch.append(following)
            self._queue.popleft()
        return batch

    def _predict(self, batch: list[_Request]) -> None:
        classifier = self.classifier
        movies = [movie for request in batch for movie in request.movies]
        try:
            predictions = iter(classifier.predict_validated(movies))
            results: list[Predictions | Exception] = [
                Predictions([next(predictions) for _ in request.movies], classifier.version) for request in batch
            ]
        # Any error is the result of these requests; the thread must go on for the others.
        except Exception as error:
            results = [error] * len(batch)
        with self._changed:
            self._open -= len(movies)
        self._on_batch(len(movies))
        for request, result in zip(batch, results, strict=True):
            request.result.set(result)

    def _step(self, job: _Long) -> None:
        try:
            steps = job.steps = job.steps or job.work(self.classifier)
            if self._closing or job.result.unwanted:
                steps.close()
                raise BusyError
            next(steps)
        except StopIteration as end:
            result = end.value
        # As in `_predict`.
        except Exception as error:
            result = error
        else:
            with self._changed:
                self._queue.append(job)
            return
        with self._changed:
            self._long -= 1
        job.result.set(result)
