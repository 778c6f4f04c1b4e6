"""How often the gate and the monitor raise a false alarm, and whether they notice what they are for.

Needs the outputs of `dvc repro` in the workspace. Writes benchmarks/results/monitoring.json.

gate     trains, exports and evaluates a model on a tenth of the training movies, in a clone of the last commit, and
         runs `python -m stages.gate` there. Then 200 pairs of equally good models: each pair has a bootstrap sample of
         the test movies. By the toss of a coin for each movie, one model of the pair has the whole model's answer, and
         the other model has the answer of the model of a tenth.
monitor  200 times, the films are divided into two random halves, and one half is compared with the other as new movies
         are compared with training movies. Then the newest films, and the films without English, are compared with the
         other films.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from benchmarks import _results
from benchmarks._clone import ROOT, environment, run
from movie_ratings import params
from movie_ratings.core import parquet, paths
from movie_ratings.core.command import exit_code
from movie_ratings.model.answers import Answers
from movie_ratings.monitoring import drift, facts, gate, predictions
from movie_ratings.monitoring.predictions import Pair
from movie_ratings.monitoring.summary import Summary
from movie_ratings.movies.record import MOVIE, SPLIT_OF
from movie_ratings.movies.release import add_year
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import FIELDS
from movie_ratings.params import Params

OUTPUT: Final = str(_results.path("monitoring"))
PARTS: Final = ("gate", "monitor")
DRAWS: Final = 200
SHARE: Final = 0.1  # of the training movies, for the model that the gate must refuse
HELD_OUT: Final = 0.125  # of the movies that stand for the training movies: those that stand for validation
NEWEST: Final = 0.15  # of the films, for the period that has moved
ENGLISH: Final = "English"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.monitoring",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    wanted = parser.parse_args().part or PARTS
    found = _results.read("monitoring")
    options = params.load()
    parts: dict[str, Callable[[Params], dict[str, Any]]] = {"gate": measure_gate, "monitor": measure_monitor}
    for part in wanted:
        found[part] = parts[part](options)
        _results.write("monitoring", found)
        print(f"monitoring: {part}: {found[part]}")


def measure_gate(options: Params) -> dict[str, Any]:
    """The exit code for a model of a tenth of the movies, and the share of pairs of equal models that is refused."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        for place in ("data/clean", "data/history", "data/split", "data/baseline"):
            shutil.copytree(place, clone / place)
        shutil.copyfile(paths.PREDICTIONS, clone / paths.PREDICTIONS)
        # The gate compares with a commit. Another processor may have rounded the committed predictions otherwise.
        author = ("-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost")
        subprocess.run(
            ["git", *author, "commit", "--all", "--quiet", "--allow-empty", "-m", "whole"], cwd=clone, check=True
        )
        rows = keep_share(clone / paths.SPLITS, SHARE)
        for stage in ("train", "export", "evaluate"):
            run(clone, "-m", f"stages.{stage}")
        command = [sys.executable, "-m", "stages.gate", "--against", "HEAD"]
        done = subprocess.run(command, cwd=clone, env=environment(), capture_output=True, text=True, check=False)
        small = predictions.parse((clone / paths.PREDICTIONS).read_text(encoding="utf-8"), "a tenth")
    whole = predictions.parse(Path(paths.PREDICTIONS).read_text(encoding="utf-8"), paths.PREDICTIONS)
    both = predictions.pair(whole, small, ("all", "a tenth"))
    known = facts.of_movies(both.ids)
    refusals = [refused(*exchanged(both, known, draw), options) for draw in tqdm(range(DRAWS), desc="pairs")]
    return {
        "tenth": {"rows": rows, "exit_code": done.returncode, "verdict": done.stdout.splitlines()[-1:]},
        "movies": len(both.ids),
        "pairs": DRAWS,
        "refused": sum(map(bool, refusals)),
        "refused_for": sorted(name for names in refusals for name in names),
    }


