"""The study: how good the model is over five folds of films, every movie answered by a model that never saw it.

Reads data/clean/movies.parquet and params.yaml, writes benchmarks/study-SOURCE.json: the model, its parts and every
baseline, with facts and without; and, with --part, ablations, objectives, seeds, the learning curve, the split by time.
In each fold, thresholds, settings, epoch, calibration and decision are chosen without the movies that it answers. What
a training answered is kept in data/study, so that an interrupted study goes on where it stopped.
"""

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from benchmarks._folds import Fold, by_film, by_time, smaller
from stages import baseline, checkpoint, metrics, params, parquet, pretrained, storage
from stages.calibration import fit_answering
from stages.ceiling import noise_ceiling
from stages.command import exit_code
from stages.decision import Floats, Ints
from stages.embeddings import embed
from stages.inference import ClassLogits
from stages.labels import CLASSES
from stages.params import Params
from stages.ridge import Rated, fit_linear, fit_part
from stages.rows import drop_fields, vote_weights
from stages.schema import MOVIE
from stages.text import FORMAT, PLOT, TextFormat, encode, facts_among, without
from stages.train import fine_tune

WORK: Final = Path("data/study")
CLEAN: Final = "data/clean/movies.parquet"
PARTS: Final = ("model", "baselines", "fields", "objectives", "seeds", "sizes", "time")
VIEWS: Final = ("facts", "plot")  # what the model is told of a movie: all it can read, or the original's request
SEEDS: Final = (1, 2)
SIZES: Final = (0.25, 0.5)
SOME: Final = (0,)  # folds of what is compared with the model rather than measured
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "cross-entropy, soft labels": {"objective": "cross_entropy"},
    "class-weighted cross-entropy": {"objective": "cross_entropy", "class_weights": "balanced"},
    "focal": {"objective": "focal"},
    "ordinal (CORN)": {"objective": "ordinal"},
    "regression": {"objective": "regression"},
    "multi-task, votes not weighted": {"vote_weighting": 0.0},
}

Tables = dict[str, Floats]


@dataclass(frozen=True)
class Answers:
    """What was answered: row numbers, labels and class indices (rows,), and probabilities (rows, classes)."""

    rows: Ints
    labels: Ints
    predicted: Ints
    probabilities: Floats


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    wanted = parser.parse_args().part or PARTS
    study = Study(params.load())
    path = f"benchmarks/study-{study.options.fetch.source}.json"
    found = storage.read_json(path) if Path(path).exists() else {}
    found |= {"source": study.options.fetch.source, "rows": len(study.movies), "folds": len(study.folds)}
    for part in (part for part in PARTS if part in wanted):
        found |= getattr(study, part)()
        storage.write_json(path, found)
        print(f"study: {part} done, {path} written", file=sys.stderr)


