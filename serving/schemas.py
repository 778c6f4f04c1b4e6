"""The JSON of requests and responses, as the documentation describes it.

Types and lengths are those of the JSON alone; a movie in it is then checked by `movie_ratings.movies.validation`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from movie_ratings.log.records import ID
from movie_ratings.model.rating import HIGHEST, LOWEST
from movie_ratings.movies.validation import RANGES, MovieError, ValidMovie, validated
from movie_ratings.prediction.classifier import BALANCED, Decision
from movie_ratings.prediction.engines import Computed
from movie_ratings.prediction.explain import CONTRIBUTIONS

MAX_MOVIES: Final = 128  # in a request
MAX_COLUMNS: Final = 2_000  # movies in a request of the original's clients: their service had no limit
MAX_TITLE: Final = 500  # characters
MAX_SUMMARY: Final = 20_000
MAX_NAMES: Final = 50
MAX_NAME: Final = 100
MAX_BODY: Final = 4 << 20  # bytes

Title = Annotated[str, Field(max_length=MAX_TITLE)]
Summary = Annotated[str, Field(max_length=MAX_SUMMARY)]
Names = Annotated[list[Annotated[str, Field(max_length=MAX_NAME)]], Field(max_length=MAX_NAMES)]
Year = Annotated[int, Field(ge=RANGES["year"][0], le=RANGES["year"][1], strict=True)]
Minutes = Annotated[int, Field(ge=RANGES["runtime"][0], le=RANGES["runtime"][1], strict=True)]
Dollars = Annotated[int, Field(ge=RANGES["budget"][0], le=RANGES["budget"][1], strict=True)]
Rating = Annotated[float, Field(ge=LOWEST, le=HIGHEST)]
Label = Literal["bad", "average", "good"]
HowComputed = Annotated[Computed, Field(description="the arithmetic of the transformer: fp32, bf16 or int8")]
HowDecided = Annotated[
    Decision,
    Field(
        description="balanced: the label weighs each probability against how rare its class is; "
        "most_probable: the label is the class with the largest probability"
    ),
]


class Movie(BaseModel):
    """A movie as it is known before its release. Title and summary may not both be empty.

    The facts may be left out; the more of them are known, the surer the answer. `GET /v1/model` names the fields that
    the model reads (`text.fields`).
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "title": "The Long Harbour",
                    "summary": "A widowed pilot guides one last ship home through the ice.",
                    "genres": ["Drama", "Romance"],
                    "year": 2004,
                    "runtime": 112,
                    "spoken_languages": ["English"],
                    "directors": ["Ada Example"],
                    "cast": ["Bo Example", "Cy Example"],
                    "writers": ["Di Example"],
                    "companies": ["Quay Example Films"],
                    "countries": ["France"],
                }
            ]
        },
    )

    title: Title = ""
    summary: Summary = ""
    genres: Names = []
    year: Annotated[Year | None, Field(description="of the first release")] = None
    runtime: Annotated[Minutes | None, Field(description="minutes")] = None
    spoken_languages: Annotated[Names, Field(description="each by its own name, as TMDB writes it: Français")] = []
    directors: Names = []
    cast: Annotated[Names, Field(description="in billing order")] = []
    writers: Names = []
    producers: Annotated[Names, Field(description="executive producers last")] = []
    cinematographers: Names = []
    editors: Names = []
    composers: Names = []
    companies: Annotated[Names, Field(description="of production")] = []
    countries: Annotated[Names, Field(description="of production, by their English names")] = []
    collection: Annotated[Title | None, Field(description="the series of films that the movie belongs to")] = None
    keywords: Names = []
    budget: Annotated[Dollars | None, Field(description="US dollars; 0 if it is not known")] = None


def checked(movie: Mapping[str, Any]) -> ValidMovie:
    """A movie that does not come as the JSON of a request, within the limits of those that do.

    Raises:
        MovieError: a field is wrong or too long.
    """
    valid = validated(movie)
    try:
        Movie.model_validate(movie)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = str(fault["loc"][0])
        raise MovieError(field, f"{field}: {fault['msg'][:1].lower()}{fault['msg'][1:]}") from None
    return valid


class PredictRequest(BaseModel):
    """Movies to predict."""

    model_config = ConfigDict(extra="forbid")

    movies: Annotated[list[Movie], Field(max_length=MAX_MOVIES)]
    decision: HowDecided = BALANCED
    comparables: Annotated[bool, Field(description="also return rated movies that resemble each movie")] = False


class ExplainRequest(BaseModel):
    """A movie whose prediction is explained."""

    model_config = ConfigDict(extra="forbid")

    movie: Movie
    decision: HowDecided = BALANCED


class Probabilities(BaseModel):
    """Calibrated; they sum to 1."""

    bad: float
    average: float
    good: float


class ComparableMovie(BaseModel):
    """A rated movie of the training split that resembles the movie; its rating does not enter the prediction."""

    title: str
    year: int | None
    rating: Rating
    similarity: Annotated[float, Field(ge=0, le=1)]


