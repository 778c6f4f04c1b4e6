"""The tab of many movies: a table is uploaded, predicted with a bar of its progress, and given back with a preview."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import gradio as gr

from movie_ratings.core.errors import UserError
from serving.batching import BusyError
from serving.page.blocks import BUSY, LIGHT, TABLES, Refusal
from serving.page.preview import preview
from serving.service import Service
from serving.upload_folder import UploadFolder
from serving.uploads import SUFFIXES, predict_upload

# Made once: Gradio finds the bar of an event's progress in the default values of a function.
PROGRESS: Final = gr.Progress()


def tab(service: Service, uploads: UploadFolder) -> None:
    """The tab, whose files lie in the folder ``uploads``."""
    tables = asyncio.Semaphore(TABLES)

    async def predict_table(path: str | None, progress: gr.Progress = PROGRESS) -> tuple[str, str, str]:
        if path is None:
            raise Refusal("Choose a file first.")
        if tables.locked():
            raise Refusal(BUSY)
        async with tables:
            try:
                progress(0, "reading the table")
                rated = await predict_upload(
                    service,
                    Path(path),
                    lambda done, total: progress(done / max(total, 1), f"{done:,} of {total:,} movies predicted"),
                )
            except UserError as error:
                raise Refusal(str(error)) from None
            except FileNotFoundError:
                raise Refusal("The file is no longer here; upload it again.") from None
            except BusyError:
                raise Refusal(BUSY) from None
            finally:
                await asyncio.to_thread(uploads.trim)
        message = f"{rated.movies:,} movies rated by model {rated.version}."
        return str(rated.path), f"{message}\n\n{_code_block(rated.lines)}", preview(rated.first, rated.movies)

    gr.Markdown(
        "A table (CSV, TSV, JSON, Parquet, or a workbook of Excel or OpenDocument) with a title or a summary of each "
        "movie, and what else is known: genres, year, runtime, languages, countries, companies, budget, directors, "
        "cast and crew. The answers are added to it, and you see which columns were read."
    )
    upload = gr.File(label="Table", file_types=list(SUFFIXES))
    button = gr.Button("Predict all", variant="primary")
    message = gr.Markdown(elem_id="message")
    shown = gr.HTML(elem_id="preview", js_on_load=None)
    rated = gr.File(label="Result", interactive=False)
    button.click(predict_table, upload, [rated, message, shown], show_progress_on=message, **LIGHT)


def _code_block(lines: Sequence[str]) -> str:
    """Lines as Markdown that shows them as they are: file and column names are a visitor's text."""
    fence = "`" * (1 + max((len(run) for line in lines for run in re.findall("`+", line)), default=2))
    return "\n".join([fence, *lines, fence])