class Study:
    """The movies in folds, and what was answered of each."""

    def __init__(self, options: Params):
        self.options = options
        self.movies: list[dict[str, Any]] = parquet.read_table(CLEAN, MOVIE).to_pylist()
        self.folds = by_film(self.movies, options)
        self.facts = facts_among(options.text.fields)
        self.labels = np.zeros(len(self.movies), dtype=np.int64)
        for fold in self.folds:
            self.labels[fold.test] = fold.labels[fold.test]
        self._embeddings: dict[tuple[str, ...], Floats] = {}

    @cached_property
    def tables(self) -> list[Tables]:
        """The logits of the model itself, fold by fold."""
        return [self.logits(self.options, fold, f"fold {n}") for n, fold in enumerate(self.folds)]

    def model(self) -> dict[str, Any]:
        """The model and each of its parts alone, with facts and without, and what the report draws of it."""
        answered: dict[str, dict[str, Answers]] = {}
        for view in VIEWS:
            answered[view] = {
                name: self.pooled([self.decide(f, t, view, part) for f, t in zip(self.folds, self.tables, strict=True)])
                for name, part in {"model": slice(None), "transformer": slice(0, 1), "linear": slice(1, 2)}.items()
            }
        whole = answered["facts"]["model"]
        shares = np.bincount(self.labels, minlength=len(CLASSES)) / len(self.labels)
        votes = np.array([movie["vote_count"] or 0 for movie in self.movies], dtype=np.float64)
        ratings = np.array([movie["vote_average"] for movie in self.movies])
        return {
            "model": {view: {name: self.figures(a) for name, a in found.items()} for view, found in answered.items()},
            "perfectly_calibrated_error": metrics.perfectly_calibrated_error(whole.probabilities, 200, 0),
            "reliability": metrics.reliability(self.labels, whole.probabilities),
            "coverage": metrics.coverage(self.labels, whole.predicted, whole.probabilities),
            "trade_off": metrics.trade_off(self.labels, whole.probabilities, shares),
            "noise_ceiling": noise_ceiling(ratings, votes, self.folds[0].thresholds, 0),
        }

    def baselines(self) -> dict[str, Any]:
        """Every baseline on the same folds and fields, and the model's paired difference to each."""
        found: dict[str, Any] = {}
        for view in VIEWS:
            ours = self.pooled([self.decide(f, t, view) for f, t in zip(self.folds, self.tables, strict=True)])
            answered = {
                name: self.pooled([self.baseline(name, view, n, fold) for n, fold in enumerate(self.folds)])
                for name in self.options.baseline.models
            }
            found[view] = {
                name: self.figures(theirs) | {"model_minus": self.difference(ours, theirs)}
                for name, theirs in answered.items()
            }
        return {"baselines": found}

    def fields(self) -> dict[str, Any]:
        """The linear part alone on other fields: title, genres and summary, with one fact more, with one fact less."""
        sets = {"title, genres, summary": list(PLOT)}
        sets |= {f"and {fact}": [*PLOT, fact] for fact in self.facts}
        sets |= {f"all but {fact}": [f for f in self.options.text.fields if f != fact] for fact in self.facts}
        sets["all"] = list(self.options.text.fields)
        return {
            "fields": {
                name: self.figures(self.pooled([self.linear(fields, fold) for fold in self.folds]))
                for name, fields in tqdm(sets.items(), desc="fields")
            }
        }

    def objectives(self) -> dict[str, Any]:
        """The transformer alone, trained to other objectives, on some of the folds."""
        folds = [self.folds[n] for n in SOME]
        cases = {"multi-task": self.options} | {n: changed(self.options, "train", o) for n, o in OBJECTIVES.items()}
        return {"objectives": {"folds": len(SOME)} | {name: self.some(o, folds) for name, o in cases.items()}}

    def seeds(self) -> dict[str, Any]:
        """The same training from other seeds, on some of the folds."""
        folds = [self.folds[n] for n in SOME]
        cases = {"0": self.options} | {str(s): changed(self.options, "train", {"seed": s}) for s in SEEDS}
        return {"seeds": {"folds": len(SOME)} | {seed: self.some(o, folds) for seed, o in cases.items()}}

    def sizes(self) -> dict[str, Any]:
        """The learning curve: the model on a share of its training movies."""
        found = {}
        for share in (*SIZES, 1.0):
            folds = [smaller(fold, self.movies, share) if share < 1 else fold for fold in self.folds]
            tables = [self.logits(self.options, fold, f"share {share}") for fold in folds] if share < 1 else self.tables
            rows = int(np.mean([len(fold.train) for fold in folds]))
            found[str(share)] = {"training_rows": rows} | {
                view: self.figures(self.pooled([self.decide(f, t, view) for f, t in zip(folds, tables, strict=True)]))
                for view in VIEWS
            }
        return {"sizes": found}

    def time(self) -> dict[str, Any]:
        """Trained on older movies and asked about the newest, beside its figures for the same movies at random."""
        fold = by_time(self.movies, self.options)
        aged = self.decide(fold, self.logits(self.options, fold, "by time"), "facts")
        kept = self.pooled([self.decide(f, t, "facts") for f, t in zip(self.folds, self.tables, strict=True)])
        mixed = Answers(fold.test, self.labels[fold.test], kept.predicted[fold.test], kept.probabilities[fold.test])
        years = [self.movies[row]["release_date"].year for row in fold.test]
        return {
            "time": {
                "rows": len(fold.test), "years": [min(years), max(years)],
                "trained_on_older": self.figures(aged), "trained_at_random": self.figures(mixed),
            }
        }  # fmt: skip

    def some(self, options: Params, folds: list[Fold]) -> dict[str, Any]:
        """Figures of the transformer alone on a few folds."""
        tables = [{"facts": self.transformer(options, fold, "some")["facts"][None]} for fold in folds]
        parts = [self.decide(f, t, "facts") for f, t in zip(folds, tables, strict=True)]
        return self.figures(self.pooled(parts))

    def logits(self, options: Params, fold: Fold, what: str) -> Tables:
        """Logits (parts, movies, classes) for the validation and test movies of a fold, of both views."""
        train, held = self.rated(fold.train), self.rated(fold.validation)
        dropped = (
            drop_fields(train.movies, options.text.fields, options.train.seed) if options.text.field_dropout else []
        )
        linear, _ = fit_part(train, dropped, held, options.text.fields, fold.thresholds, options.linear)
        found = self.transformer(options, fold, what)
        whole = [self.movies[row] for row in (*fold.validation, *fold.test)]
        asked = {"facts": whole, "plot": [without(movie, self.facts) for movie in whole]}
        return {view: np.stack([found[view], linear.logits(asked[view])]) for view in VIEWS}

    def transformer(self, options: Params, fold: Fold, what: str) -> Tables:
        """The transformer's part of that, kept on disk: the linear part is fitted in a moment."""
        relevant = options.model_dump(include={"model", "text", "train"})
        rows = [part.tolist() for part in (fold.train, fold.validation, fold.test)]
        key = json.dumps([relevant, rows, FORMAT, storage.sha256(CLEAN)], sort_keys=True)
        path = WORK / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"
        if not path.exists():
            print(f"study: training, {what}", file=sys.stderr)
            folder = WORK / "checkpoint"
            tables = [fold.table(self.movies, part) for part in (fold.train, fold.validation)]
            alone = changed(options, "linear", {"use": False})
            fine_tune(tables[0], tables[1], fold.thresholds, {"study": path.stem}, alone, WORK / "state", folder)
            asked = [self.movies[row] for row in (*fold.validation, *fold.test)]
            bare = [without(movie, self.facts) for movie in asked]
            found = {"facts": transformer_logits(folder, asked), "plot": transformer_logits(folder, bare)}
            with storage.whole(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, facts=found["facts"], plot=found["plot"])
            shutil.rmtree(folder)
        with np.load(path) as kept:
            return {view: kept[view] for view in VIEWS}

    def decide(self, fold: Fold, tables: Tables, view: str, parts: slice = slice(None)) -> Answers:
        """Calibrate and choose the decision on a fold's validation movies, answer its test movies."""
        count = len(fold.validation)
        held, test = tables[view][parts, :count], tables[view][parts, count:]
        shares = np.bincount(fold.labels[fold.train], minlength=len(CLASSES)) / len(fold.train)
        rule = self.options.decision
        how = fit_answering(rule.rule, rule.metric, held, fold.labels[fold.validation], shares)
        probabilities = how.calibration.probabilities(test)
        return Answers(fold.test, fold.labels[fold.test], how.decision.classes(probabilities), probabilities)

    def baseline(self, name: Any, view: str, n: int, fold: Fold) -> Answers:
        """A baseline's answers to the test movies of a fold."""
        fields = self.options.text.fields if view == "facts" else [f for f in self.options.text.fields if f in PLOT]
        parts = [fold.train, fold.validation, fold.test]

        def embeddings() -> tuple[Floats, Floats, Floats]:
            text = TextFormat(tuple(fields), self.options.text.max_length)
            if text.fields not in self._embeddings:
                self._embeddings[text.fields] = embed(self.options.model.name, self.movies, text)
            train, held, test = (self._embeddings[text.fields][part] for part in parts)
            return train, held, test

        tables = [fold.table(self.movies, part).to_pylist() for part in parts]
        data = baseline.Data(tables[0], tables[1], tables[2], fields, fold.thresholds, embeddings)
        found = baseline.fit(name, data, self.options)
        return Answers(fold.test, fold.labels[fold.test], found.predicted, found.probabilities)

    def linear(self, fields: Sequence[str], fold: Fold) -> Answers:
        """The linear part alone, on these fields."""
        train, held = self.rated(fold.train), self.rated(fold.validation)
        model, _ = fit_linear(train, held, fields, fold.thresholds, self.options.linear)
        asked = [self.movies[row] for row in (*fold.validation, *fold.test)]
        return self.decide(fold, {"facts": model.logits(asked)[None]}, "facts")

    def rated(self, rows: Ints) -> Rated:
        """Movies as the linear part learns from them."""
        movies = [self.movies[row] for row in rows]
        ratings = np.array([movie["vote_average"] for movie in movies])
        return Rated(movies, ratings, vote_weights(movies, self.options.train.vote_weighting))

    def pooled(self, parts: list[Answers]) -> Answers:
        """The answers of several folds, in the order of the movies."""
        rows = np.concatenate([part.rows for part in parts])
        order = np.argsort(rows)
        columns = [
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("labels", "predicted", "probabilities")
        ]
        return Answers(rows[order], *columns)

    def figures(self, answers: Answers) -> dict[str, Any]:
        """Figures of merit with 95% intervals, by bootstrap over movies."""
        drawn = (self.options.evaluate.bootstrap, self.options.evaluate.seed)
        return metrics.scores(answers.labels, answers.predicted, answers.probabilities) | {
            "interval_95": metrics.intervals(answers.labels, answers.predicted, *drawn)
        }

    def difference(self, ours: Answers, theirs: Answers) -> dict[str, Any]:
        """The paired difference of two sets of answers to the same movies."""
        drawn = (self.options.evaluate.bootstrap, self.options.evaluate.seed)
        return metrics.paired_difference(self.labels, ours.predicted, theirs.predicted, *drawn)


def transformer_logits(folder: Path, movies: list[dict[str, Any]]) -> Floats:
    """Class logits (movies, classes) of a checkpoint, by torch: that its export answers alike is export's to prove."""
    metadata = checkpoint.read(folder)
    model, tokenizer = pretrained.load_checkpoint(folder)
    ids = encode(tokenizer.backend_tokenizer, movies, metadata.text)
    return ClassLogits(model, metadata.head, metadata.thresholds).of(ids, int(tokenizer.pad_token_id))


def changed(options: Params, group: str, values: dict[str, Any]) -> Params:
    """The parameters with other values in one group."""
    return options.model_copy(update={group: getattr(options, group).model_copy(update=values)})


if __name__ == "__main__":
    sys.exit(exit_code(main))
