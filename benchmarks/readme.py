"""The README's result tables, made from the committed figures: python -m benchmarks.readme writes them in place.

They stand between comments in the README, so that everything around them is written by hand. With --check, exit code 1
where the README does not say what the files say.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.report import TITLES

README = Path("README.md")
STUDIES = ("sample",)
KINDS = ("balanced_accuracy", "macro_f1")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    old = README.read_text(encoding="utf-8")
    new = filled(old, Path())
    if not check:
        README.write_text(new, encoding="utf-8")
    elif new != old:
        print(
            "README.md: its tables are not those of the committed figures; python -m benchmarks.readme", file=sys.stderr
        )
        return 1
    return 0


def filled(text: str, root: Path) -> str:
    """The README with every table as the files under ``root`` have it."""
    tables = {"split": split_table(_read(root / "metrics/evaluate.json"), _read(root / "metrics/baseline.json"))}
    for source in STUDIES:
        study = _read(root / f"benchmarks/study-{source}.json")
        tables[f"study {source}"] = study_table(study)
        tables[f"gain {source}"] = gain_table(study)
    tables["parts sample"] = parts_table(_read(root / "benchmarks/study-sample.json"))
    for name, table in tables.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = text.split(start)
        text = f"{before}{start}\n{table}\n{end}{rest.split(end)[1]}"
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


def split_table(evaluated: Mapping[str, Any], baselines: Mapping[str, Any]) -> str:
    """The one split that `dvc repro` scores."""
    head = [f"{evaluated['rows']} test movies", "balanced accuracy", "macro-F1", "accuracy", "log-loss"]
    named = {"the model": evaluated, "told title, genres and summary alone": evaluated["without_facts"]}
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
