"""The page that shows how good the model is, drawn from the files under metrics/ and benchmarks/results/."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from movie_ratings.core import paths, storage
from movie_ratings.movies.labels import CLASSES
from movie_ratings.reports import figures
from movie_ratings.reports.titles import TITLES


def write(path: str) -> None:
    """Write the page to ``path``.

    Raises:
        UserError: a file of figures is missing or is not JSON.
    """
    test = storage.read_json(paths.EVALUATE_DETAILS)
    tables = {file.stem: pl.read_csv(file).to_dicts() for file in sorted(Path(paths.EVALUATE_TABLES).glob("*.csv"))}
    figures.write_page(
        path,
        "report.html.j2",
        paths=paths,
        test=test,
        baselines=storage.read_json(paths.BASELINE_DETAILS),
        fetch=storage.read_json(paths.FETCH_DETAILS),
        split=storage.read_json(paths.SPLIT_DETAILS),
        classes=CLASSES,
        titles=TITLES,
        slices=tables["slices"],
        intervals=tables["intervals"],
        importance=importance_by_kind(tables["importance"]),
        audit=storage.read_json(paths.AUDIT),
        wrong=storage.read_json(paths.WRONG),
        studies=[_study(path) for path in paths.STUDIES],
        confusion=figures.confusion(test["confusion"], CLASSES),
        reliability=figures.reliability(
            {"before calibration": tables["reliability_before"], "after": tables["reliability"]}
        ),
        coverage=_coverage(tables["coverage"]),
        ceiling=_ceiling(test["noise_ceiling"]),
    )


def _coverage(rows: list[dict[str, Any]]) -> Markup:
    return figures.curve(
        [row["coverage"] for row in rows],
        {
            "accuracy of the most probable class": [row["most_probable_right"] for row in rows],
            "balanced accuracy of the predictions": [row["balanced_accuracy"] for row in rows],
        },
        "share of the movies, the most confident first",
        "score",
    )


def importance_by_kind(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """What weighs most in the linear part, by kind; empty for a model without one."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["kind"], []).append(row | {"field": row["field"].replace("_", " ")})
    return found


def _study(path: str) -> dict[str, Any]:
    """A study of ``benchmarks.study``, with its charts."""
    study: dict[str, Any] = storage.read_json(path)
    views = {
        view: {"model": parts["model"]} | study.get("baselines", {}).get(view, {})
        for view, parts in study["model"].items()
    }
    charts = {view: _comparison(rows, study["noise_ceiling"]) for view, rows in views.items()}
    charts["trade_off"] = _trade_off(study["trade_off"])
    charts["reliability"] = figures.reliability({"all folds": study["reliability"]})
    if sizes := study.get("sizes"):
        charts["sizes"] = _sizes(list(sizes.values()))
    return {"path": path, "study": study, "views": views, "charts": charts, "ceiling": _ceiling(study["noise_ceiling"])}


def _comparison(rows: Mapping[str, Any], ceiling: Mapping[str, Any]) -> Markup:
    return figures.comparison(
        {
            TITLES.get(name, name): (row["balanced_accuracy"], *row["interval_95"]["balanced_accuracy"])
            for name, row in rows.items()
        },
        "balanced accuracy",
        ceiling["balanced_accuracy"],
        "noise ceiling",
    )


def _trade_off(rows: list[dict[str, float]]) -> Markup:
    names = ("balanced_accuracy", "macro_f1", "accuracy")
    series = {name.replace("_", " "): [row[name] for row in rows] for name in names}
    return figures.curve([row["strength"] for row in rows], series, "strength of the prior correction", "score")


def _sizes(sizes: list[dict[str, Any]]) -> Markup:
    return figures.curve(
        [size["training_rows"] for size in sizes],
        {
            "every field": [size["facts"]["balanced_accuracy"] for size in sizes],
            "title, genres, summary": [size["plot"]["balanced_accuracy"] for size in sizes],
        },
        "training movies",
        "balanced accuracy",
        logarithmic=True,
    )


def _ceiling(found: Mapping[str, Any]) -> str:
    if found["balanced_accuracy"] is None:
        return "unknown, because too few movies have a number of votes"
    return f"balanced accuracy {found['balanced_accuracy']:.3f}, macro-F1 {found['macro_f1']:.3f}"
