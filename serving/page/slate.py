"""The tab "Slate": the predictions of films that are not out yet, from the slates of a folder."""

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any, Final

import gradio as gr

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.prediction.writer import Writer
from serving.page.blocks import BUSY, LIGHT, Refusal, refusing
from serving.page.markup import refused, shown
from serving.slates import Slate, Slates
from serving.upload_folder import UploadFolder

SHOWN: Final = 100  # films in the table
NAME: Final = 100  # characters of a title
FORMATS: Final = (".csv", ".xlsx")
LOG: Final = logging.getLogger("serving")


def tab(opened: gr.Tab, slates: Slates, uploads: UploadFolder) -> None:
    """The content of the tab ``opened``; lists that visitors download lie in the folder ``uploads``."""
    writing = asyncio.Semaphore(1)

    async def open_newest() -> tuple[Any, ...]:
        try:
            with refusing():
                names = await asyncio.to_thread(slates.names)
        except Refusal as error:
            return gr.skip(), *nothing(refused(error.message))
        if not names:
            return gr.update(choices=[], value=None), *nothing("<p>There is no slate yet.</p>")
        return gr.update(choices=names, value=names[0]), *await show(names[0])

    async def show(name: str | None) -> tuple[Any, ...]:
        try:
            slate = await read(name)
        except Refusal as error:
            return nothing(refused(error.message))
        return heading(slate), table(slate), gr.update(visible=True), gr.update(value=None, visible=False)

    def nothing(message: str) -> tuple[Any, ...]:
        return message, "", gr.update(visible=False), gr.update(value=None, visible=False)

    async def read(name: str | None) -> Slate:
        with refusing():
            return await asyncio.to_thread(slates.read, name or "")

    async def download(name: str | None, suffix: str) -> Any:
        slate = await read(name)
        if writing.locked():
            raise Refusal(BUSY)
        async with writing:
            try:
                path = await asyncio.to_thread(_written, slate, suffix, uploads)
            except (UserError, OSError) as error:
                LOG.error("a list of films was not written", extra={"details": {"reason": first_line(error)}})
                raise Refusal("The list could not be written; try again later.") from None
            finally:
                await asyncio.to_thread(uploads.trim)
        return gr.update(value=str(path), visible=True)

    async def as_csv(name: str | None) -> Any:
        return await download(name, ".csv")

    async def as_workbook(name: str | None) -> Any:
        return await download(name, ".xlsx")

    gr.Markdown("Films that were not out yet when the model predicted them, the best predicted rating first.")
    choice = gr.Dropdown([], label="Predicted on", interactive=True)
    message = gr.HTML(elem_id="slate-message", js_on_load=None)
    with gr.Row(visible=False) as row:
        buttons = [gr.Button(f"Make the list as {suffix}", size="sm", min_width=140) for suffix in FORMATS]
    made = gr.File(label="List", interactive=False, visible=False)
    films = gr.HTML(elem_id="slate", js_on_load=None)
    outputs = [message, films, row, made]
    opened.select(open_newest, None, [choice, *outputs], **LIGHT)
    choice.input(show, choice, outputs, **LIGHT)
    for button, make in zip(buttons, (as_csv, as_workbook), strict=True):
        button.click(make, choice, made, **LIGHT)


def heading(slate: Slate) -> str:
    """When and by which model a slate was predicted, as HTML."""
    films = "film" if slate.total == 1 else "films"
    return (
        f"<p>{slate.total:,} {films}. Each prediction comes from what TMDB had of the film on "
        f"{slate.asked:%Y-%m-%d %H:%M} UTC, by model {shown(slate.version)}.</p>"
    )


def table(slate: Slate) -> str:
    """The first `SHOWN` films of a slate as an HTML table."""
    films = slate.films[:SHOWN]
    of = f"The first {len(films)} of {slate.total:,} films" if len(films) < slate.total else "All films"
    names = ("", "film", "release", "rating", "80% interval", "label")
    head = "".join(f'<th scope="col">{name}</th>' if name else "<td></td>" for name in names)
    body = "".join(
        f'<tr><td>{film["rank"]}</td><th scope="row">{shown(film["title"] or "no title", NAME)}</th>'
        f"<td>{film['release_date'] or 'unknown'}</td><td>{film['predicted_rating']:.1f}</td>"
        f"<td>{film['predicted_rating_low']:.1f} to {film['predicted_rating_high']:.1f}</td>"
        f"<td>{shown(film['label'])}</td></tr>"
        for film in films
    )
    # What can be scrolled must be within reach of the keyboard.
    return (
        f'<div class="preview" role="region" aria-label="{of}" tabindex="0">'
        f"<table><caption>{of}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _written(slate: Slate, suffix: str, uploads: UploadFolder) -> Path:
    """The file of a list, made when there is none, in a folder that is named after the slate and its file's state."""
    digest = hashlib.blake2b(f"{slate.name} {slate.stamp}".encode(), digest_size=16).hexdigest()
    path = uploads.path / digest / f"slate-{slate.name}{suffix}"
    if not path.exists():
        with Writer(path) as file:
            file.write([dict(film) for film in slate.films])
    return path
