"""params.yaml as one frozen, validated model per group.

Every key is required and no other is allowed, so a misspelt one is named rather than ignored. The whole file is
validated by every stage: a mistake in `train` is reported before `fetch` has run, not after.
"""

import codecs
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import Metric, Rule
from movie_ratings.model.head import Objective
from movie_ratings.movies.text import FIELDS, NAMES

Fraction = Annotated[float, Field(gt=0, lt=1)]
BaselineName = Literal[
    "majority", "genre_year", "tfidf_logreg", "tfidf_ridge", "embeddings_logreg", "embeddings_boosting", "catboost"
]  # fmt: skip
Precision = Literal["auto", "bf16", "fp32"]
Url = Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
Pair = Annotated[list[float], Field(min_length=2, max_length=2)]


class Group(BaseModel):
    """What all groups share: immutable, strict about types, no unknown keys, no infinities."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


def _day(value: Any) -> Any:
    """A day as YAML reads it, or in quotes."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValueError("expected a day as YYYY-MM-DD") from None
    return value


def _columns(value: Any) -> Any:
    """``auto`` is a mapping that chooses nothing."""
    return {} if value == "auto" else value


def _encoding(value: str) -> str:
    """``auto``, or a name that Python's codecs know."""
    try:
        return value if value == "auto" else codecs.lookup(value).name
    except LookupError:
        raise ValueError("expected auto or the name of an encoding, such as cp1250") from None


MappedField = Literal[
    "id", "title", "original_title", "summary", "genres", "spoken_languages", "original_language", "cast", "directors",
    "writers", "producers", "cinematographers", "editors", "composers", "companies", "countries", "collection",
    "keywords", "release_date", "runtime", "budget", "vote_average", "vote_count", "popularity", "adult",
]  # fmt: skip
# The column of each field of the movie record whose name does not say it.
# A list joins columns of names
# (cast: [Star1, Star2]); of another field, the first column that can be read in a row fills it. null: no column.
ColumnName = Annotated[str, Field(min_length=1)]
Mapping = Annotated[
    dict[MappedField, ColumnName | Annotated[list[ColumnName], Field(min_length=1)] | None], BeforeValidator(_columns)
]


class Tmdb(Group):
    """What to collect from The Movie Database, and how fast."""

    api_url: Url
    exports_url: Url
    export_date: Annotated[date | None, BeforeValidator(_day)]
    ids: Literal["export", "movielens", "file"]
    ids_path: str | None
    adult: bool
    video: bool
    min_popularity: Annotated[float, Field(ge=0)]
    sample: Annotated[float, Field(gt=0, le=1)] | None
    limit: Annotated[int, Field(gt=0)] | None
    language: Annotated[str, Field(min_length=2)]
    cast_size: Annotated[int, Field(ge=0)]
    keep_raw: bool
    requests_per_second: Annotated[float, Field(gt=0)]
    concurrency: Annotated[int, Field(gt=0)]
    timeout: Annotated[float, Field(gt=0)]
    max_failed_share: Annotated[float, Field(ge=0, le=1)]


class Imdb(Group):
    """Which of IMDb's titles to read, and from where."""

    folder: Annotated[str, Field(min_length=1)] | None
    types: Annotated[list[Literal["movie", "tvMovie", "tvSpecial", "video", "short", "tvShort"]], Field(min_length=1)]
    adult: bool
    cast_size: Annotated[int, Field(ge=0)]
    max_bad_share: Annotated[float, Field(ge=0, le=1)]
    url: Url


class Files(Group):
    """Tables of the user's own."""

    paths: list[Annotated[str, Field(min_length=1)]]
    encoding: Annotated[str, AfterValidator(_encoding)]
    mapping: Mapping
    rating_scale: Annotated[float, Field(gt=0)]
    max_bad_share: Annotated[float, Field(ge=0, le=1)]


class Hub(Group):
    """A data set of the Hugging Face hub, or one in a folder."""

    name: str | None
    config: str | None
    split: Annotated[str, Field(min_length=1)]
    mapping: Mapping
    rating_scale: Annotated[float, Field(gt=0)]
    max_bad_share: Annotated[float, Field(ge=0, le=1)]


class Fetch(Group):
    """Where movies come from."""

    source: Literal["sample", "wikidata", "tmdb", "imdb", "files", "hub"]
    limit: Annotated[int, Field(gt=0)] | None
    tmdb: Tmdb
    imdb: Imdb
    files: Files
    hub: Hub

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.source == "tmdb" and self.tmdb.ids == "export" and self.tmdb.export_date is None:
            raise ValueError("tmdb.export_date must be a day, such as 2026-11-01, when tmdb.ids is export")
        if self.source == "tmdb" and self.tmdb.ids != "export" and not self.tmdb.ids_path:
            raise ValueError(f"tmdb.ids_path must name a file when tmdb.ids is {self.tmdb.ids}")
        if self.source == "files" and not self.files.paths:
            raise ValueError("files.paths must name at least one file when source is files")
        if self.source == "hub" and not self.hub.name:
            raise ValueError("hub.name must name a data set when source is hub")
        return self


class History(Group):
    """Where the track records of people come from, besides the training movies."""

    sources: Annotated[list[Literal["wikidata", "imdb", "files"]] | Literal["auto"], Field()]
    files: Files


class Clean(Group):
    """Which movies are worth learning from."""

    min_votes: Annotated[int, Field(ge=0)]


