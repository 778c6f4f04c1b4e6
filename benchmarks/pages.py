"""Fill README.md, SECURITY.md and docs/ with the committed figures: python -m benchmarks.pages.

A table, or what a command printed, stands between the lines `<!-- NAME -->` and `<!-- end of NAME -->`, a figure in
prose between `<!--NAME-->` and `<!--/-->`. `benchmarks._tables` makes the tables, `benchmarks._walk` the blocks of
commands, `benchmarks._figures` the figures. All other text is written by hand.
With --check nothing is written, and the exit code is 1 if a page differs from the committed figures.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import _rating_tables, _tables, _walk
from benchmarks._figures import figures
from movie_ratings.core import paths
from movie_ratings.core.errors import UserError

BENCHMARKS: Final = Path("benchmarks/results")
METRICS: Final = Path("metrics/details")
AUDIT: Final = Path(paths.AUDIT)
# What the pages quote, by the name of its file.
MEASURED: Final = (
    "study-sample", "study-wikidata", "throughput", "pipeline", "collect", "files", "imdb", "scale", "serving", "image",
    "abuse", "explain", "log", "monitoring", "curator", "deberta", "bulk",
)  # fmt: skip
UNTIMED: Final = ("study-sample", "study-wikidata", "monitoring")  # have no figure of speed
COUNTED: Final = ("fetch", "clean", "split", "train", "export", "baseline", "evaluate")

TABLE: Final = re.compile(r"^<!-- (?!end of )(.+?) -->\n(?:.*?^<!-- end of \1 -->$)?", re.MULTILINE | re.DOTALL)
FIGURE: Final = re.compile(r"<!--([a-z][^\s<>]*)-->([^<]*<!--/-->)?")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pages", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    try:
        stale = list(outdated(Path()))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for page, text in stale:
        if check:
            print(f"{page}: differs from the committed figures; run python -m benchmarks.pages", file=sys.stderr)
        else:
            page.write_text(text, encoding="utf-8")
            print(f"{page}: filled")
    return int(check and bool(stale))


def pages(root: Path) -> list[Path]:
    """The pages that quote figures."""
    return [root / "README.md", root / "SECURITY.md", *sorted((root / "docs").glob("*.md"))]


def outdated(root: Path) -> Iterator[tuple[Path, str]]:
    """Each page that differs from the committed figures, with the text that it should have.

    Raises:
        UserError: a page has a marker that nothing fills.
    """
    results = read(root)
    made, numbers = tables(results), figures(results)
    for page in pages(root):
        text = page.read_text(encoding="utf-8")
        if (new := filled(str(page.relative_to(root)), text, made, numbers)) != text:
            yield page, new


def filled(page: str, text: str, made: Mapping[str, str], numbers: Mapping[str, str]) -> str:
    """The text of a page with every table and every figure between its markers.

    Raises:
        UserError: a marker has an unknown name, or no end; the message has the page and the name.
    """

    def table(found: re.Match[str]) -> str:
        name = found[1]
        if name not in made:
            raise UserError(f"{page}: no table is called {name!r}")
        if not found[0].endswith(f"<!-- end of {name} -->"):
            raise UserError(f"{page}: the table {name!r} has no <!-- end of {name} -->")
        return f"<!-- {name} -->\n{made[name]}\n<!-- end of {name} -->"

    def figure(found: re.Match[str]) -> str:
        name = found[1]
        if name not in numbers:
            raise UserError(f"{page}: no figure is called {name!r}")
        if found[2] is None:
            raise UserError(f"{page}: the figure {name!r} has no <!--/-->")
        return f"<!--{name}-->{numbers[name]}<!--/-->"

    return FIGURE.sub(figure, TABLE.sub(table, text))


def read(root: Path) -> dict[str, Any]:
    """The committed results, by the name of their file."""
    results = {name: _json(root / BENCHMARKS / f"{name}.json") for name in MEASURED}
    results |= {name: _json(root / METRICS / f"{name}.json") for name in COUNTED}
    results["audit"] = _json(root / AUDIT)
    with (root / BENCHMARKS / "sweep.csv").open(encoding="utf-8", newline="") as file:
        results["sweep"] = list(csv.DictReader(file))
    return results


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """Every table, by name."""
    study, scale = results["study-sample"], results["scale"]
    made = {
        "headline": _tables.headline_table(study),
        "split": _tables.split_table(results["evaluate"], results["baseline"]),
        "sizes": _tables.sizes_table(study),
        "linear sizes": _tables.linear_sizes_table(study),
        "time": _tables.time_table(study),
        "audit": _tables.audit_table(results["audit"]),
        "scale": _tables.scale_table(scale),
        "speed": _tables.speed_table(results),
        "processors": _tables.processors_table(results, [name for name in MEASURED if name not in UNTIMED]),
        "prediction": _tables.prediction_table(scale["prediction"], results["bulk"]),
        "stages": _tables.stages_table(results["pipeline"]),
        "steps": _tables.steps_table(results["bulk"]),
        "limits": _tables.limits_table(results["abuse"]),
        "abuse": _tables.abuse_table(results["abuse"]),
        "sweep": _tables.sweep_table(results["sweep"]),
        "errors": _rating_tables.errors_table(study),
        "intervals": _rating_tables.intervals_table(study),
        "decisions": _rating_tables.decisions_table(study),
        "comparables": _rating_tables.comparables_table(results["evaluate"]),
    }
    for source in ("sample", "wikidata"):
        found = results[f"study-{source}"]
        made[f"study {source}"] = _tables.study_table(found)
        made[f"gain {source}"] = _tables.gain_table(found)
        made[f"parts {source}"] = _tables.parts_table(found)
    for part, head in {"objectives": "objective", "seeds": "seed", "fields": "fields"}.items():
        made[part] = _tables.scores_table(head, {name: row for name, row in study[part].items() if name != "folds"})
    return made | _walk.blocks(results["curator"])


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
