"""A comparison as text: a table for a terminal, and Markdown for a pull request."""

from collections.abc import Sequence
from typing import Final

from movie_ratings.core.checks import shortened
from movie_ratings.monitoring.gate import ALL, Figure

COLUMNS: Final = ("movies", "number", "figure", "old", "new", "interval of the difference", "verdict")


def verdict(figures: Sequence[Figure]) -> str:
    """The sentence that begins a comparison: what became worse beyond chance."""
    worse = [figure for figure in figures if figure.verdict == "worse"]
    if not worse:
        return "passed: no figure is worse beyond chance"
    named = "; ".join(figure.name if figure.movies == ALL else f"{figure.name} of {figure.movies}" for figure in worse)
    return f"failed: worse beyond chance: {named}"


def plain(figures: Sequence[Figure]) -> str:
    """Columns between spaces."""
    rows = [COLUMNS, *map(_cells, figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def markdown(figures: Sequence[Figure], notes: Sequence[str]) -> str:
    """A heading with the verdict, a table of all figures, with the slices folded away, and ``notes`` as a list."""
    headline = [figure for figure in figures if figure.movies == ALL]
    slices = [figure for figure in figures if figure.movies != ALL]
    parts = [f"### Gate {_escaped(verdict(figures))}", _grid(headline)]
    if slices:
        parts.append(f"<details><summary>{len(slices)} slices</summary>\n\n{_grid(slices)}\n\n</details>")
    if notes:
        parts.append("\n".join(f"- {_escaped(note)}" for note in notes))
    return "\n\n".join(parts) + "\n"


def _grid(figures: Sequence[Figure]) -> str:
    rows = [COLUMNS, ("---",) * len(COLUMNS), *map(_cells, figures)]
    return "\n".join(f"| {' | '.join(map(_escaped, row))} |" for row in rows)


def _cells(figure: Figure) -> tuple[str, ...]:
    name = figure.movies if figure.movies.isprintable() and len(figure.movies) <= 60 else shortened(figure.movies)
    interval = f"{figure.low:+.3f} to {figure.high:+.3f}"
    return (name, f"{figure.rows:,}", figure.name, f"{figure.old:.3f}", f"{figure.new:.3f}", interval, figure.verdict)


def _escaped(text: str) -> str:
    """Text of a table of movies as Markdown shows it: no markup of its own, no mention of a person."""
    for mark in "\\|<>[]`*_@":
        text = text.replace(mark, f"&#{ord(mark)};")
    return text
