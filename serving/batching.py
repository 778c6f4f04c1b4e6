"""Dynamic batching: one queue and one thread in front of the model.

Requests that wait at the same time are predicted in one batch. Long work (an explanation, a table, a request of more
movies than a batch holds) runs in steps on the same thread. A batch of requests follows each step, so that long work
holds up a batch by one step, however much of it is open.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Classifier, Prediction
from movie_ratings.prediction.engines import Computed
from movie_ratings.prediction.steps import PART, Steps

BATCH: Final = 32  # movies in one batch: a larger one would make its first request wait longer and be hardly faster
CAPACITY: Final = 64  # open movies: at a hundred predictions a second, a request waits little more than half a second
LONG: Final = 4  # open pieces of long work; they take turns
# Open pieces of long work of a bounded size, such as an explanation of phrases. One of them takes turns with the long
# work; the others wait, first in, first out. In turns, each of them would end as late as the last one.
QUEUED: Final = 16
STALLED: Final = 30.0  # seconds of one batch or step after which something is wrong with the model or the machine
CLOSING: Final = 1.0  # seconds to finish the requests that wait when the service stops
LOG: Final = logging.getLogger("serving")

T = TypeVar("T")


class BusyError(Exception):
    """The queue is full; the client should try again in a second."""


class ModelError(Exception):
    """The model failed in a way that no request explains, such as a panic of the tokenizer's native code."""


@dataclass(frozen=True)
class Predictions:
    """The predictions of one request, with version, precision and base rates of the one model that made them.

    ``ids`` has the ids of the predictions in the log, if there is one and it has room for them.
    """

    predictions: list[Prediction]
    version: str
    precision: Computed
    base_rates: dict[str, float]
    ids: Sequence[str] | None = None

    @classmethod
    def of(cls, classifier: Classifier, predictions: list[Prediction]) -> "Predictions":
        """What ``classifier`` predicted."""
        return cls(predictions, classifier.version, classifier.precision, classifier.base_rates)


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
    queued: bool = False  # by `Batcher.run_queued`
    steps: Steps[Any] | None = None


