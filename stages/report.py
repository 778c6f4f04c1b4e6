"""Report: one page that tells a newcomer how good the model is and where to doubt it → data/reports/report.html.

Its figures are those of the files under metrics/ and of the studies that are committed under benchmarks/; each section
names its file. The page opens without a network.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from movie_ratings.core import storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import EVALUATE_TABLES, REPORT_PAGE, STUDIES, WRONG
from movie_ratings.movies.labels import CLASSES
from movie_ratings.reports import figures
from movie_ratings.reports.titles import TITLES

METRICS = ("fetch", "clean", "split", "train", "baseline", "evaluate")


def report() -> None:
    found = {name: storage.read_json(f"metrics/{name}.json") for name in METRICS}
    tables = {path.stem: pl.read_csv(path).to_dicts() for path in sorted(Path(EVALUATE_TABLES).glob("*.csv"))}
    evaluated = found["evaluate"]
    figures.write_page(
        REPORT_PAGE,
        "report.html.j2",
        found=found,
        classes=CLASSES,
        titles=TITLES,
        slices=tables["slices"],
        wrong=storage.read_json(WRONG),
        studies=[_study(path) for path in STUDIES],
        confusion=figures.confusion(evaluated["confusion"], CLASSES),
        reliability=figures.reliability(
            {"before calibration": tables["reliability_before"], "after": tables["reliability"]}
        ),
        coverage=figures.curve(
            [row["coverage"] for row in tables["coverage"]],
            {
                "most probable class is right": [row["most_probable_right"] for row in tables["coverage"]],
                "balanced accuracy of the answers": [row["balanced_accuracy"] for row in tables["coverage"]],
            },
            "share of the movies answered, the surest first",
            "share",
        ),
        ceiling=_ceiling(evaluated["noise_ceiling"]),
    )
    print(f"report: {REPORT_PAGE} written")


def _study(path: str) -> dict[str, Any]:
    """A study with its charts."""
    study: dict[str, Any] = storage.read_json(path)
    views = {
        view: {"model": parts["model"]} | study.get("baselines", {}).get(view, {})
        for view, parts in study["model"].items()
    }
    charts = {
        view: figures.comparison(
            {TITLES.get(name, name): _with_interval(row) for name, row in rows.items()},
            "balanced accuracy",
            study["noise_ceiling"]["balanced_accuracy"],
            "who knew the true ratings",
        )
        for view, rows in views.items()
    }
    trade_off = study["trade_off"]
    charts["trade_off"] = figures.curve(
        [row["strength"] for row in trade_off],
        {
            name.replace("_", " "): [row[name] for row in trade_off]
            for name in ("balanced_accuracy", "macro_f1", "accuracy")
        },
        "strength of the prior correction",
        "figure",
    )
    charts["reliability"] = figures.reliability({"out of fold": study["reliability"]})
    if sizes := study.get("sizes"):
        charts["sizes"] = figures.curve(
            [size["training_rows"] for size in sizes.values()],
            {
                "with facts": [size["facts"]["balanced_accuracy"] for size in sizes.values()],
                "title, genres, summary": [size["plot"]["balanced_accuracy"] for size in sizes.values()],
            },
            "training movies",
            "balanced accuracy",
            logarithmic=True,
        )
    return {"path": path, "study": study, "views": views, "charts": charts, "ceiling": _ceiling(study["noise_ceiling"])}


def _with_interval(row: Mapping[str, Any]) -> tuple[float, float, float]:
    low, high = row["interval_95"]["balanced_accuracy"]
    return row["balanced_accuracy"], low, high


def _ceiling(found: Mapping[str, Any]) -> str:
    if found["balanced_accuracy"] is None:
        return "cannot be estimated: the votes were not counted"
    return f"balanced accuracy {found['balanced_accuracy']:.3f}, macro-F1 {found['macro_f1']:.3f}"


if __name__ == "__main__":
    run_stage(report, [REPORT_PAGE])
