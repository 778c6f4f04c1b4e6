"""The page as a whole, and its place in the application of the API."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import gradio as gr
from fastapi import FastAPI
from starlette.routing import Mount

from serving.page import card, one_movie, slate, tables, what_if
from serving.page.blocks import WAITING, Page
from serving.page_gate import PageGate
from serving.service import Service
from serving.slates import Slates
from serving.upload_folder import UploadFolder

if TYPE_CHECKING:
    from serving.tmdb import LookUps

MAX_UPLOAD: Final = 4 << 20  # bytes
DAY: Final = 86_400  # seconds
ATTRIBUTION: Final = (
    "This product uses the TMDB API but is not endorsed or certified by [TMDB](https://www.themoviedb.org)."
)
# Fonts that every machine has, so that the page works without access to any other host. The theme's own colours have a
# contrast below 4.5 in these places.
THEME: Final = gr.themes.Soft(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    button_primary_background_fill_hover="*primary_700",
    button_primary_background_fill_hover_dark="*primary_700",
    block_title_text_color="*primary_700",
    block_label_text_color="*primary_700",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    checkbox_label_background_fill_selected="*primary_600",
    color_accent="*primary_600",
    link_text_color_dark="*primary_300",
    link_text_color_hover_dark="*primary_200",
    link_text_color_visited_dark="*primary_300",
)
STYLE: Final = Path(__file__).with_name("page.css")
SCRIPT: Final = Path(__file__).with_name("page.js")


@dataclass(frozen=True)
class Extras:
    """What the page has only if the service was started so: a search at TMDB, and a tab of the slates in a folder."""

    look_ups: "LookUps | None" = None
    slates: Path | None = None


def mount(app: FastAPI, service: Service, extras: Extras) -> FastAPI:
    """Mount the page at / of the API's application, behind its routes, so that the page hides none of them."""
    uploads = UploadFolder()
    os.environ["GRADIO_TEMP_DIR"] = str(uploads.path)  # Gradio has no parameter for it
    page = build(service, uploads, extras)
    app = gr.mount_gradio_app(
        app, page, path="", max_file_size=MAX_UPLOAD, show_error=True, theme=THEME, footer_links=[], ssr_mode=False,
        run_history=False, css=STYLE.read_text(), head=f"<script>{SCRIPT.read_text()}</script>",
    )  # fmt: skip
    mounted = app.routes[-1]
    assert isinstance(mounted, Mount)
    mounted.app = PageGate(mounted.app, uploads, MAX_UPLOAD)
    return app


def build(service: Service, uploads: UploadFolder, extras: Extras) -> gr.Blocks:
    """The page, whose predictions all pass the queue of ``service``."""
    with Page(title="Movie Ratings", delete_cache=(DAY, DAY)) as page:
        gr.Markdown(
            "# Movie Ratings\nWill a movie be rated **bad**, **average** or **good**? From what is known before."
        )
        notice = gr.HTML(elem_id="notice", js_on_load=None)
        with gr.Tab("One movie"):
            inputs = one_movie.tab(service, page, notice, extras.look_ups)
        with gr.Tab("What if"):
            what_if.tab(service, inputs)
        with gr.Tab("Many movies"):
            tables.tab(service, uploads)
        if extras.slates:
            with gr.Tab("Slate") as opened:
                slate.tab(opened, Slates(extras.slates), uploads)
        with gr.Tab("The model"):
            card.tab(service, page)
        logged = f". {_logged(service.log.texts)}" if service.log else ""
        gr.Markdown(f"<small>{ATTRIBUTION} [API documentation](docs){logged}</small>")
    # Without api_open=False, a request could go past the queue.
    return page.queue(max_size=WAITING, api_open=False)


def _logged(texts: bool) -> str:
    return f"This service logs its predictions{'' if texts else ', without the texts of the movies'}."
