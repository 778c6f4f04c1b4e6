"""The study: how good the model is over five folds of films, every movie answered by a model that never saw it.

Reads data/clean/movies.parquet and params.yaml, writes benchmarks/results/study-SOURCE.json: the model, its parts and
every baseline, with facts and without; and, with --part, ablations, objectives, seeds, the learning curve, the split by
time. In each fold, thresholds, settings, epoch, calibration and decision are chosen without the movies that it answers.
What a training answered is kept in data/study, so that an interrupted study goes on where it stopped. Several trainings
run beside each other, a thread each: small batches leave most of a second thread idle.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from benchmarks import _results
from benchmarks._folds import Fold, by_film, by_time, smaller
from benchmarks._trainings import CLEAN, VIEWS, Tables, Training, changed, train_all
from movie_ratings import params
from movie_ratings.core import parquet, paths
from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.command import exit_code
from movie_ratings.evaluation import baselines, metrics
from movie_ratings.evaluation.ceiling import noise_ceiling
from movie_ratings.evaluation.embeddings import embed
from movie_ratings.evaluation.slices import interval_slices
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.model.rating import implied_ratings
from movie_ratings.movies.labels import label_shares
from movie_ratings.movies.record import MOVIE, OUTSIDE
from movie_ratings.movies.release import add_year
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import PLOT, TextFormat, facts_among, without
from movie_ratings.params import Params
from movie_ratings.training.calibration import Truth, fit_answering
from movie_ratings.training.data import drop_fields, known_fields, vote_weights
from movie_ratings.training.records import features, fit_records
from movie_ratings.training.ridge import LinearData, Rated, Reads, fit_linear, fit_part

PARTS: Final = ("model", "baselines", "fields", "linear_sizes", "objectives", "seeds", "sizes", "time")
SEEDS: Final = (1, 2)
SIZES: Final = (0.25, 0.5)
LINEAR_SIZES: Final = (0.125, 0.25, 0.5, 1.0)
TIMED: Final = ("tfidf_ridge", "embeddings_boosting", "catboost")  # baselines of the split by time
GIVEN: Final = {"facts": "every field", "plot": "title, genres and summary"}  # what each view is called in tables
SOME: Final = (0,)  # folds of what is compared with the model rather than measured
STUDIED: Final = ("catboost",)  # baselines of the study alone: the pipeline does not need their packages
OBJECTIVES: Final[dict[str, dict[str, Any]]] = {
    "cross-entropy, soft labels": {"objective": "cross_entropy"},
    "class-weighted cross-entropy": {"objective": "cross_entropy", "class_weights": "balanced"},
    "focal": {"objective": "focal"},
    "ordinal (CORN)": {"objective": "ordinal"},
    "regression": {"objective": "regression"},
    "multi-task, votes not weighted": {"vote_weighting": 0.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at a time (default: %(default)s)")
    arguments = parser.parse_args()
    wanted = arguments.part or PARTS
    study = Study(params.load())
    name = f"study-{study.options.fetch.source}"
    found = _results.read(name)
    found |= {"source": study.options.fetch.source, "rows": len(study.movies), "folds": len(study.folds)}
    for part in (part for part in PARTS if part in wanted):
        train_all(study.trainings(part), arguments.jobs)
        found |= getattr(study, part)()
        _results.write(name, found)
        print(f"study: {part} done, {_results.path(name)} written", file=sys.stderr)


class Study:
    """The movies in folds, and what was answered of each."""

    def __init__(self, options: Params):
        self.table = add_year(parquet.read_table(CLEAN, MOVIE))
        # As train does.
        fields = known_fields(self.table, options.text.fields)
        names = known_fields(self.table, options.linear.names)
        self.options = options = changed(changed(options, "text", {"fields": fields}), "linear", {"names": names})
        self.outside = parquet.read_table(paths.OUTSIDE, OUTSIDE)
        self.movies: list[dict[str, Any]] = self.table.to_pylist()
        self.folds = by_film(self.movies, options)
        self.facts = [*facts_among(options.text.fields), *names]
        self.ratings: Floats = self.table["vote_average"].to_numpy()
        self.labels = np.zeros(len(self.movies), dtype=np.int64)
        for fold in self.folds:
            self.labels[fold.test] = fold.labels[fold.test]
        self._embeddings: dict[tuple[str, ...], Floats] = {}

    def trainings(self, part: str) -> list[Training]:
        """The transformers that a part of the study needs, those of the model itself first."""
        whole = [Training(self.options, fold) for fold in self.folds]
        match part:
            case "fields" | "linear_sizes":
                return []
            case "objectives" | "seeds":
                return [Training(options, self.folds[n]) for options in self.cases(part).values() for n in SOME]
            case "sizes":
                return [Training(self.options, fold) for share in SIZES for fold in self.shares(share)]
            case "time":
                return [*whole, *(Training(self.options, fold) for fold in by_time(self.movies, self.options))]
            case _:
                return whole

    def cases(self, part: str) -> dict[str, Params]:
        """What a part compares, by name: parameters of training, the model's own first."""
        if part == "seeds":
            return {"0": self.options} | {str(s): changed(self.options, "train", {"seed": s}) for s in SEEDS}
        return {"multi-task": self.options} | {n: changed(self.options, "train", o) for n, o in OBJECTIVES.items()}

    def shares(self, share: float) -> list[Fold]:
        """The folds with so large a share of their training movies."""
        return [smaller(fold, self.movies, share) for fold in self.folds]

    @cached_property
    def tables(self) -> list[Tables]:
        """The logits of the model itself, fold by fold."""
        return [self.logits(fold) for fold in self.folds]

    def model(self) -> dict[str, Any]:
        """The model and each of its parts alone, with facts and without, and what the report draws of it."""
        answered: dict[str, dict[str, Answers]] = {}
        for view in VIEWS:
            answered[view] = {
                name: self.pooled(
                    self.folds, [self.decide(f, t, view, part) for f, t in zip(self.folds, self.tables, strict=True)]
                )
                for name, part in {"model": slice(None), "transformer": slice(0, 1), "linear": slice(1, 2)}.items()
            }
        whole = answered["facts"]["model"]
        shares = label_shares(self.labels)
        votes = np.array([movie["vote_count"] or 0 for movie in self.movies], dtype=np.float64)
        return {
            "model": {view: {name: self.figures(a) for name, a in found.items()} for view, found in answered.items()},
            "perfectly_calibrated_error": metrics.perfectly_calibrated_error(whole.probabilities, 200, 0),
            "reliability": metrics.reliability(self.labels, whole.probabilities),
            "coverage": metrics.coverage(whole),
            "decisions": metrics.decisions(whole),
            "intervals": interval_slices(self.movies, {GIVEN[v]: answered[v]["model"] for v in VIEWS}).to_dicts(),
            "trade_off": metrics.trade_off(self.labels, whole.probabilities, shares),
            "noise_ceiling": noise_ceiling(self.ratings, votes, self.folds[0].thresholds, 0),
        }

    def baselines(self) -> dict[str, Any]:
        """Every baseline on the same folds and fields, and the model's paired difference to each."""
        found: dict[str, Any] = {}
        for view in VIEWS:
            parts = [self.decide(f, t, view) for f, t in zip(self.folds, self.tables, strict=True)]
            ours = self.pooled(self.folds, parts)
            answered = {
                name: self.pooled(self.folds, [self.baseline(name, view, fold) for fold in self.folds])
                for name in dict.fromkeys([*self.options.baseline.models, *STUDIED])
            }
            found[view] = {
                name: self.figures(theirs) | {"model_minus": self.difference(ours, theirs)}
                for name, theirs in answered.items()
            }
        return {"baselines": found}

    def fields(self) -> dict[str, Any]:
        """The linear part alone on other fields: title, genres and summary, with one fact more, with one fact less."""
        text, names = tuple(self.options.text.fields), tuple(self.options.linear.names)
        facts = facts_among(text)
        sets = {"title, genres, summary": (Reads(PLOT), False)}
        sets |= {f"and {fact}": (Reads((*PLOT, fact)), False) for fact in facts}
        sets |= {f"and {name}": (Reads(PLOT, (name,)), False) for name in names}
        sets |= {"and track records": (Reads(PLOT), True)}
        sets |= {f"all but {fact}": (Reads(tuple(f for f in text if f != fact), names), True) for fact in facts}
        sets |= {f"all but {name}": (Reads(text, tuple(n for n in names if n != name)), True) for name in names}
        sets |= {"all but track records": (Reads(text, names), False), "all": (Reads(text, names), True)}
        return {
            "fields": {
                name: self.figures(self.pooled(self.folds, [self.linear(reads, records, f) for f in self.folds]))
                for name, (reads, records) in tqdm(sets.items(), desc="fields")
            }
        }

    def objectives(self) -> dict[str, Any]:
        """The transformer alone, trained to other objectives, on some of the folds."""
        return {"objectives": self.compared("objectives")}

    def seeds(self) -> dict[str, Any]:
        """The same training from other seeds, on some of the folds."""
        return {"seeds": self.compared("seeds")}

    def sizes(self) -> dict[str, Any]:
        """The learning curve: the model on a share of its training movies; `model` has the figures for all of them."""
        found: dict[str, Any] = {"1.0": {"training_rows": self.training_rows(self.folds)}}
        for share in SIZES:
            folds = self.shares(share)
            tables = [self.logits(fold) for fold in folds]
            found[str(share)] = {"training_rows": self.training_rows(folds)} | {
                view: self.figures(
                    self.pooled(folds, [self.decide(f, t, view) for f, t in zip(folds, tables, strict=True)])
                )
                for view in VIEWS
            }
        return {"sizes": found}

    def linear_sizes(self) -> dict[str, Any]:
        """The learning curve of the linear part alone, with all fields and track records, which takes a minute."""
        reads = Reads(tuple(self.options.text.fields), tuple(self.options.linear.names))
        found = {}
        for share in tqdm(LINEAR_SIZES, desc="linear sizes"):
            folds = self.shares(share) if share < 1 else self.folds
            answers = self.pooled(folds, [self.linear(reads, True, fold) for fold in folds])
            found[str(share)] = {"training_rows": self.training_rows(folds), "facts": self.figures(answers)}
        return {"linear_sizes": found}

    @staticmethod
    def training_rows(folds: Sequence[Fold]) -> int:
        """How many training movies a fold has on average."""
        return int(np.mean([len(fold.train) for fold in folds]))

    def time(self) -> dict[str, Any]:
        """The model as it is used: trained on the movies up to a year, it predicts those of the following years.

        Beside its figures stand those for the same movies when movies of all years are in training, and those of the
        baselines that learn from the same movies up to a year.
        """
        folds = by_time(self.movies, self.options)
        parts = [self.decide(fold, self.logits(fold), "facts") for fold in folds]
        mixed = self.pooled(
            self.folds, [self.decide(f, t, "facts") for f, t in zip(self.folds, self.tables, strict=True)]
        )
        periods = []
        for fold, answers in zip(folds, parts, strict=True):
            years = [self.movies[row]["year"] for row in fold.test]
            periods.append(
                {"until": fold.until, "years": [min(years), max(years)], "rows": len(fold.test)}
                | {"training_rows": len(fold.train), "model": self.figures(answers)}
                | {"trained_at_random": self.figures(mixed.take(fold.test))}
            )
        ours = self.pooled(folds, parts)
        rows = np.sort(np.concatenate([fold.test for fold in folds]))
        found: dict[str, Any] = {"periods": periods, "rows": len(rows), "model": self.figures(ours)}
        found["trained_at_random"] = self.figures(mixed.take(rows))
        for name in TIMED:
            theirs = self.pooled(folds, [self.baseline(name, "facts", fold) for fold in folds])
            found[name] = self.figures(theirs) | {"model_minus": self.difference(ours, theirs)}
        return {"time": found}

    def compared(self, part: str) -> dict[str, Any]:
        """Figures of the transformer alone on a few folds, for each case of a part."""
        folds = [self.folds[n] for n in SOME]
        found: dict[str, Any] = {"folds": len(folds)}
        for name, options in self.cases(part).items():
            tables = [{"facts": Training(options, fold).logits()["facts"][None]} for fold in folds]
            answers = [self.decide(fold, table, "facts") for fold, table in zip(folds, tables, strict=True)]
            found[name] = self.figures(self.pooled(folds, answers))
        return found

    def logits(self, fold: Fold) -> Tables:
        """Logits (parts, movies, classes) for the validation and test movies of a fold, of both views."""
        options = self.options
        train, held = self.rated(fold.train), self.rated(fold.validation)
        some = train.movies if options.text.field_dropout else train.movies[:0]
        dropped = drop_fields(some, options.text.fields, options.train.seed, options.linear.names)
        data = LinearData(train, dropped, held, self.known_outside(fold), fold.thresholds)
        reads = Reads(tuple(options.text.fields), tuple(options.linear.names))
        linear, _ = fit_part(data, reads, options.linear)
        found = Training(options, fold).logits()
        whole = [self.movies[row] for row in (*fold.validation, *fold.test)]
        asked = {"facts": whole, "plot": [without(movie, self.facts) for movie in whole]}
        return {view: np.stack([found[view], linear.logits(asked[view])]) for view in VIEWS}

    def known_outside(self, fold: Fold) -> pa.Table:
        """The films of other tables that are known in the fold."""
        return self.outside if fold.until is None else self.outside.filter(pc.field("year") <= fold.until)

    def decide(self, fold: Fold, tables: Tables, view: str, parts: slice = slice(None)) -> Answers:
        """Calibrate and choose the decision on a fold's validation movies, answer its test movies."""
        count = len(fold.validation)
        held, test = tables[view][parts, :count], tables[view][parts, count:]
        shares = label_shares(fold.labels[fold.train])
        rule = self.options.decision
        truth = Truth(self.ratings[fold.validation], fold.thresholds, shares)
        how = fit_answering(rule.rule, rule.metric, held, truth)
        probabilities = how.calibration.probabilities(test)
        rating = implied_ratings(probabilities, fold.thresholds)
        ratings = Ratings(self.ratings[fold.test], rating, how.interval.around(rating))
        return Answers(fold.labels[fold.test], how.decision.classes(probabilities), probabilities, ratings)

    def baseline(self, name: Any, view: str, fold: Fold) -> Answers:
        """A baseline's answers to the test movies of a fold."""
        text = tuple(
            self.options.text.fields if view == "facts" else [f for f in self.options.text.fields if f in PLOT]
        )
        names = tuple(self.options.linear.names) if view == "facts" else ()
        parts = [fold.train, fold.validation, fold.test]

        def embeddings() -> tuple[Floats, Floats, Floats]:
            if text not in self._embeddings:
                read = TextFormat(text, self.options.text.max_length)
                self._embeddings[text] = embed(self.options.model.name, self.movies, read)
            train, held, test = (self._embeddings[text][part] for part in parts)
            return train, held, test

        tables = [fold.table(self.movies, part).to_pylist() for part in parts]
        records = self.track_records(fold) if view == "facts" else None
        data = baselines.BaselineData(
            tables[0], tables[1], tables[2], (*text, *names), fold.thresholds, embeddings, records
        )
        return baselines.fit(name, data, self.options).answers

    def linear(self, reads: Reads, records: bool, fold: Fold) -> Answers:
        """The linear part alone, on these fields."""
        train, held = self.rated(fold.train), self.rated(fold.validation)
        if records:
            tables = [self.table.take(rows) for rows in (fold.train, fold.validation)]
            most = self.options.linear.max_films
            own, other = features(tables[0], train.ratings, self.known_outside(fold), most, tables[1])
            train, held = replace(train, records=own), replace(held, records=other)
            stored = fit_records(tables[0], train.ratings, self.known_outside(fold), most)
        model, _ = fit_linear(train, held, reads, fold.thresholds, self.options.linear)
        asked = [self.movies[row] for row in (*fold.validation, *fold.test)]
        return self.decide(fold, {"facts": model.logits(asked, stored if records else None)[None]}, "facts")

    def track_records(self, fold: Fold) -> Callable[[], tuple[Floats, Floats, Floats]]:
        """The track records of a fold's training, validation and test movies, computed when they are needed."""

        def found() -> tuple[Floats, Floats, Floats]:
            tables = [self.table.take(rows) for rows in (fold.train, fold.validation, fold.test)]
            most, ratings = self.options.linear.max_films, tables[0]["vote_average"].to_numpy()
            train, held, test = features(tables[0], ratings, self.known_outside(fold), most, *tables[1:])
            return train, held, test

        return found

    def rated(self, rows: Ints) -> Rated:
        """Movies as the linear part learns from them."""
        table = self.table.take(rows)
        weights = vote_weights(table["vote_count"], self.options.train.vote_weighting)
        return Rated(Movies(table), table["vote_average"].to_numpy(), weights)

    def pooled(self, folds: Sequence[Fold], parts: Sequence[Answers]) -> Answers:
        """The answers to the test movies of several folds, one of ``parts`` a fold, in the order of the movies."""
        order = np.argsort(np.concatenate([fold.test for fold in folds]))
        return Answers.joined(parts).take(order)

    def figures(self, answers: Answers) -> dict[str, Any]:
        """Figures of merit with 95% intervals, by bootstrap over movies."""
        drawn = (self.options.evaluate.bootstrap, self.options.evaluate.seed)
        intervals = metrics.intervals(answers.labels, answers.predicted, *drawn)
        if answers.ratings:
            intervals |= metrics.rating_intervals(answers.ratings, *drawn)
        return metrics.scores(answers) | {"interval_95": intervals}

    def difference(self, ours: Answers, theirs: Answers) -> dict[str, Any]:
        """The paired difference of two sets of answers to the same movies."""
        drawn = (self.options.evaluate.bootstrap, self.options.evaluate.seed)
        assert ours.ratings is not None and theirs.ratings is not None
        return metrics.paired_difference(ours.labels, ours.predicted, theirs.predicted, *drawn) | {
            "log_loss": metrics.paired_log_loss(ours, theirs, *drawn),
            "mean_absolute_error": metrics.paired_error(ours.ratings, theirs.ratings, *drawn),
        }


if __name__ == "__main__":
    sys.exit(exit_code(main))
