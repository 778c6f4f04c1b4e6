"""What the service is asked and what it answers."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MOVIES: Final = 128  # in a request
TITLE: Final = 500  # characters
SUMMARY: Final = 20_000
GENRES: Final = 50
GENRE: Final = 100
BODY: Final = 4 << 20  # bytes

Title = Annotated[str, Field(max_length=TITLE)]
Summary = Annotated[str, Field(max_length=SUMMARY)]
Genres = Annotated[list[Annotated[str, Field(max_length=GENRE)]], Field(max_length=GENRES)]
Label = Literal["bad", "average", "good"]


class Movie(BaseModel):
    """A movie as it is known before its release. Title and summary may not both be empty."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "title": "The Long Harbour",
                    "summary": "A widowed pilot guides one last ship home through the ice.",
                    "genres": ["Drama", "Romance"],
                }
            ]
        },
    )

    title: Title = ""
    summary: Summary = ""
    genres: Genres = []


class PredictRequest(BaseModel):
    """Movies to predict."""

    model_config = ConfigDict(extra="forbid")

    movies: Annotated[list[Movie], Field(max_length=MOVIES)]


class Probabilities(BaseModel):
    """Calibrated; they sum to 1."""

    bad: float
    average: float
    good: float


class MoviePrediction(BaseModel):
    """The label weighs each probability against how rare its class is, so it need not be the most probable."""

    label: Label
    probabilities: Probabilities


class PredictResponse(BaseModel):
    """A prediction for each movie, in the order of the request, all by the model of this version."""

    predictions: list[MoviePrediction]
    model_version: str


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

    title: Annotated[list[Title], Field(max_length=MOVIES)]
    summary: Annotated[list[Summary], Field(max_length=MOVIES)]
    genres: Annotated[list[Genres], Field(max_length=MOVIES)]


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
    classes: list[Label]
    thresholds: dict[str, float]
    text: dict[str, Any]
    calibration: dict[str, Any]
    decision: dict[str, Any]
    metrics: dict[str, Any]
    origin: dict[str, Any]


class Fault(BaseModel):
    """One thing that is wrong, and where: ``movies.3.title``."""

    field: str
    message: str


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: str
    faults: list[Fault] = []
