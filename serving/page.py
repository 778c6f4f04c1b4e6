"""The page at /: one movie with its explanation, a table of many, and what is known about the model."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

# Read when gradio is imported: the page tells nobody that it is used.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from fastapi import FastAPI

from movie_ratings.core.errors import UserError
from movie_ratings.prediction import movie_files
from movie_ratings.prediction.bulk import predict_file
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.explain import LIMITS, Effect, explain
from serving.api import model_card
from serving.batching import Batcher, BusyError
from serving.schemas import SUMMARY, TITLE

UPLOAD: Final = 4 << 20  # bytes
ROWS: Final = 2_000  # in a table: half a minute's work
DAY: Final = 86_400  # seconds
GENRES: Final = [
    "Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Family", "Fantasy", "History",
    "Horror", "Music", "Mystery", "Romance", "Science Fiction", "Thriller", "TV Movie", "War", "Western",
]  # fmt: skip
EXAMPLES: Final = [
    ["The Long Harbour", "A widowed pilot guides one last ship home through the ice.", ["Drama", "Romance"]],
    ["Spring Break Shark 4", "The shark is back, and this time it has brought its cousins.", ["Horror", "Comedy"]],
    ["Paper Lanterns", "Three sisters keep their mother's cinema alive in occupied Seoul.", ["Drama", "History"]],
]
ATTRIBUTION: Final = (
    "This product uses the TMDB API but is not endorsed or certified by [TMDB](https://www.themoviedb.org)."
)
# Fonts that every machine has: the page works where nothing but this service can be reached.
THEME: Final = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700"
)


def mount(app: FastAPI) -> FastAPI:
    """Mount the page at / of the API's application, after its routes, so that it hides none."""
    page = build(app.state.batcher)
    return gr.mount_gradio_app(
        app, page, path="", max_file_size=UPLOAD, show_error=True, theme=THEME, footer_links=[], ssr_mode=False
    )


def build(batcher: Batcher) -> gr.Blocks:
    """The page, which asks ``batcher`` for its answers."""

    async def predict(title: str, summary: str, genres: list[str] | None, *facts: Any) -> tuple[Any, ...]:
        movie = {"title": title, "summary": summary, "genres": genres or []} | _facts(*facts)
        try:
            answer = await batcher.predict([movie])
            found = await asyncio.to_thread(explain, batcher.classifier, movie)
        except UserError as error:
            raise _told(str(error).removeprefix("movie 1: ").capitalize() + ".") from None
        except BusyError:
            raise _told("Too many requests at once; try again in a second.") from None
        (prediction,) = answer.predictions
        told = f"## {prediction.label}\n<small>model {answer.version}</small>"
        return told, prediction.probabilities, _words(found.words), _fields(found.fields)

    def predict_table(path: str | None) -> tuple[str | None, str]:
        if path is None:
            raise _told("Choose a CSV file first.")
        # In the upload's own folder, which the page clears away after a day.
        target = Path(path).with_name(f"rated-{Path(path).name}")
        try:
            movie_files.require_format(Path(path))
            rows = 0
            for batch in movie_files.read(Path(path), ROWS):
                rows += len(batch)
                if rows > ROWS:
                    raise _told(f"More than {ROWS:,} movies: use `python -m stages.predict --input` for so many.")
            rows = predict_file(batcher.classifier, Path(path), target, progress=False)
        except UserError as error:
            # The file's place on this machine is nobody's business.
            raise _told(str(error).replace(path, Path(path).name)) from None
        return str(target), f"{rows:,} movies rated by model {batcher.classifier.version}."

    with gr.Blocks(title="Movie Ratings", delete_cache=(DAY, DAY)) as page:
        gr.Markdown(
            "# Movie Ratings\nWill a movie be rated **bad**, **average** or **good**? From what is known before."
        )
        with gr.Tab("One movie"):
            with gr.Row():
                with gr.Column():
                    title = gr.Textbox(label="Title", max_length=TITLE)
                    summary = gr.Textbox(label="Summary", lines=5, max_length=SUMMARY)
                    genres = gr.Dropdown(GENRES, label="Genres", multiselect=True, allow_custom_value=True)
                    with gr.Accordion("What else is known (optional)", open=False):
                        with gr.Row():
                            year = gr.Number(label="Year", precision=0, value=None)
                            runtime = gr.Number(label="Runtime in minutes", precision=0, value=None)
                        languages = gr.Textbox(label="Spoken languages", placeholder="English, Français")
                        directors = gr.Textbox(label="Directors", placeholder="names between commas")
                        cast = gr.Textbox(label="Cast", placeholder="names between commas, the stars first")
                    button = gr.Button("Predict", variant="primary")
                with gr.Column():
                    label = gr.Markdown(elem_id="label")
                    bars = gr.Label(label="Calibrated probabilities", num_top_classes=3, show_heading=False)
                    words = gr.HighlightedText(label="Words: red ones spoke for the label, violet ones against it")
                    fields = gr.Markdown(elem_id="fields")
                    gr.Markdown(
                        "<small>The label weighs each probability against how rare its class is, so it need not be the "
                        "most probable. A word's colour is what leaving it out takes from the label's probability: "
                        f"{LIMITS}.</small>"
                    )
            gr.Examples(EXAMPLES, [title, summary, genres], label="Examples (invented)")
        with gr.Tab("Many movies"):
            gr.Markdown(
                'A CSV file with columns title, summary and genres ("Drama, Crime"), and what else is known: year, '
                "runtime, spoken_languages, directors, cast. The answers are added to it."
            )
            upload = gr.File(label="CSV file", file_types=[".csv"])
            many = gr.Button("Predict all", variant="primary")
            told = gr.Markdown(elem_id="told")
            rated = gr.File(label="Result", interactive=False)
        with gr.Tab("The model"):
            card = gr.Markdown(_card(batcher.classifier))
        gr.Markdown(f"<small>{ATTRIBUTION} [API documentation](/docs)</small>")

        outputs = [label, bars, words, fields]
        for event in (button.click, title.submit):
            asked = [title, summary, genres, year, runtime, languages, directors, cast]
            event(predict, asked, outputs, api_visibility="private")
        many.click(predict_table, upload, [rated, told], api_visibility="private")
        page.load(lambda: _card(batcher.classifier), None, card, api_visibility="private")
    return page


def _told(message: str) -> gr.Error:
    """A message for the person at the page, and not for the log, which holds nothing of what they wrote."""
    return gr.Error(message, print_exception=False)


def _facts(
    year: float | None, runtime: float | None, languages: str, directors: str, cast: str
) -> dict[str, int | list[str] | None]:
    """The optional fields as a movie has them. A number that was not entered is None, or 0."""
    numbers = {"year": year, "runtime": runtime}
    lists = {"spoken_languages": languages, "directors": directors, "cast": cast}
    return {field: int(value) if value else None for field, value in numbers.items()} | {
        field: [name.strip() for name in (value or "").split(",") if name.strip()] for field, value in lists.items()
    }


def _words(effects: list[Effect]) -> list[tuple[str, float]]:
    """The words with their effects as shares of the largest: the colours' whole range."""
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
        f"It reads {', '.join(card['text']['fields'])}, the first {card['text']['max_length']} tokens of them. "
        "It has learnt what people on TMDB rated, which says as much about them as about the films: "
        "no base for a decision about anyone's work."
    )