class MoviePrediction(BaseModel):
    """By the decision `balanced`, the label weighs each probability against how rare its class is.

    The label then need not be the most probable class. The rating of four movies in five lies in `interval_80`.
    """

    id: Annotated[
        str | None, Field(description="in the log of predictions, for POST /v1/feedback; only where the log is on")
    ] = None
    label: Label
    probabilities: Probabilities
    predicted_rating: Rating
    interval_80: Annotated[list[Rating], Field(min_length=2, max_length=2, description="its lower and upper end")]
    comparables: Annotated[
        list[ComparableMovie] | None, Field(description="the nearest first; only where the request wants them")
    ] = None


class PredictResponse(BaseModel):
    """A prediction for each movie, in the order of the request, all by the model of this version."""

    predictions: list[MoviePrediction]
    base_rates: Annotated[
        Probabilities, Field(description="the shares of the classes among the model's training movies")
    ]
    model_version: str
    precision: HowComputed


class EffectOfText(BaseModel):
    """What changes when a text is left out of a field of the movie."""

    field: str
    text: str
    effect: Annotated[
        float, Field(description="how much the label's probability falls; above 0: the text spoke for the label")
    ]
    rating_effect: Annotated[
        float, Field(description="by how many points the predicted rating falls; above 0: the text raised the rating")
    ]


class LinearContribution(BaseModel):
    """What one fact, word or track record adds to the rating of the model's linear part."""

    field: Annotated[str, Field(description="a field, `words` of title and summary, or `earlier films of the …`")]
    text: str
    points: Annotated[float, Field(description="rating points")]


class LinearContributions(BaseModel):
    """The rating of the model's linear part as a sum: `intercept`, the points of `strongest`, and `rest`.

    The prediction combines this rating with the transformer's, so `rating` is not the predicted rating.
    """

    rating: float
    intercept: float
    strongest: Annotated[
        list[LinearContribution], Field(description=f"the {CONTRIBUTIONS} farthest from 0, the farthest first")
    ]
    rest: Annotated[float, Field(description="the sum of all other contributions")]


class ExplainResponse(BaseModel):
    """A prediction and what moved it, all by the model of this version.

    Of texts and lists, the phrases with the largest effects on the rating are divided furthest.
    """

    prediction: MoviePrediction
    base_rates: Annotated[
        Probabilities, Field(description="the shares of the classes among the model's training movies")
    ]
    fields: Annotated[list[EffectOfText], Field(description="each field that is known, left out as a whole")]
    words: Annotated[list[EffectOfText], Field(description="words, names and phrases, in the order of the movie")]
    contributions: Annotated[LinearContributions | None, Field(description="null for a model without a linear part")]
    model_version: str
    precision: HowComputed


class Feedback(BaseModel):
    """The true rating, or the true label, of a movie that was predicted."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"id": "0191f3a6c2b47d5e8f90a1b2c3d4e5f6", "rating": 6.8}]}
    )

    id: Annotated[str, Field(pattern=ID, description="of the prediction, as the response has it")]
    rating: Annotated[float | None, Field(ge=LOWEST, le=HIGHEST, strict=True, description="0 to 10")] = None
    label: Label | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.rating is None) == (self.label is None):
            raise ValueError("give either rating or label")
        return self


class Accepted(BaseModel):
    """That the feedback will be written to the log."""

    status: Literal["accepted"]


class ColumnsRequest(BaseModel):
    """Movies as three lists of equal length."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "title": ["The Long Harbour"],
                    "summary": ["A widowed pilot guides one last ship home through the ice."],
                    "genres": [["Drama", "Romance"]],
                }
            ]
        }
    )

    title: Annotated[list[Title], Field(max_length=MAX_COLUMNS)]
    summary: Annotated[list[Summary], Field(max_length=MAX_COLUMNS)]
    genres: Annotated[list[Names], Field(max_length=MAX_COLUMNS)]


class RatingsResponse(BaseModel):
    """A label for each movie, in the order of the request."""

    ratings: list[Label]


class Status(BaseModel):
    """That the service runs."""

    working: Literal["yes"]


class Health(BaseModel):
    """Whether the service is alive, or ready for requests."""

    status: Literal["ok"]


class ModelCard(BaseModel):
    """What is known about the model that answers."""

    version: str
    variant: Literal["fp32", "int8"]
    precision: HowComputed
    classes: list[Label]
    thresholds: dict[str, float]
    text: dict[str, Any]
    answerings: dict[str, Any]
    metrics: dict[str, Any]
    origin: dict[str, Any]


class TmdbMatch(BaseModel):
    """A movie that TMDB found."""

    id: int
    title: str
    original_title: str
    release_date: Annotated[str | None, Field(description="YYYY-MM-DD, which may be to come")]


class TmdbMatches(BaseModel):
    """The first matches, at most twenty, and how many TMDB has."""

    matches: list[TmdbMatch]
    total: int


class TmdbMovie(BaseModel):
    """What TMDB has of a movie: `movie` is one of the movies of a request to `/v1/predict`."""

    id: int
    release_date: Annotated[str | None, Field(description="YYYY-MM-DD, which may be to come")]
    movie: Movie


class Fault(BaseModel):
    """One thing that is wrong, and where: ``movies.3.title``."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
    faults: list[Fault] = []
