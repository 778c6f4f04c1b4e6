"""Pieces of HTML. Every text that somebody wrote passes `shown`, or `isolated` where a component takes no HTML."""

import html
from collections.abc import Sequence
from typing import Final

SHOWN: Final = 200  # characters of a text


def shown(text: object, length: int = SHOWN) -> str:
    """A text as HTML that shows the text and nothing else, cut after ``length`` characters.

    `bdi` keeps marks that turn the direction of writing from turning what stands around the text.
    """
    return f"<bdi>{html.escape(_cut(text, length))}</bdi>"


def isolated(text: object, length: int = SHOWN) -> str:
    """A text in one line for a place that shows no HTML, cut after ``length`` characters.

    The marks around it do what `bdi` does in `shown`.
    """
    return f"\N{FIRST STRONG ISOLATE}{_cut(' '.join(str(text).split()), length)}\N{POP DIRECTIONAL ISOLATE}"


def _cut(text: object, length: int) -> str:
    found = str(text)
    if len(found) > length:
        found = f"{found[: length - 1]}…"
    # Half a surrogate pair has no UTF-8, and Gradio could not send it.
    return found.encode("utf-8", "replace").decode()


def percent(share: float) -> str:
    """A share from 0 to 1 as a length of CSS, between the ends of what holds it."""
    return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def items(entries: Sequence[str], name: str, tag: str = "ul") -> str:
    """A list of the class ``name``."""
    # Safari announces a list without bullets only if it has the role.
    return f'<{tag} role="list" class="{name}">{"".join(f"<li>{entry}</li>" for entry in entries)}</{tag}>'


def section(title: str, *parts: str) -> str:
    """A part of an answer under a heading."""
    return f"<section><h3>{title}</h3>{''.join(parts)}</section>"


def refused(reason: str) -> str:
    """Why something was refused, in the place of what it would have been."""
    return f'<p class="refused">{shown(reason)}</p>'


def note(text: str) -> str:
    """A small remark."""
    return f'<p class="note">{text}</p>'