def keep_share(path: Path, share: float) -> int:
    """Leave a random share of the training movies in the training split; returns their number."""
    table = parquet.read_table(path, SPLIT_OF)
    names = np.array(table["split"].to_pylist(), dtype=object)
    train = np.flatnonzero(names == "train")
    kept = np.random.default_rng(0).choice(train, round(share * len(train)), replace=False)
    names[np.setdiff1d(train, kept)] = "unused"
    parquet.write_table(path, table.set_column(1, SPLIT_OF.field("split"), pa.array(names.tolist())))
    return len(kept)


def exchanged(
    both: Pair, known: Sequence[Mapping[str, Any] | None], draw: int
) -> tuple[Pair, list[Mapping[str, Any] | None]]:
    """A bootstrap sample of the movies, each with the two answers on random sides, and the facts of these movies."""
    drawn = np.random.default_rng(draw)
    rows = drawn.integers(0, len(both.ids), len(both.ids))
    swap = drawn.random(len(rows)) < 0.5
    first, second = both.take(rows.tolist())
    pair = Pair([both.ids[row] for row in rows], chosen(first, second, swap), chosen(second, first, swap), 0)
    return pair, [known[row] for row in rows]


def chosen(first: Answers, second: Answers, swap: Any) -> Answers:
    """The answers of ``second`` where ``swap`` is true, those of ``first`` elsewhere. The labels are the same."""
    joined = Answers.joined([first, second])
    return joined.take(np.arange(len(swap)) + len(swap) * swap)


def refused(pair: Pair, known: Sequence[Mapping[str, Any] | None], options: Params) -> list[str]:
    """The figures for which the gate refuses the new model of a pair."""
    figures = gate.compare(pair, known, options.evaluate, lambda _: None)
    return [f"{figure.movies}: {figure.name}" for figure in figures if figure.verdict == "worse"]


def measure_monitor(options: Params) -> dict[str, Any]:
    """The share of random halves with an alarm, and the alarms where the newest or the foreign films are new."""
    read = {*options.text.fields, *(options.linear.names if options.linear.use else ())}
    fields = [field for field in FIELDS if field in read]
    table = add_year(parquet.read_table(paths.CLEAN, MOVIE))
    drawn = np.random.default_rng(0)
    levels = []
    for _ in tqdm(range(DRAWS), desc="halves"):
        order = drawn.permutation(table.num_rows)
        half = len(order) // 2
        levels.append(drifts(table.take(order[:half]), table.take(order[half:]), fields))
    years = table["year"].to_numpy(zero_copy_only=False)
    newest = years >= np.nanquantile(years, 1 - NEWEST)
    foreign = ~np.array([ENGLISH in (names or [ENGLISH]) for names in table["spoken_languages"].to_pylist()])
    moved = {}
    for name, new in {"newest films": newest, "films without English": foreign}.items():
        found = drifts(table.filter(pa.array(~new)), table.filter(pa.array(new)), fields)
        moved[name] = {"movies": int(new.sum()), "alarms": sorted(found["alarm"])}
    return {
        "movies": table.num_rows,
        "draws": DRAWS,
        "with_alarm": sum(bool(found["alarm"]) for found in levels),
        "with_moved": sum(bool(found["moved"]) for found in levels),
        "moved": moved,
    }


def drifts(train: pa.Table, now: pa.Table, fields: Sequence[str]) -> dict[str, list[str]]:
    """The names of the drifts of each level, of ``now`` from ``train``, of which a part stands for validation."""
    held = round(HELD_OUT * train.num_rows)
    sides = [Summary.of(Movies(part), fields) for part in (train[held:], train[:held], now)]
    found: dict[str, list[str]] = {"moved": [], "alarm": [], "stable": []}
    for one in drift.of_movies(*sides):
        found[one.level].append(f"{one.kind} of {one.name}")
    return found


if __name__ == "__main__":
    sys.exit(exit_code(main))
