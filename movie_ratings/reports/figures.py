"""Charts as inline SVG, and self-contained pages: without scripts, and without anything loaded from a network."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from movie_ratings.core import storage
from movie_ratings.reports import templates

matplotlib.rcParams.update({"svg.hashsalt": "movie-ratings", "font.size": 9, "axes.spines.top": False})
matplotlib.rcParams.update({"axes.spines.right": False, "svg.fonttype": "none"})
COLOUR = "#35618f"
COLOURS = (COLOUR, "#c4622d", "#4f8a4c")


def write_page(path: str, template: str, **values: Any) -> None:
    """Render a template of the folder pages to ``path``; every value is escaped except the charts of this module."""
    with storage.whole(path) as temporary:
        temporary.write_text(templates.render(template, **values), encoding="utf-8")


def bars(values: Mapping[str, float], label: str) -> Markup:
    """Horizontal bars, from top to bottom in the order of ``values``."""
    axes = _axes(6, 0.24 * len(values) + 0.7)
    axes.barh(list(values), list(values.values()), color=COLOUR)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return _svg(axes)


def histogram(edges: Sequence[float], counts: Sequence[float], x: str, y: str = "movies") -> Markup:
    """A histogram from its bin edges (one more than there are counts)."""
    axes = _axes(6, 2.4)
    axes.stairs(list(counts), list(edges), fill=True, color=COLOUR)
    axes.set(xlabel=x, ylabel=y)
    return _svg(axes)


def boxes(groups: Mapping[str, Any], x: str) -> Markup:
    """A box plot for each group of values, from top to bottom; outliers are not drawn."""
    axes = _axes(6, 0.3 * len(groups) + 0.7)
    axes.boxplot(list(groups.values()), orientation="horizontal", tick_labels=list(groups), showfliers=False)
    axes.invert_yaxis()
    axes.set_xlabel(x)
    return _svg(axes)


def lines(x: Sequence[float], series: Mapping[str, Sequence[float]], x_label: str, y_label: str) -> Markup:
    """One line a series over a logarithmic horizontal axis."""
    axes = _axes(6, 2.6)
    for name, values in series.items():
        axes.plot(list(x), list(values), marker="o", label=name)
    axes.set(xscale="log", xlabel=x_label, ylabel=y_label)
    axes.legend(frameon=False)
    return _svg(axes)


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    """A confusion matrix of shape (true, predicted); the colour is the share among the movies of the true class."""
    axes = _axes(3.4, 3)
    table = np.array(counts)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=colour)
    axes.set(xticks=range(len(classes)), yticks=range(len(classes)), xlabel="predicted", ylabel="true")
    axes.set_xticklabels(classes)
    axes.set_yticklabels(classes)
    return _svg(axes)


def reliability(series: Mapping[str, Sequence[Mapping[str, Any]]]) -> Markup:
    """Accuracy against confidence, one line a series; a perfectly calibrated model lies on the diagonal."""
    axes = _axes(3.4, 3)
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for (name, bins), colour in zip(series.items(), COLOURS, strict=False):
        axes.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], marker="o", color=colour, label=name)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    axes.legend(frameon=False)
    return _svg(axes)


def comparison(rows: Mapping[str, tuple[float, float, float]], x: str, mark: float | None, mark_label: str) -> Markup:
    """A point with its interval (value, low, high) for each row, from top to bottom.

    The first row has a colour of its own. A dashed vertical line stands at ``mark``, unless ``mark`` is None.
    """
    axes = _axes(6, 0.3 * len(rows) + 0.9)
    for place, (value, low, high) in enumerate(rows.values()):
        colour = COLOURS[0] if place == 0 else "grey"
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([value], [place], marker="o", color=colour)
    axes.set(yticks=range(len(rows)), xlabel=x)
    axes.set_yticklabels(list(rows))
    axes.invert_yaxis()
    if mark is not None:
        axes.axvline(mark, color=COLOURS[1], linestyle="--", linewidth=1)
        axes.set_title(mark_label, loc="right", fontsize=8, color=COLOURS[1])
    return _svg(axes)


def curve(
    x: Sequence[float], series: Mapping[str, Sequence[float]], x_label: str, y_label: str, logarithmic: bool = False
) -> Markup:
    """One line a series with a marker at each point of ``x``."""
    axes = _axes(3.9, 3)
    for (name, values), colour in zip(series.items(), COLOURS, strict=False):
        axes.plot(list(x), list(values), marker="o", markersize=3, label=name, color=colour)
    axes.set(xlabel=x_label, ylabel=y_label, xscale="log" if logarithmic else "linear")
    axes.legend(frameon=False)
    return _svg(axes)


def _axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _svg(axes: Axes) -> Markup:
    buffer = io.StringIO()
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return Markup(buffer.getvalue()[buffer.getvalue().index("<svg") :])
