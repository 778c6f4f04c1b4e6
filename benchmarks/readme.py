"""The result tables of the README and of docs/, made from the committed figures: python -m benchmarks.readme.

They stand between comments, so that everything around them is written by hand. With --check nothing is written, and
the exit code is 1 where a page does not say what the files say.
"""

import argparse
import csv
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from movie_ratings.core import paths
from movie_ratings.reports.titles import TITLES

PAGES = (Path("README.md"), Path("docs/experiments.md"))
STUDIES = ("sample", "wikidata")
KINDS = ("balanced_accuracy", "macro_f1")
# What a sweep is judged by, on validation: the score that chooses the epoch, too, and losses.
SCORE = "selection_score"
MEASURED = {
    SCORE: "expected balanced accuracy",
    "validation.transformer.log_loss": "log-loss, transformer alone",
    "validation.log_loss": "log-loss, both parts",
    "validation.plot.log_loss": "the same, of title, genres, summary",
}
# What the model was meant to reach, by KINDS.
AIMS = {"facts": (0.62, 0.53), "plot": (0.57, 0.48)}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    tables = made(Path())
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old, tables)
        if not check:
            page.write_text(new, encoding="utf-8")
        elif new != old:
            print(f"{page}: its tables are not those of the committed figures; python -m benchmarks.readme")
            return 1
    return 0


def made(root: Path) -> dict[str, str]:
    """Every table, by name, as the files under ``root`` have it."""
    tables = {"split": split_table(_read(root / paths.EVALUATE_DETAILS), _read(root / paths.BASELINE_DETAILS))}
    for source in STUDIES:
        study = _read(root / f"benchmarks/results/study-{source}.json")
        tables[f"study {source}"] = study_table(study)
        tables[f"gain {source}"] = gain_table(study)
        tables[f"parts {source}"] = parts_table(study)
    study = _read(root / "benchmarks/results/study-sample.json")
    tables["sizes"] = sizes_table(study)
    tables["time"] = scores_table(
        {
            "trained on older movies": study["time"]["trained_on_older"],
            "trained on movies of all years": study["time"]["trained_at_random"],
        }
    )
    scale = _read(root / "benchmarks/results/scale.json")
    tables["scale"] = scale_table(scale)
    tables["prediction"] = prediction_table(scale["prediction"], _read(root / "benchmarks/results/serving.json"))
    with (root / "benchmarks/results/sweep.csv").open(encoding="utf-8", newline="") as file:
        tables["sweep"] = sweep_table(list(csv.DictReader(file)))
    for part in ("objectives", "seeds", "fields"):
        tables[part] = scores_table({name: row for name, row in study[part].items() if name != "folds"})
    return tables


def filled(text: str, tables: Mapping[str, str]) -> str:
    """A page with each table between its comments.

    Raises:
        KeyError: the page asks for a table that there is not.
    """
    for name in re.findall(r"^<!-- (?!end of )(.+) -->$", text, re.MULTILINE):
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{tables[name]}\n{end}{rest.split(end)[1]}"
    return text


def study_table(study: Mapping[str, Any]) -> str:
    """The model and the baselines, out of fold, with all fields and with the original's alone."""
    head = [
        f"{study['source']} source, {study['rows']:,} movies", "balanced accuracy", "macro-F1",
        "of title, genres, summary: balanced accuracy", "macro-F1",
    ]  # fmt: skip
    views = {view: {"model": study["model"][view]["model"]} | study["baselines"][view] for view in ("facts", "plot")}
    rows = [
        [TITLES[name], *(_with_interval(views[view][name], kind) for view in views for kind in KINDS)]
        for name in views["facts"]
    ]
    return _table(head, rows)


def gain_table(study: Mapping[str, Any]) -> str:
    """What the model gains over each baseline, paired by movie."""
    head = [
        "the model minus", "balanced accuracy", "macro-F1", "of title, genres, summary: balanced accuracy", "macro-F1"
    ]  # fmt: skip
    rows = [
        [
            TITLES[name],
            *(
                _with_interval(study["baselines"][view][name]["model_minus"], kind, "+")
                for view in ("facts", "plot")
                for kind in KINDS
            ),
        ]
        for name in study["baselines"]["facts"]
        if name not in ("majority", "genre_year")
    ]
    return _table(head, rows)


def parts_table(study: Mapping[str, Any]) -> str:
    """The model and its parts alone."""
    head = ["", "balanced accuracy", "macro-F1", "log-loss", "of title, genres, summary: log-loss"]
    rows = [
        [
            TITLES[name],
            *(_with_interval(row, kind) for kind in KINDS),
            f"{row['log_loss']:.3f}",
            f"{study['model']['plot'][name]['log_loss']:.3f}",
        ]
        for name, row in study["model"]["facts"].items()
    ]
    return _table(head, rows)


def scores_table(rows: Mapping[str, Any]) -> str:
    """Figures of merit of anything, a line each."""
    head = ["", "balanced accuracy", "macro-F1", "log-loss"]
    return _table(
        head,
        [
            [name, *(_with_interval(row, kind) for kind in KINDS), f"{row['log_loss']:.3f}"]
            for name, row in rows.items()
        ],
    )


