"""Gradio's page, with errors that say nothing that a visitor wrote, and the limits of its events."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final

import gradio as gr

from movie_ratings.core.errors import UserError
from serving.batching import BusyError

# Two movies and two tables at a time are the four pieces of long work that the service takes. Of the movies, a few more
# wait, each for some seconds; a table that would have to wait is refused, because a visitor would wait for minutes.
MOVIES: Final = 2
TABLES: Final = 2
WAITING: Final = 8
# Of each event that explains or compares movies: all of them share one limit.
LIMITED: Final[dict[str, Any]] = {
    "api_visibility": "private",
    "concurrency_limit": MOVIES,
    "concurrency_id": "movies",
}
# Of each event that predicts nothing.
LIGHT: Final[dict[str, Any]] = {"api_visibility": "private", "concurrency_limit": None}
LOG: Final = logging.getLogger("serving")
BUSY: Final = "Too many requests at once; try again in a second."


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


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Turn errors of the visitor, and a full queue, into messages for the visitor.

    Raises:
        Refusal: the block raised such an error.
    """
    try:
        yield
    except UserError as error:
        raise Refusal(_sentence(str(error))) from None
    except BusyError:
        raise Refusal(BUSY) from None


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _elsewhere(inputs: Any) -> bool:
    """Whether the values of a request name a file on another host, which Gradio would download."""
    if isinstance(inputs, dict):
        path = inputs.get("path")
        return (isinstance(path, str) and "://" in path) or any(map(_elsewhere, inputs.values()))
    return isinstance(inputs, list) and any(map(_elsewhere, inputs))
