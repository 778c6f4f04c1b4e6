"""The page at /: one movie with its explanation, a table of movies, and a description of the model."""

import asyncio
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

# Gradio reads this when it is imported: the page reports its use to nobody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import NUMBERS, TEXTS
from movie_ratings.prediction import wording
from movie_ratings.prediction.classifier import BALANCED, Classifier
from movie_ratings.prediction.explain import LIMITS, Effect
from serving import schemas
from serving.batching import BusyError
from serving.page_gate import PageGate
from serving.schemas import MAX_SUMMARY, MAX_TITLE
from serving.service import Service, model_card
from serving.upload_folder import UploadFolder
from serving.uploads import SUFFIXES, predict_upload

MAX_UPLOAD: Final = 4 << 20  # bytes
DAY: Final = 86_400  # seconds
# Two movies and two tables at a time are the four pieces of long work that the service takes. Of the movies, a few more
# wait, each for some seconds; a table that would have to wait is refused, because a visitor would wait for minutes.
MOVIES: Final = 2
TABLES: Final = 2
WAITING: Final = 8
LOG: Final = logging.getLogger("serving")
BUSY: Final = "Too many requests at once; try again in a second."
GENRES: Final = [
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy", "History",
    "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "TV Movie", "War", "Western",
]  # fmt: skip
EXAMPLES: Final = [
    ["The Long Harbour", "A widowed pilot guides one last ship home through the ice.", ["Drama", "Romance"]],
    ["Spring Break Shark 4", "The shark is back, and this time it has brought its cousins.", ["Horror", "Comedy"]],
    ["Paper Lanterns", "Three sisters keep their mother's cinema alive in occupied Seoul.", ["Drama", "History"]],
]
BETWEEN: Final = "names between commas"
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
ATTRIBUTION: Final = (
    "This product uses the TMDB API but is not endorsed or certified by [TMDB](https://www.themoviedb.org)."
)
# Fonts that every machine has, so that the page works without access to any other host.
THEME: Final = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700"
)


class Refusal(gr.Error):
    """A message for the visitor. It is kept out of the log, which must hold nothing that visitors wrote."""

    def __init__(self, message: str):
        super().__init__(message, print_exception=False)


class Page(gr.Blocks):
    """Gradio's page, whose errors reach neither the log nor the visitor with a text that somebody wrote."""

    async def process_api(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Gradio's method, through which each event passes."""
        try:
            if _elsewhere(inputs):
                raise Refusal("A file must be uploaded from this page.")
            return await super().process_api(block_fn, inputs, *args, **kwargs)
        except (Refusal, asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except gr.Error:  # of a component: its value is none of the form's
            raise Refusal("This request does not fit the page.") from None
        # Any other error, a panic of Rust included. Gradio would print the values that came with the request.
        except BaseException as error:
            LOG.error("the page failed", exc_info=error)
            raise Refusal("An error of the service; it is in its log.") from None


def mount(app: FastAPI, service: Service) -> FastAPI:
    """Mount the page at / of the API's application, behind its routes, so that the page hides none of them."""
    uploads = UploadFolder()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.path)  # Gradio has no parameter for it
    page = build(service, uploads)
    app = gr.mount_gradio_app(
        app, page, path="", max_file_size=MAX_UPLOAD, show_error=True, theme=THEME, footer_links=[], ssr_mode=False,
        run_history=False,
    )  # fmt: skip
    mounted = app.routes[-1]
    assert isinstance(mounted, Mount)
    mounted.app = PageGate(mounted.app, uploads, MAX_UPLOAD)
    return app


def build(service: Service, uploads: UploadFolder) -> gr.Blocks:
    """The page, whose predictions all pass the queue of ``service``."""
    with Page(title="Movie Ratings", delete_cache=(DAY, DAY)) as page:
        gr.Markdown(
            "# Movie Ratings\nWill a movie be rated **bad**, **average** or **good**? From what is known before."
        )
        with gr.Tab("One movie"):
            _one_movie(service)
        with gr.Tab("Many movies"):
            _many_movies(service, uploads)
        with gr.Tab("The model"):
            card = gr.Markdown(_card(service.classifier))
        gr.Markdown(f"<small>{ATTRIBUTION} [API documentation](docs)</small>")
        # The model may have been swapped since the page was built.
        page.load(lambda: _card(service.classifier), None, card, api_visibility="private", concurrency_limit=None)
    # Without api_open=False, a request could go past the queue.
    return page.queue(max_size=WAITING, api_open=False)


def _one_movie(service: Service) -> None:
    async def predict(*values: Any) -> tuple[Any, ...]:
        try:
            movie = schemas.checked(_movie(values))
            explained = await service.explain(movie, BALANCED, "words")
        except UserError as error:
            raise Refusal(_sentence(str(error))) from None
        except BusyError:
            raise Refusal(BUSY) from None
        found, prediction = explained.explanation, explained.explanation.prediction
        version = f"<small>model {explained.version}</small>"
        heading = f"## {prediction.label}\n{wording.rating_with_interval(prediction)}\n\n{version}"
        return heading, prediction.probabilities, _words(found.words), _fields(found.fields)

    with gr.Row():
        with gr.Column():
            inputs = _form()
            button = gr.Button("Predict", variant="primary")
        with gr.Column():
            outputs = _result()
    title, summary, genres, *_ = inputs
    gr.Examples(EXAMPLES, [title, summary, genres], label="Examples (invented)")
    for event in (button.click, title.submit):
        event(
            predict, inputs, outputs, api_visibility="private", concurrency_limit=MOVIES, concurrency_id="movies"
        )  # fmt: skip


def _form() -> list[Any]:
    """The fields of a movie, in the order of `INPUTS`."""
    title = gr.Textbox(label="Title", max_length=MAX_TITLE)
    summary = gr.Textbox(label="Summary", lines=5, max_length=MAX_SUMMARY)
    genres = gr.Dropdown(GENRES, label="Genres", multiselect=True, allow_custom_value=True)
    with gr.Accordion("What else is known (optional)", open=False):
        facts = [fact for row in FACTS for fact in _row(row)]
    return [title, summary, genres, *facts]


def _row(facts: Sequence[tuple[str, str, str | None]]) -> list[Any]:
    """A row of the form, of which a narrow window makes several."""
    with gr.Row():
        return [
            gr.Number(label=label, precision=0, value=None)
            if field in NUMBERS
            else gr.Textbox(label=label, placeholder=hint)
            for field, label, hint in facts
        ]


def _result() -> list[Any]:
    """The parts of a prediction, in the order in which `_one_movie`'s handler returns them."""
    label = gr.Markdown(elem_id="label")
    bars = gr.Label(label="Calibrated probabilities", num_top_classes=3, show_heading=False)
    words = gr.HighlightedText(label="Words: red ones spoke for the label, violet ones against it")
    fields = gr.Markdown(elem_id="fields")
    gr.Markdown(
        "<small>The label weighs each probability against how rare its class is, so it need not be the most probable. "
        f"A word's colour is what leaving it out takes from the label's probability: {LIMITS}.</small>"
    )
    return [label, bars, words, fields]


def _many_movies(service: Service, uploads: UploadFolder) -> None:
    tables = asyncio.Semaphore(TABLES)

    async def predict_table(path: str | None) -> tuple[str, str]:
        if path is None:
            raise Refusal("Choose a file first.")
        if tables.locked():
            raise Refusal(BUSY)
        async with tables:
            try:
                rated = await predict_upload(service, Path(path))
            except UserError as error:
                raise Refusal(str(error)) from None
            except FileNotFoundError:
                raise Refusal("The file is no longer here; upload it again.") from None
            except BusyError:
                raise Refusal(BUSY) from None
            finally:
                await asyncio.to_thread(uploads.trim)
        found = rated.predictions
        message = f"{len(found.predictions):,} movies rated by model {found.version}."
        return str(rated.path), f"{message}\n\n{_code_block(rated.lines)}"

    gr.Markdown(
        "A table (CSV, TSV, JSON, Excel or Parquet) with a title or a summary of each movie, and what else is known: "
        "genres, year, runtime, languages, countries, companies, budget, directors, cast and crew. The answers are "
        "added to it, in its own format, and you see which columns were read."
    )
    upload = gr.File(label="Table", file_types=list(SUFFIXES))
    button = gr.Button("Predict all", variant="primary")
    message = gr.Markdown(elem_id="message")
    rated = gr.File(label="Result", interactive=False)
    button.click(predict_table, upload, [rated, message], api_visibility="private", concurrency_limit=None)


def _code_block(lines: Sequence[str]) -> str:
    """Lines as Markdown that shows them as they are: file and column names are a visitor's text."""
    fence = "`" * (1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=2))
    return "\n".join([fence, *lines, fence])


