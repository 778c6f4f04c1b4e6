"""The page that lists films that are not out yet, the best predicted rating first."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from movie_ratings.core import storage
from movie_ratings.reports import templates


def write(path: Path, films: Sequence[Mapping[str, Any]], asked: datetime, version: str) -> None:
    """Write the page of ``films``, the rows of `movie_ratings.prediction.slates.ranked`, to ``path``."""
    with storage.whole(path) as temporary:
        text = templates.render("slate.html.j2", films=films, asked=f"{asked:%Y-%m-%d %H:%M} UTC", version=version)
        temporary.write_text(text, encoding="utf-8")
