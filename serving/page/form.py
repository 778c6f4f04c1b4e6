"""The form of a movie: its fields, and the way from their values to a movie and back."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import gradio as gr

from movie_ratings.movies.text import NAMES, NUMBERS, TEXTS
from movie_ratings.movies.validation import ValidMovie
from serving import schemas
from serving.schemas import MAX_SUMMARY, MAX_TITLE

GENRES: Final = [
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy", "History",
    "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "TV Movie", "War", "Western",
]  # fmt: skip
BETWEEN: Final = "names between commas"
QUOTE: Final = '"'
# What else may be known of a movie: the rows of the form, each field with its label and a hint.
FACTS: Final = (
    (
        ("year", "Year", None),
        ("runtime", "Runtime in minutes", None),
        ("budget", "Budget in dollars", None),
    ),
    (
        ("spoken_languages", "Spoken languages", "English, Français"),
        ("countries", "Countries of production", "France, United States of America"),
    ),
    (
        ("directors", "Directors", BETWEEN),
        ("cast", "Cast", f"{BETWEEN}, the stars first"),
    ),
    (("writers", "Writers", BETWEEN), ("producers", "Producers", BETWEEN)),
    (("cinematographers", "Cinematographers", BETWEEN), ("editors", "Editors", BETWEEN)),
    (("composers", "Composers", BETWEEN), ("companies", "Companies of production", BETWEEN)),
    (("collection", "Collection", "the series that it is in"), ("keywords", "Keywords", BETWEEN)),
)
# The fields of a movie in the order of the form.
INPUTS: Final = ("title", "summary", "genres", *(field for row in FACTS for field, *_ in row))
# The facts that a column of a variant shows at once.
FIRST: Final = ("year", "runtime", "directors", "cast")


def form() -> list[Any]:
    """The components of the form, in the order of `INPUTS`."""
    title = gr.Textbox(label="Title", max_length=MAX_TITLE)
    summary = gr.Textbox(label="Summary", lines=5, max_length=MAX_SUMMARY)
    genres = gr.Dropdown(GENRES, label="Genres", multiselect=True, allow_custom_value=True)
    with gr.Accordion("What else is known (optional)", open=False):
        facts = [fact for row in FACTS for fact in _row(row)]
    return [title, summary, genres, *facts]


def column(prefix: str) -> list[Any]:
    """The same fields below each other, in the order of `INPUTS`, with the element ids ``prefix-title`` and so on.

    The genres are names between commas here: three lists of choices side by side would leave no room for names.
    """
    facts = {field: (label, hint) for row in FACTS for field, label, hint in row}
    found = {
        "title": gr.Textbox(label="Title", max_length=MAX_TITLE, elem_id=f"{prefix}-title"),
        "summary": gr.Textbox(label="Summary", lines=5, max_length=MAX_SUMMARY, elem_id=f"{prefix}-summary"),
        "genres": gr.Textbox(label="Genres", placeholder=BETWEEN, elem_id=f"{prefix}-genres"),
    }
    found |= {field: _fact(field, *facts[field], elem_id=f"{prefix}-{field}") for field in FIRST}
    with gr.Accordion("More facts", open=False):
        found |= {
            field: _fact(field, *fact, elem_id=f"{prefix}-{field}")
            for field, fact in facts.items()
            if field not in FIRST
        }
    return [found[field] for field in INPUTS]


def _row(facts: Sequence[tuple[str, str, str | None]]) -> list[Any]:
    """A row of the form, of which a narrow window makes several."""
    with gr.Row():
        return [_fact(*fact) for fact in facts]


def _fact(field: str, label: str, hint: str | None, *, elem_id: str | None = None) -> Any:
    if field in NUMBERS:
        return gr.Number(label=label, precision=0, value=None, elem_id=elem_id)
    return gr.Textbox(label=label, placeholder=hint, elem_id=elem_id)


def movie(values: Sequence[Any]) -> ValidMovie:
    """The movie of the form's values, in the order of `INPUTS`.

    Raises:
        MovieError: a field is wrong or too long.
    """
    return schemas.checked({field: _read(field, value) for field, value in zip(INPUTS, values, strict=True)})


def known(movie: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a movie that are known, in the order of `INPUTS`."""
    return {field: movie[field] for field in INPUTS if movie.get(field)}


def values(movie: Mapping[str, Any]) -> Iterator[Any]:
    """The values of `form` for a movie, in the order of `INPUTS`."""
    for field in INPUTS:
        value = movie.get(field) or None
        yield _joined(value) if value and field in NAMES and field != "genres" else value


def column_values(movie: Mapping[str, Any]) -> Iterator[Any]:
    """The values of `column` for a movie, in the order of `INPUTS`."""
    for field, value in zip(INPUTS, values(movie), strict=True):
        yield _joined(value) if value and field == "genres" else value


def _read(field: str, value: Any) -> Any:
    """A value of a component as a field of a movie. Gradio passes None or 0 for an empty number."""
    if field in NUMBERS:
        # What is no whole number stays as it is: the check of the movie refuses it with its reason.
        return int(value) if isinstance(value, float) and value.is_integer() else value or None
    if field in TEXTS:
        return value or ""
    given = value or []
    return _names(given) if isinstance(given, str) else given


def _joined(names: Sequence[str]) -> str:
    """Names between commas. A name with a comma of its own stands in quotes: ``"Metro, Inc.", Quay Films``."""
    return ", ".join(f'"{name.replace(QUOTE, 2 * QUOTE)}"' if _needs_quotes(name) else name for name in names)


def _needs_quotes(name: str) -> bool:
    return "," in name or name.startswith(QUOTE)


def _names(text: str) -> list[str]:
    """The names of `_joined`, or as a visitor types them: quotes that are not closed end with the text."""
    # A line break is no end of a row here: it may come with a pasted text.
    try:
        (found,) = csv.reader([" ".join(text.splitlines())], skipinitialspace=True)
    except csv.Error:  # more characters than the library reads: the check of the movie refuses such a name
        found = text.split(",")
    return [name.strip() for name in found if name.strip()]
