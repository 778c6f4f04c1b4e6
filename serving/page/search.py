"""The search at TMDB above the form of a movie: only where the service has a key to TMDB.

It uses the look-ups of `GET /v1/tmdb` and `GET /v1/tmdb/ID`, with their queue, memory and limits.
"""

import contextlib
import re
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import gradio as gr

from movie_ratings.movies.validation import RANGES
from serving.page import form
from serving.page.blocks import LIGHT, Refusal, refusing
from serving.page.markup import isolated, refused, shown
from serving.routes import LATE, LONGEST_QUERY

if TYPE_CHECKING:
    from movie_ratings.sources.tmdb.lookup import Match, Matches
    from serving.tmdb import LookUps

NAME: Final = 100  # characters of a title in the list of matches
YEAR: Final = re.compile(r"\d{4}", re.ASCII)


class Box(NamedTuple):
    """The components of the search."""

    title: Any
    year: Any
    button: Any
    message: Any
    matches: Any
    choose: Any


def box() -> Box:
    """The components, at the place where this is called."""
    with gr.Accordion("Find a film at TMDB", elem_id="search"):
        with gr.Row(equal_height=True):
            title = gr.Textbox(label="Film", placeholder="in any language", max_length=LONGEST_QUERY, scale=3)
            # A field for numbers would show 0 where there is none.
            year = gr.Textbox(label="Released in", placeholder="any year", max_length=4, min_width=120)
        button = gr.Button("Search", size="sm")
        message = gr.HTML(elem_id="found", js_on_load=None)
        matches = gr.Radio([], label="Matches", visible=False, interactive=True, elem_id="matches")
        choose = gr.Button("Fill the form", size="sm", visible=False)
    return Box(title, year, button, message, matches, choose)


def connect(box: Box, look_ups: "LookUps", inputs: list[Any]) -> None:
    """Let the search fill ``inputs``, the fields of the form in the order of `serving.page.form.INPUTS`."""

    async def search(title: str | None, year: str | None) -> tuple[str, Any, Any]:
        try:
            with asking():
                found = await look_ups.search(*query(title, year))
        except Refusal as error:
            return refused(error.message), gr.update(choices=[], value=None, visible=False), gr.update(visible=False)
        choices = [(described(match), str(match.id)) for match in found.results]
        first, any_found = (choices[0][1] if choices else None), bool(choices)
        return counted(found), gr.update(choices=choices, value=first, visible=any_found), gr.update(visible=any_found)

    async def fill(movie_id: str | None) -> Any:
        try:
            with asking():
                if movie_id is None:
                    raise Refusal("Choose a match first.")
                return filled(await look_ups.known(int(movie_id)))
        except Refusal as error:
            return refused(error.message), *(gr.skip(),) * len(inputs)

    for event in (box.button.click, box.title.submit, box.year.submit):
        event(search, [box.title, box.year], [box.message, box.matches, box.choose], **LIGHT)
    box.choose.click(fill, box.matches, [box.message, *inputs], **LIGHT)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Turn what keeps TMDB from answering into messages for the visitor.

    Raises:
        Refusal: the block raised a UserError, a BusyError or a TimeoutError.
    """
    with refusing():
        try:
            yield
        except TimeoutError:
            raise Refusal(f"{LATE}.") from None


def query(title: str | None, year: str | None) -> tuple[str, int | None]:
    """The title and the year of a search, within the limits of `GET /v1/tmdb`; an empty year is None.

    Raises:
        Refusal: one of them is outside its limits.
    """
    words = " ".join((title or "").split())
    if not 0 < len(words) <= LONGEST_QUERY:
        raise Refusal(f"Write a title of 1 to {LONGEST_QUERY} characters.")
    written, (least, most) = (year or "").strip(), RANGES["year"]
    if written and not (YEAR.fullmatch(written) and least <= int(written) <= most):
        raise Refusal(f"A year is a number from {least} to {most}.")
    return words, int(written) if written else None


def described(match: "Match") -> str:
    """A match in the list: title, original title if it is another one, day of release and id."""
    original = match.original_title
    other = f" ({isolated(original, NAME)})" if original and original != match.title else ""
    return f"{isolated(match.title or 'no title', NAME)}{other}, {_day(match.released)}, TMDB {match.id}"


def counted(found: "Matches") -> str:
    """How many matches there are, as HTML."""
    listed, total = len(found.results), max(found.total_results, len(found.results))
    if not listed:
        return "<p>TMDB has no film that matches.</p>"
    if listed < total:
        return f"<p>The first {listed} of {total:,} matches. A longer title or a year leaves fewer.</p>"
    return f"<p>{listed} {'match' if listed == 1 else 'matches'}.</p>"


def filled(known: Any) -> tuple[Any, ...]:
    """A message and the values of the form for a `serving.tmdb.Known`.

    Raises:
        Refusal: TMDB no longer has the film.
    """
    if known is None:
        raise Refusal("TMDB no longer has this film.")
    title = shown(known.movie.get("title") or "this film", NAME)
    message = f"<p>The form holds what TMDB has of {title} today ({_day(known.released)}).</p>"
    return message, *form.values(known.movie)


def _day(day: date | None) -> str:
    return f"{day}" if day else "no day of release"
