"""The HTTP interface: the original's two routes, and a modern one."""

from dataclasses import asdict
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from movie_ratings.core.errors import UserError
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction.classifier import Classifier, require_movie
from serving.answers import as_json, problem
from serving.batching import CAPACITY, Answer, Batcher, BusyError
from serving.middleware import BUSY, Gate, Metrics
from serving.schemas import (
    BODY,
    ColumnsRequest,
    Health,
    ModelCard,
    PredictRequest,
    PredictResponse,
    Problem,
    RatingsResponse,
    Status,
)

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "Not JSON"},
    401: {"model": Problem, "description": "No API key, or a wrong one, where the service asks for one"},
    413: {"model": Problem, "description": "The body is too large"},
    422: {"model": Problem, "description": "A field is wrong; `faults` names it"},
    503: {
        "model": Problem,
        "description": "Too many requests at once; ask again",
        "headers": {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}},
    },
}


def create_app(classifier: Classifier, *, key: str | None = None, capacity: int = CAPACITY) -> FastAPI:
    """The application, answering with ``classifier``; ``key`` is asked for where given.

    Its ``state.batcher`` must be closed at the end; its ``state.serve`` takes a new model.
    """
    metrics = Metrics()
    batcher = Batcher(classifier, capacity, metrics.batch.observe)
    metrics.open.set_function(lambda: batcher.open)
    app = FastAPI(
        title="Movie Ratings",
        summary="Will a movie be rated bad, average or good?",
        version=classifier.version,
        description="Predictions from title, summary and genres, and from more facts where they are known. "
        "The label weighs each calibrated probability against how rare its class is.",
    )
    app.state.batcher, app.state.ready = batcher, True

    def serve(new: Classifier) -> None:
        batcher.swap(new)
        app.version, app.openapi_schema = new.version, None
        metrics.model.clear()
        metrics.model.labels(new.version).set(1)

    app.state.serve = serve
    serve(classifier)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(BusyError, _busy)
    app.add_middleware(Gate, metrics=metrics, limit=BODY, key=key, full=lambda: batcher.full)

    async def answer(movies: list[dict[str, Any]], place: str) -> Answer:
        _require_text(movies, place)
        found = await batcher.predict(movies)
        for prediction in found.predictions:
            metrics.predictions.labels(prediction.label).inc()
        return found

    @app.post("/v1/predict", response_model=PredictResponse, responses=REFUSALS, tags=["v1"])
    async def predict(request: PredictRequest) -> Response:
        """Label and calibrated probabilities of each movie."""
        movies = [movie.model_dump() for movie in request.movies]
        found = await answer(movies, "movies.{}.title")
        return as_json({"predictions": [p._asdict() for p in found.predictions], "model_version": found.version})

    @app.get("/v1/model", response_model=ModelCard, responses={401: REFUSALS[401]}, tags=["v1"])
    async def model() -> Response:
        """Version, thresholds, text format, calibration, metrics and origin of the model that answers."""
        return as_json(model_card(batcher.classifier))

    @app.post("/classifier_post", response_model=RatingsResponse, responses=REFUSALS, tags=["original"])
    async def classifier_post(request: ColumnsRequest) -> Response:
        """Labels of movies given as three lists of equal length; any string is accepted as a genre."""
        for name in ("summary", "genres"):
            if len(getattr(request, name)) != len(request.title):
                told = f"{len(getattr(request, name))} items, title has {len(request.title)}"
                raise RequestValidationError([{"loc": ("body", name), "msg": told}])
        columns = zip(request.title, request.summary, request.genres, strict=True)
        movies = [{"title": title, "summary": summary, "genres": genres} for title, summary, genres in columns]
        found = await answer(movies, "title.{}")
        return as_json({"ratings": [prediction.label for prediction in found.predictions]})

    @app.get("/status", response_model=Status, tags=["original"])
    async def status() -> Response:
        """That the service runs."""
        return as_json({"working": "yes"})

    @app.get("/healthz", response_model=Health, tags=["operation"])
    async def healthz() -> Response:
        """Whether the process is alive."""
        return as_json({"status": "ok"})

    @app.get("/readyz", response_model=Health, responses={503: REFUSALS[503]}, tags=["operation"])
    async def readyz() -> Response:
        """Whether requests should be sent here: not while it is shutting down."""
        return as_json({"status": "ok"}) if app.state.ready else problem(503, "shutting down")

    @app.get("/metrics", response_class=PlainTextResponse, tags=["operation"])
    async def prometheus() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


def model_card(classifier: Classifier) -> dict[str, Any]:
    """What is known about a model, as JSON."""
    metadata = asdict(classifier.metadata)
    return {
        "version": classifier.version,
        "variant": classifier.variant,
        "classes": list(CLASSES),
        "thresholds": metadata["thresholds"],
        "text": metadata["text"],
        "answerings": metadata["answerings"],
        "metrics": {"validation": classifier.validation},
        "origin": metadata["origin"],
    }


def _require_text(movies: list[dict[str, Any]], place: str) -> None:
    for number, movie in enumerate(movies):
        field = place.format(number)
        try:
            require_movie(movie, field)
        except UserError as error:
            location = ("body", *field.split("."))
            raise RequestValidationError([{"loc": location, "msg": str(error).removeprefix(f"{field}: ")}]) from None


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"field": ".".join(map(str, fault["loc"][1:])) or "body", "message": fault["msg"]} for fault in error.errors()
    ]
    return problem(422, f"{faults[0]['field']}: {faults[0]['message']}", faults[:100])


async def _busy(request: Request, error: Exception) -> Response:
    return problem(503, BUSY)
