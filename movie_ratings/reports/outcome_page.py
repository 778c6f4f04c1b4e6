"""The page that shows what became of the predictions of films that were not out yet."""

from collections.abc import Mapping
from typing import Any

from movie_ratings.core import storage
from movie_ratings.reports import templates


def write(path: str, found: Mapping[str, Any]) -> None:
    """Write the page to ``path``; ``found`` is what the command writes as JSON."""
    with storage.whole(path) as temporary:
        temporary.write_text(templates.render("outcome.html.j2", **found), encoding="utf-8")