def sizes_table(study: Mapping[str, Any]) -> str:
    """The learning curve, and where a line through it would reach the aims."""
    head = ["training movies", "balanced accuracy", "macro-F1"]
    head += [f"of title, genres, summary: {head[1]}", head[2]]
    sizes = sorted(study["sizes"].values(), key=lambda size: size["training_rows"])
    rows = [
        [f"{size['training_rows']:,}", *(_with_interval(size[view], kind) for view in AIMS for kind in KINDS)]
        for size in sizes
    ]
    needed = [
        _needed(sizes, view, kind, aim) for view, aims in AIMS.items() for kind, aim in zip(KINDS, aims, strict=True)
    ]
    return _table(head, [*rows, ["extrapolated", *needed]])


def _needed(sizes: Sequence[Mapping[str, Any]], view: str, kind: str, aim: float) -> str:
    """How many training movies would reach ``aim`` if the figure went on growing as it does with each doubling."""
    found = [size[view][kind] for size in sizes]
    if found[-1] >= aim:
        return f"{aim:.2f} is reached"
    doublings = [math.log2(size["training_rows"]) for size in sizes]
    slope = np.polyfit(doublings, found, 1)[0]
    if slope <= 0:
        return f"{aim:.2f}: no growth to go by"
    rows = sizes[-1]["training_rows"] * 2 ** ((aim - found[-1]) / slope)
    return f"{slope:+.3f} a doubling: {aim:.2f} at {float(f'{rows:.1g}'):,.0f}"


def scale_table(found: Mapping[str, Any]) -> str:
    """What each stage takes at each size, and at ten times the largest on a straight line through the last two."""
    sizes = sorted(map(int, found["stages"]))
    small, large = (found["stages"][str(size)] for size in sizes[-2:])
    further = 10 * sizes[-1]

    def extrapolated(stage: str) -> dict[str, float]:
        steps = (further - sizes[-1]) / (sizes[-1] - sizes[-2])
        return {kind: high + steps * (high - small[stage][kind]) for kind, high in large[stage].items()}

    columns = [found["stages"][str(size)] for size in sizes] + [{stage: extrapolated(stage) for stage in large}]
    cells = [[stage, *(_cost(column[stage]) for column in columns)] for stage in large]
    return _table(["", *(f"{size:,} movies" for size in sizes), f"{further:,}, extrapolated"], cells)


def prediction_table(measured: Mapping[str, Any], serving: Mapping[str, Any]) -> str:
    """Batch prediction: measured with the tiny model, extrapolated for the default one and for many machines."""
    rate = serving["batch"]["movies_per_second"]["ours"]["median"]
    head = [
        "movies",
        "tiny model, measured",
        "default model on two cores, extrapolated",
        "on 20 such machines with Ray",
    ]
    rows = []
    for movies in (*sorted(map(int, measured)), 10 * max(map(int, measured))):
        found = measured.get(str(movies))
        told = f"{found['seconds']:,.0f} s, {found['megabytes']:,.0f} MB" if found else "not measured"
        rows.append([f"{movies:,}", told, f"{movies / rate / 60:,.0f} min", f"{movies / rate / 60 / 20:,.0f} min"])
    return _table(head, rows)


def sweep_table(rows: Sequence[Mapping[str, str]]) -> str:
    """The experiments of a sweep, by their score on validation."""
    # The line of what is committed has no name, and its figures are among the others.
    ranked = sorted((row for row in rows if row["Experiment"]), key=lambda row: -float(row[SCORE]))
    names = [name for name in ranked[0] if name.startswith(("train.", "text."))]
    cells = [[*(row[name] for name in names), *(f"{float(row[name]):.3f}" for name in MEASURED)] for row in ranked]
    return _table([*(f"`{name}`" for name in names), *MEASURED.values()], cells)


def _cost(figures: Mapping[str, float]) -> str:
    seconds, memory, disk = (figures[kind] for kind in ("seconds", "megabytes", "disk_megabytes"))
    return f"{seconds:,.0f} s, {memory / 1e3:.1f} GB, {max(disk, 0.0):,.1f} MB"


def split_table(evaluated: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    """The one split that `dvc repro` scores."""
    head = [f"{evaluated['rows']} test movies", "balanced accuracy", "macro-F1", "accuracy", "log-loss"]
    named = {"the model": evaluated, "told title, genres and summary alone": evaluated["plot"]}
    named |= {TITLES[name]: row for name, row in baselines.items()}
    rows = [
        [
            name,
            *(_with_interval(row, kind) if "interval_95" in row else f"{row[kind]:.3f}" for kind in KINDS),
            f"{row['accuracy']:.3f}",
            f"{row['log_loss']:.3f}",
        ]
        for name, row in named.items()
    ]
    return _table(head, rows)


def _with_interval(row: Mapping[str, Any], kind: str, sign: str = "") -> str:
    value = row.get("difference", row)[kind]
    low, high = row["interval_95"][kind]
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
