"""The service without HTTP: the model, the queue in front of it, the metrics, and whether it takes requests."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.validation import ValidMovie
from movie_ratings.prediction.classifier import Classifier, Decision, Prediction
from movie_ratings.prediction.engines import Computed
from movie_ratings.prediction.explain import Detail, Explanation, explain_in_steps
from movie_ratings.prediction.steps import Steps
from serving.batching import CAPACITY, Batcher, Predictions
from serving.log_options import LogOptions
from serving.metrics import Metrics

if TYPE_CHECKING:
    from serving.prediction_log import PredictionLog

T = TypeVar("T")


@dataclass(frozen=True)
class Explained:
    """The explanation of one movie, with version, precision and base rates of the model that made it."""

    explanation: Explanation
    version: str
    precision: Computed
    base_rates: dict[str, float]


class Service:
    """What all routes and the page share. `close` must be called at the end.

    ``ready`` is set to False when the process is about to stop, so that /readyz turns requests away. ``log`` is the log
    of predictions, or None.
    """

    def __init__(self, classifier: Classifier, capacity: int = CAPACITY, log: LogOptions | None = None):
        """Start the queue and, with ``log``, the log of predictions.

        Raises:
            UserError: the log cannot be written.
        """
        self.metrics = Metrics()
        self.ready = True
        self.log = _started(log, self.metrics) if log else None
        self._batcher = Batcher(classifier, capacity, self.metrics.batch.observe)
        self.metrics.open.set_function(lambda: self._batcher.open)
        self.metrics.show_model(classifier.version)

    @property
    def classifier(self) -> Classifier:
        """The model that predicts now. What needs one model throughout takes it from `predict` or `run`."""
        return self._batcher.classifier

    @property
    def full(self) -> bool:
        """Whether even a request of one movie would be refused."""
        return self._batcher.full

    @property
    def working(self) -> bool:
        """Whether predictions go on: see `serving.batching.Batcher.working`."""
        return self._batcher.working

    async def predict(self, movies: Sequence[ValidMovie]) -> Predictions:
        """Predict ``movies``, all with one model, and log the predictions if there is a log.

        Raises:
            BusyError: the queue is full.
            ModelError: the model failed.
        """
        found = await self._batcher.predict(movies)
        for prediction in found.predictions:
            self.metrics.predictions.labels(prediction.label).inc()
        return replace(found, ids=self.logged(movies, found.predictions, found.version))

    def logged(
        self, movies: Sequence[ValidMovie], predictions: Sequence[Prediction], version: str
    ) -> Sequence[str] | None:
        """Log predictions of the model ``version``; returns their ids, or None without a log, or without room in it.

        `predict` does this itself; whoever shows predictions that `run` made calls this.
        """
        return self.log.predicted(movies, predictions, version) if self.log else None

    async def run(self, work: Callable[[Classifier], Steps[T]]) -> T:
        """Run long work in steps, all with one model, between the requests of others.

        Raises:
            BusyError: too much long work is open.
            ModelError: the model failed.
        """
        return await self._batcher.run(work)

    async def explain(self, movie: ValidMovie, decision: Decision, detail: Detail = "phrases") -> Explained:
        """Predict ``movie`` and explain the prediction.

        An explanation of phrases has a bounded size and waits in a queue. One of words is long work, as a table is.

        Raises:
            BusyError: too much of such work is open.
            ModelError: the model failed.
        """
        run = self._batcher.run_queued if detail == "phrases" else self._batcher.run
        found = await run(lambda classifier: _explained(classifier, movie, decision, detail))
        self.metrics.predictions.labels(found.explanation.prediction.label).inc()
        return found

    def swap(self, classifier: Classifier) -> None:
        """Predict with another model from now on; what has begun ends with the model it began with."""
        self._batcher.swap(classifier)
        self.metrics.show_model(classifier.version)

    def close(self) -> bool:
        """Finish the predictions that wait, then stop the queue; returns whether it stopped in time."""
        stopped = self._batcher.close()
        if self.log:
            self.log.close()
        return stopped


def _started(log: LogOptions, metrics: Metrics) -> "PredictionLog":
    from serving.prediction_log import PredictionLog  # pyarrow, which a service without a log may not need

    return PredictionLog(log, metrics)


def _explained(classifier: Classifier, movie: ValidMovie, decision: Decision, detail: Detail) -> Steps[Explained]:
    explanation = yield from explain_in_steps(classifier, movie, decision, detail)
    return Explained(explanation, classifier.version, classifier.precision, classifier.base_rates)


def model_card(classifier: Classifier) -> dict[str, Any]:
    """The description of a model, in the shape of `serving.schemas.ModelCard`."""
    metadata = asdict(classifier.metadata)
    return {
        "version": classifier.version,
        "variant": classifier.variant,
        "precision": classifier.precision,
        "classes": list(CLASSES),
        "thresholds": metadata["thresholds"],
        "text": metadata["text"],
        "answerings": metadata["answerings"],
        "metrics": {"validation": classifier.validation},
        "origin": metadata["origin"],
    }