class Batcher:
    """Predicts on one thread, from a queue of at most ``capacity`` movies and from a limited number of long pieces.

    At most `LONG` pieces of long work are open, and at most `QUEUED` of a bounded size. The queues are first in, first
    out. ``on_batch`` is called with the size of each batch.
    """

    def __init__(
        self, classifier: Classifier, capacity: int = CAPACITY, on_batch: Callable[[int], None] = lambda size: None
    ):
        self.classifier = classifier
        self._capacity, self._on_batch = capacity, on_batch
        self._requests: deque[_Request] = deque()
        self._jobs: deque[_Long] = deque()  # long work, and the first queued piece
        self._queued: deque[_Long] = deque()  # the queued pieces behind the first one
        self._changed = threading.Condition()
        self._open = self._long = self._bounded = 0
        self._closing = False
        self._since: float | None = None  # when the present batch or step began
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

    @property
    def working(self) -> bool:
        """Whether requests are predicted: not after the thread ended, nor while one batch takes over `STALLED`."""
        since = self._since
        return self._thread.is_alive() and (since is None or time.monotonic() - since < STALLED)

    async def predict(self, movies: Sequence[ValidMovie]) -> Predictions:
        """Predict ``movies`` with one model, in one batch with other requests that wait.

        More movies than a batch holds are long work, so that they hold up no other request.

        Raises:
            BusyError: the queue is full, or is closing.
            ModelError: the model failed.
        """
        if len(movies) > BATCH:
            return await self.run(lambda classifier: _in_parts(classifier, movies, self._on_batch))
        result = _Result()
        with self._changed:
            if self._closing or (self._open and self._open + len(movies) > self._capacity):
                raise BusyError
            self._open += len(movies)
            self._requests.append(_Request(movies, result))
            self._changed.notify()
        found: Predictions = await result.future
        return found

    async def run(self, work: Callable[[Classifier], Steps[T]]) -> T:
        """Run long work in steps and return its result; one and the same classifier serves all of its steps.

        Raises:
            BusyError: too much long work is open, or the queue is closing.
            ModelError: the model failed.
        """
        result = _Result()
        with self._changed:
            if self._closing or self._long >= LONG:
                raise BusyError
            self._long += 1
            self._jobs.append(_Long(work, result))
            self._changed.notify()
        found: T = await result.future
        return found

    async def run_queued(self, work: Callable[[Classifier], Steps[T]]) -> T:
        """As `run`, for work of a bounded size, which waits until the queued work before it has ended.

        Raises:
            BusyError: too much such work is open, or the queue is closing.
            ModelError: the model failed.
        """
        result = _Result()
        with self._changed:
            if self._closing or self._bounded >= QUEUED:
                raise BusyError
            self._bounded += 1
            (self._queued if self._bounded > 1 else self._jobs).append(_Long(work, result, queued=True))
            self._changed.notify()
        found: T = await result.future
        return found

    def swap(self, classifier: Classifier) -> None:
        """Use another model from now on; a batch or long work that has begun ends with the model it began with."""
        self.classifier = classifier

    def close(self, seconds: float = CLOSING) -> bool:
        """Finish the requests that wait, abandon long work after its present step, and stop within ``seconds``.

        Returns whether the thread has ended. If it has not, `BusyError` is the result of what still waits, and the
        thread ends with the process.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        with self._changed:
            waiting: list[_Request | _Long] = [*self._requests, *self._jobs, *self._queued]
            for queue in (self._requests, self._jobs, self._queued):
                queue.clear()
        for one in waiting:
            one.result.set(BusyError())
        return not self._thread.is_alive()

    def _work(self) -> None:
        after_batch = False
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._requests or self._jobs or self._closing)
                if not self._requests and not self._jobs:
                    return
                # In turns, so that neither kind waits for all of the other.
                job = self._jobs.popleft() if self._jobs and (after_batch or not self._requests) else None
                batch = [] if job else self._batch()
            after_batch = job is None
            self._since = time.monotonic()
            if job:
                self._step(job)
            else:
                self._predict(batch)
            self._since = None

    def _batch(self) -> list[_Request]:
        """The first request, and those right behind it that still fit into its batch."""
        batch = [self._requests.popleft()]
        size = len(batch[0].movies)
        while self._requests:
            size += len(self._requests[0].movies)
            if size > BATCH:
                break
            batch.append(self._requests.popleft())
        return batch

    def _predict(self, batch: list[_Request]) -> None:
        movies = [movie for request in batch for movie in request.movies]
        results: list[Predictions | Exception]
        try:
            classifier = self.classifier
            predictions = iter(classifier.predict_validated(movies))
            results = [Predictions.of(classifier, [next(predictions) for _ in request.movies]) for request in batch]
            self._on_batch(len(movies))
        # Any error is the result of these requests; the thread must go on for the others. Native code can raise what is
        # no Exception: a panic of the tokenizer is a BaseException.
        except BaseException as error:
            results = [_answerable(error)] * len(batch)
        with self._changed:
            self._open -= len(movies)
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
        except BaseException as error:
            result = _answerable(error)
        else:
            with self._changed:
                self._jobs.append(job)
            return
        with self._changed:
            if not job.queued:
                self._long -= 1
            else:
                self._bounded -= 1
                if self._queued:
                    self._jobs.append(self._queued.popleft())
        job.result.set(result)


def _in_parts(
    classifier: Classifier, movies: Sequence[ValidMovie], on_batch: Callable[[int], None]
) -> Steps[Predictions]:
    predictions: list[Prediction] = []
    for first in range(0, len(movies), PART):
        part = movies[first : first + PART]
        predictions += yield from classifier.predict_in_steps(part)
        on_batch(len(part))
        yield
    return Predictions.of(classifier, predictions)


def _answerable(error: BaseException) -> Exception:
    """The error as the result of a request: a future takes neither StopIteration nor what would stop the event loop."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    found = ModelError(type(error).__name__)
    found.__cause__ = error
    return found
