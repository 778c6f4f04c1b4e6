"""The routes, in three groups: the present API, the two routes of the original service, and operation."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from movie_ratings.core.errors import UserError
from movie_ratings.movies.validation import RANGES, MovieError, ValidMovie, validated
from movie_ratings.prediction import explain
from serving.responses import as_json, problem
from serving.schemas import (
    Accepted,
    ColumnsRequest,
    ExplainRequest,
    ExplainResponse,
    Feedback,
    Health,
    ModelCard,
    PredictRequest,
    PredictResponse,
    Problem,
    RatingsResponse,
    Status,
    TmdbMatches,
    TmdbMovie,
)
from serving.service import Service, model_card

if TYPE_CHECKING:
    from serving.prediction_log import PredictionLog
    from serving.tmdb import LookUps

PATHS: Final = (
    "/v1/predict",
    "/v1/explain",
    "/v1/feedback",
    "/v1/model",
    "/v1/tmdb",
    "/classifier_post",
    "/status",
    "/healthz",
    "/readyz",
    "/metrics",
)
LONGEST_QUERY: Final = 500  # characters of a title that is searched
LATE: Final = "TMDB: no answer in time; try again later"
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    400: {"model": Problem, "description": "Not JSON"},
    401: {"model": Problem, "description": "No API key, or a wrong one, where the service requires one"},
    413: {"model": Problem, "description": "The body is too large, or has too many keys or values"},
    415: {"model": Problem, "description": "The body is encoded in another way than with gzip"},
    422: {"model": Problem, "description": "A field is wrong; `faults` names it"},
    503: {
        "model": Problem,
        "description": "Too many requests at once; try again",
        "headers": {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}},
    },
}


def v1(service: Service) -> APIRouter:
    """The present API."""
    router = APIRouter(prefix="/v1", tags=["v1"])

    @router.post("/predict", response_model=PredictResponse, responses=REFUSALS)
    async def predict(request: PredictRequest) -> Response:
        """Label, calibrated probabilities and rating with its interval, of each movie; on request, similar movies."""
        movies = _validated((m.model_dump() for m in request.movies), lambda number, field: ("movies", number, field))
        found = await service.predict(movies)
        answers = [prediction.decided(request.decision)._asdict() for prediction in found.predictions]
        if request.comparables:
            films = await service.run(lambda classifier: classifier.comparables_in_steps(movies))
            answers = [a | {"comparables": [f._asdict() for f in some]} for a, some in zip(answers, films, strict=True)]
        if found.ids:
            answers = [{"id": number} | a for number, a in zip(found.ids, answers, strict=True)]
        return as_json(
            {
                "predictions": answers,
                "base_rates": found.base_rates,
                "model_version": found.version,
                "precision": found.precision,
            }
        )

    @router.post("/explain", response_model=ExplainResponse, responses=REFUSALS)
    async def explain_one(request: ExplainRequest) -> Response:
        """The prediction of one movie, and which fields, words and names moved it.

        An effect is what leaving out a text takes from the prediction. The contributions are exact, but of one part of
        the model.
        """
        (movie,) = _validated([request.movie.model_dump()], lambda number, field: ("movie", field))
        found = await service.explain(movie, request.decision)
        return as_json(
            {
                "prediction": found.explanation.prediction._asdict(),
                "base_rates": found.base_rates,
                **explain.as_dict(found.explanation),
                "model_version": found.version,
                "precision": found.precision,
            }
        )

    @router.get("/model", response_model=ModelCard, responses={401: REFUSALS[401]})
    async def model() -> Response:
        """Version, thresholds, text format, calibration, metrics and origin of the model that answers."""
        return as_json(model_card(service.classifier))

    return router


def tmdb(look_ups: "LookUps") -> APIRouter:
    """What TMDB has of a movie, where the service has a key to TMDB."""
    router = APIRouter(prefix="/v1/tmdb", tags=["tmdb"])
    refusals: dict[int | str, dict[str, Any]] = {
        **{code: REFUSALS[code] for code in (401, 422, 503)},
        502: {"model": Problem, "description": "TMDB gives no answer, or none that can be used"},
        504: {"model": Problem, "description": "TMDB takes too long"},
    }

    @router.get("", response_model=TmdbMatches, responses=refusals)
    async def search(
        query: Annotated[str, Query(min_length=1, max_length=LONGEST_QUERY)],
        year: Annotated[int | None, Query(ge=RANGES["year"][0], le=RANGES["year"][1])] = None,
    ) -> Response:
        """The movies of TMDB whose title matches `query`, of `year` if given."""
        try:
            found = await look_ups.search(query, year)
        except ValueError as error:
            raise RequestValidationError([{"loc": ("query", "query"), "msg": str(error)}]) from None
        except UserError as error:
            return problem(502, str(error))
        except TimeoutError:
            return problem(504, LATE)
        matches = [match.model_dump(exclude={"original_language"}) for match in found.results]
        return as_json({"matches": matches, "total": max(found.total_results, len(matches))})

    @router.get(
        "/{movie_id}",
        response_model=TmdbMovie,
        response_model_exclude_unset=True,
        responses=refusals | {404: {"model": Problem, "description": "TMDB has no movie of this id"}},
    )
    async def movie(movie_id: Annotated[int, Path(gt=0, lt=2**63)]) -> Response:
        """What TMDB has of a movie today, in the shape of a movie of a request: no ratings and no votes."""
        try:
            found = await look_ups.known(movie_id)
        except UserError as error:
            return problem(502, str(error))
        except TimeoutError:
            return problem(504, LATE)
        if found is None:
            return problem(404, f"TMDB has no movie {movie_id}")
        released = found.released and found.released.isoformat()
        return as_json({"id": movie_id, "release_date": released, "movie": found.movie})

    return router


def feedback(log: "PredictionLog") -> APIRouter:
    """What comes later: only where there is a log of predictions."""
    router = APIRouter(prefix="/v1", tags=["v1"])
    refusals = REFUSALS | {404: {"model": Problem, "description": "No prediction of this log has the id"}}

    @router.post("/feedback", response_model=Accepted, status_code=202, responses=refusals)
    async def rated(request: Feedback) -> Response:
        """The true rating, or label, of a movie that was predicted. A later one replaces an earlier one."""
        if not log.knows(request.id):
            return problem(404, "id: no prediction of this log has it")
        if not log.rated(request.id, request.rating, request.label):
            return problem(503, "the log has no room, or has stopped; try again in a second")
        return as_json({"status": "accepted"}, 202)

    return router


def original(service: Service) -> APIRouter:
    """The routes of the service that this project replaces, for its clients."""
    router = APIRouter(tags=["original"])

    @router.post("/classifier_post", response_model=RatingsResponse, responses=REFUSALS)
    async def classifier_post(request: ColumnsRequest) -> Response:
        """Labels of at most 2,000 movies given as three lists of equal length; any string is accepted as a genre."""
        for name in ("summary", "genres"):
            if len(getattr(request, name)) != len(request.title):
                reason = f"{len(getattr(request, name))} items, title has {len(request.title)}"
                raise RequestValidationError([{"loc": ("body", name), "msg": reason}])
        rows = zip(request.title, request.summary, request.genres, strict=True)
        movies = _validated(
            ({"title": title, "summary": summary, "genres": genres} for title, summary, genres in rows),
            lambda number, field: (field, number),
        )
        found = await service.predict(movies)
        return as_json({"ratings": [prediction.label for prediction in found.predictions]})

    @router.get("/status", response_model=Status)
    async def status() -> Response:
        """That the service runs."""
        return as_json({"working": "yes"})

    return router


def operation(service: Service) -> APIRouter:
    """Routes for those who run the service."""
    router = APIRouter(tags=["operation"])

    @router.get("/healthz", response_model=Health)
    async def healthz() -> Response:
        """Whether the process is alive."""
        return as_json({"status": "ok"})

    @router.get("/readyz", response_model=Health, responses={503: REFUSALS[503]})
    async def readyz() -> Response:
        """Whether requests should be sent here: not while the service stops, nor when its predictions stand still."""
        if not service.working:
            return problem(503, "predictions stand still; the process has to be started again")
        return as_json({"status": "ok"}) if service.ready else problem(503, "shutting down")

    @router.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(service.metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router


def _validated(
    movies: Iterable[dict[str, Any]], location: Callable[[int, str], tuple[int | str, ...]]
) -> list[ValidMovie]:
    """The movies of a request, once they are checked; ``location`` of a movie's number and a field is its place."""
    valid = []
    for number, movie in enumerate(movies):
        try:
            valid.append(validated(movie))
        except MovieError as error:
            place = ("body", *location(number, error.field))
            raise RequestValidationError([{"loc": place, "msg": error.reason}]) from None
    return valid