class Labels(Group):
    """Where bad ends and good begins."""

    scheme: Literal["mean_std", "quantile", "fixed"]
    std: Annotated[float, Field(gt=0)]
    quantiles: Pair
    fixed: Pair

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not 0 < self.quantiles[0] < self.quantiles[1] < 1:
            raise ValueError("quantiles must be two rising numbers between 0 and 1")
        if not 0 <= self.fixed[0] < self.fixed[1] <= 10:
            raise ValueError("fixed must be two rising ratings between 0 and 10")
        return self


class Fractions(Group):
    """The shares of the three splits; they add up to 1."""

    train: Fraction
    validation: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError("train, validation and test must add up to 1")
        return self


class Split(Group):
    """How movies are divided."""

    by: Literal["film", "time"]
    fractions: Fractions


class Text(Group):
    """What the model reads."""

    fields: Annotated[list[Literal[FIELDS]], Field(min_length=1)]  # type: ignore[valid-type]
    max_length: Annotated[int, Field(ge=8)]
    field_dropout: Annotated[float, Field(ge=0, lt=1)]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.fields)) != len(self.fields):
            raise ValueError("fields names a field twice")
        if not {"title", "summary"} & set(self.fields):
            raise ValueError("fields must hold title or summary, the ones that every movie has")
        return self


class Explore(Group):
    """What is described."""

    top_genres: Annotated[int, Field(gt=0)]


class Baseline(Group):
    """What the model is compared with."""

    models: Annotated[list[BaselineName], Field(min_length=1)]
    max_rows: Annotated[int, Field(gt=0)]
    c: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    alphas: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]


class Model(Group):
    """Where fine-tuning starts."""

    name: Annotated[str, Field(min_length=1)]


class Linear(Group):
    """The linear part of the model."""

    use: bool
    names: list[Literal[NAMES]]  # type: ignore[valid-type]
    records: bool
    max_films: Annotated[int, Field(gt=0)]
    alphas: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)]
    min_movies: Annotated[int, Field(gt=0)]
    max_rows: Annotated[int, Field(gt=0)]


class Train(Group):
    """How the transformer is fine-tuned."""

    objective: Objective
    focal_gamma: Annotated[float, Field(ge=0)]
    class_weights: Literal["none", "balanced"]
    soft_labels: Annotated[float, Field(ge=0)]
    vote_weighting: Annotated[float, Field(ge=0)]
    freeze_layers: Annotated[int, Field(ge=0)]
    epochs: Annotated[int, Field(gt=0)]
    learning_rate: Annotated[float, Field(gt=0, lt=1)]
    batch_size: Annotated[int, Field(gt=0)]
    gradient_accumulation: Annotated[int, Field(gt=0)]
    sampling: Literal["group_by_length", "batch_rebalance"]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0)]
    early_stopping: Annotated[int, Field(gt=0)]
    precision: Precision
    gradient_checkpointing: bool
    compile: bool
    save_minutes: Annotated[float, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class Decision(Group):
    """How probabilities become an answer."""

    rule: Rule
    metric: Metric


class Export(Group):
    """What is served."""

    variant: Literal["auto", "fp32", "int8"]
    comparables: Annotated[int, Field(ge=0)]


class Evaluate(Group):
    """How sure the figures are."""

    bootstrap: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class Audit(Group):
    """Whether facts predict by what they say."""

    max_rows: Annotated[int, Field(gt=0)]
    seed: Annotated[int, Field(ge=0, lt=2**32)]


class Params(Group):
    """The whole of params.yaml."""

    fetch: Fetch
    clean: Clean
    history: History
    labels: Labels
    split: Split
    text: Text
    explore: Explore
    baseline: Baseline
    model: Model
    linear: Linear
    train: Train
    decision: Decision
    export: Export
    evaluate: Evaluate
    audit: Audit

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if "files" in self.history.sources and not self.history.files.paths:
            raise ValueError("history.files.paths must name at least one file when history.sources holds files")
        if twice := [field for field in self.linear.names if field in self.text.fields]:
            raise ValueError(f"linear.names must not name {', '.join(twice)}, which text.fields names")
        return self

    @property
    def history_sources(self) -> list[str]:
        """The sources of outside films; auto: critics' ratings of the wikidata table beside the sample source."""
        if self.history.sources == "auto":
            return ["wikidata"] if self.fetch.source == "sample" else []
        return list(self.history.sources)


def load(path: str | Path = "params.yaml") -> Params:
    """Read and validate the parameters.

    The file is read as YAML 1.2, as DVC writes it: `dvc exp run -S train.learning_rate=3e-5` comes back as `3e-05`,
    a number there and a string in YAML 1.1.

    Raises:
        UserError: the file is missing or is not YAML, or a key is missing, unknown, of the wrong type or out of range.
    """
    try:
        found = YAML(typ="safe", pure=True).load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this from the root of the repository") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected groups of parameters, found {found!r}")
    return parse(found, str(path))


def parse(found: dict[str, Any], path: str = "params.yaml") -> Params:
    """Validate parameters that are already in memory; the complaint names ``path`` and every key at fault."""
    try:
        return Params.model_validate(found)
    except ValidationError as error:
        raise UserError(f"{path}: " + "; ".join(_complaint(dict(e)) for e in error.errors())) from None


def _complaint(error: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "missing":
            return f"{key} is missing"
        case "extra_forbidden":
            return f"{key} is not a parameter (misspelt?)"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            return f"{key}: {message[0].lower()}{message[1:]} (found {error['input']!r})"