def _elsewhere(inputs: Any) -> bool:
    """Whether the values of a request name a file on another host, which Gradio would download."""
    if isinstance(inputs, dict):
        path = inputs.get("path")
        return (isinstance(path, str) and "://" in path) or any(map(_elsewhere, inputs.values()))
    return isinstance(inputs, list) and any(map(_elsewhere, inputs))


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _movie(values: Sequence[Any]) -> dict[str, Any]:
    """The values of the form, in the order of `INPUTS`, as a movie. Gradio passes None or 0 for an empty number."""
    return {field: _value(field, value) for field, value in zip(INPUTS, values, strict=True)}


def _value(field: str, value: Any) -> Any:
    if field in NUMBERS:
        return int(value) if value else None
    if field in TEXTS:
        return value or ""
    # Genres are chosen in a list of their own; the other names are typed.
    given = value or []
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


def _words(effects: list[Effect]) -> list[tuple[str, float]]:
    """The words with their effects as shares of the largest effect, so that the colours use their whole range."""
    largest = max((abs(e.effect) for e in effects), default=0.0) or 1.0
    return [(e.text, e.effect / largest) for e in effects]


def _fields(effects: list[Effect]) -> str:
    return "By field: " + ", ".join(f"{e.field} {e.effect:+.3f}" for e in effects)


def _card(classifier: Classifier) -> str:
    card = model_card(classifier)
    low, high = card["thresholds"]["low"], card["thresholds"]["high"]
    figures = card["metrics"]["validation"]
    measured = (
        f"On {figures['rows']:,} movies of the validation split: balanced accuracy {figures['balanced_accuracy']:.3f}, "
        f"macro-F1 {figures['macro_f1']:.3f}. Chance is 0.333.\n\n"
        if figures
        else ""
    )
    return (
        f"**Version** {card['version']}, {card['variant']}, fine-tuned from `{card['origin'].get('model')}`.\n\n"
        f"**bad** is a rating below {low:.2f} of 10, **good** one above {high:.2f}.\n\n{measured}"
        f"The model reads {', '.join(card['text']['fields'])}, up to {card['text']['max_length']} tokens. "
        "It was trained on the ratings of people on TMDB, which depend on their taste as much as on the films. "
        "It is no basis for a decision about anyone's work."
    )
