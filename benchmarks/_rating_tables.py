"""The tables of predicted ratings, labels and comparable films: Markdown out of the committed results."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks._tables import VIEWS, difference, markdown
from movie_ratings.movies.labels import CLASSES
from movie_ratings.reports.titles import TITLES

ERROR: Final = "mean_absolute_error"
CONSTANT: Final = "the mean rating of the training movies"  # what the majority class is among ratings


def errors_table(study: Mapping[str, Any]) -> str:
    """The mean error of the predicted ratings, of the model and of each baseline, and the model's paired difference."""
    head = ["mean distance between predicted and true rating"]
    for start in VIEWS.values():
        head += [f"{start}error", f"{start}the model minus this"]
    rows = []
    for name in ["model", *study["baselines"]["facts"]]:
        cells = [TITLES[name] if name != "majority" else CONSTANT]
        for view in VIEWS:
            found = study["model"][view]["model"] if name == "model" else study["baselines"][view][name]
            low, high = found["interval_95"][ERROR]
            cells.append(f"{found[ERROR]:.3f} ({low:.3f} to {high:.3f})")
            cells.append("" if name == "model" else difference(found["model_minus"][ERROR]))
        rows.append(cells)
    return markdown(head, rows)


def intervals_table(study: Mapping[str, Any]) -> str:
    """Coverage and width of the intervals, of all movies and by decade and votes."""
    head = ["given", "movies", "number", "mean error", "rating in the 80% interval", "mean width of the interval"]
    rows = [
        [
            row["given"],
            "all" if row["slice"] == "all" else f"{row['slice']}: {row['value']}",
            f"{row['rows']:,}",
            f"{row[ERROR]:.2f}",
            f"{row['interval_coverage']:.1%}",
            f"{row['interval_width']:.2f}",
        ]
        for row in study["intervals"]
    ]
    return markdown(head, rows)


def decisions_table(study: Mapping[str, Any]) -> str:
    """How often each kind of label is given, and how often it is right."""
    head = ["label", "accuracy", "balanced accuracy", "macro-F1"]
    head += [text for name in CLASSES for text in (f"called {name}", f"of these, {name}")]
    rows = []
    for name, row in study["decisions"].items():
        cells = [f"`{name}`", *(f"{row[kind]:.3f}" for kind in ("accuracy", "balanced_accuracy", "macro_f1"))]
        for each in CLASSES:
            right = row["right"][each]
            cells += [f"{row['called'][each]:.0%}", "" if right is None else f"{right:.0%}"]
        rows.append(cells)
    return markdown(head, rows)


def comparables_table(evaluated: Mapping[str, Any]) -> str:
    """What comparable films share with a test movie, beside training movies at random."""
    head = ["five training movies", "distance of their mean rating", "share a genre"]
    head += ["share a director, writer or actor", "share a keyword"]
    titles = {"comparable": "the comparable films", "random": "drawn at random"}
    rows = [
        [
            titles[name],
            f"{row['rating_distance']:.2f}",
            *(f"{row[kind]:.0%}" for kind in ("shared_genre", "shared_person", "shared_keyword")),
        ]
        for name, row in evaluated["comparables"].items()
    ]
    return markdown(head, rows)
