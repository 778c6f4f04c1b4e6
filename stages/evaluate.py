"""Evaluate: score the served model on the test split.

The model predicts each test movie twice: from every field that it reads, and from title, genres and summary alone. The
movies are those that the baselines predicted: the whole test split, or baseline.max_rows of it.

metrics/evaluate.json          balanced accuracy, macro-F1 and log-loss, which DVC compares between experiments
metrics/details/evaluate.json  every score with its 95% bootstrap interval, scores of each class, the paired difference
                               to each baseline, behavioural tests and the noise ceiling
metrics/evaluate/              tables for the plots and the report
metrics/predictions.csv        the predicted class, the probabilities and the predicted rating of each movie
data/evaluation/wrong.json     the most confident wrong predictions, with the texts of their movies
"""

from collections.abc import Iterator

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from movie_ratings import params
from movie_ratings.core import csv_files, parquet, storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import (
    BASELINE_PREDICTIONS,
    EVALUATE_DETAILS,
    EVALUATE_METRICS,
    EVALUATE_TABLES,
    MODEL,
    PREDICTIONS,
    THRESHOLDS,
    WRONG,
)
from movie_ratings.core.rounding import HEADLINE_DIGITS, rounded
from movie_ratings.evaluation import scoring
from movie_ratings.evaluation.behaviour import changed_predictions
from movie_ratings.evaluation.ceiling import noise_ceiling
from movie_ratings.evaluation.comparables import usefulness
from movie_ratings.evaluation.importance import importance
from movie_ratings.evaluation.mistakes import confident_mistakes
from movie_ratings.model.linear import Contributions
from movie_ratings.movies import splits
from movie_ratings.movies.labels import label_indices, label_shares
from movie_ratings.movies.record import ANSWERS
from movie_ratings.prediction.classifier import Classifier

CHANGED = 200  # movies of each behavioural test
COMPARED = 1_000  # movies whose comparable films are looked at
# Training movies, at most, among which similar ones are searched, and whose contributions are counted.
NEIGHBOURS = 50_000
BATCH = 1_000  # movies in memory as dictionaries, while contributions are counted
# Texts, at most, whose logits are kept: many changes of the behavioural tests leave the tokens of a movie as they were,
# such as capitals for a tokenizer without them.
CACHED = 100_000


def evaluate() -> None:
    options = params.load().evaluate
    thresholds, classifier = splits.read_thresholds(), Classifier.load(cached=CACHED)
    if classifier.metadata.thresholds != thresholds:
        raise UserError(f"{MODEL}: trained with other class thresholds than {THRESHOLDS}; run `dvc repro`")
    baselines = parquet.read_table(BASELINE_PREDICTIONS, ANSWERS)
    train, test = splits.read("train", NEIGHBOURS), splits.read("test", pc.count_distinct(baselines["id"]).as_py())
    if test.num_rows == 0:
        raise UserError("evaluate: the test split has no rows")
    theirs = scoring.baseline_answers(baselines, test["id"].to_pylist())
    movies, votes = test.to_pylist(), test["vote_count"].fill_null(0).to_numpy()
    predictions = scoring.predict(classifier, movies)
    answers, shares = predictions.whole, label_shares(label_indices(train["label"].to_pylist()))

    rated = train.to_pylist()
    headline = scoring.headline(predictions)
    details = scoring.details(predictions, theirs, options) | {
        "answers_changed_by": changed_predictions(
            classifier, movies[:CHANGED], answers.predicted[:CHANGED], options.seed
        ),
        "comparables": usefulness(rated, movies[:COMPARED], options.seed),
        "noise_ceiling": noise_ceiling(test["rating"].to_numpy(), votes, thresholds, options.seed),
    }
    storage.write_json(EVALUATE_METRICS, rounded(headline, HEADLINE_DIGITS))
    storage.write_json(EVALUATE_DETAILS, rounded(details))
    tables = scoring.tables(predictions, movies, shares, options)
    weights = importance(_contributions(classifier, test), _contributions(classifier, train))
    csv_files.write_folder(EVALUATE_TABLES, tables | {"importance": weights})
    csv_files.write_csv(PREDICTIONS, scoring.per_movie(pl.Series(test["id"]), answers), HEADLINE_DIGITS)
    mistakes = confident_mistakes(rated, movies, answers)
    storage.write_json(WRONG, mistakes)
    print(
        f"evaluate: balanced accuracy {headline['balanced_accuracy']:.3f}, macro-F1 {headline['macro_f1']:.3f}, "
        f"rating off by {details['mean_absolute_error']:.2f} points on average"
    )


def _contributions(classifier: Classifier, movies: pa.Table) -> Iterator[Contributions]:
    """What the linear part's rating of each movie is the sum of; nothing for a model without a linear part."""
    found = (classifier.contributions(movie) for batch in movies.to_batches(BATCH) for movie in batch.to_pylist())
    return (each for each in found if each is not None)


if __name__ == "__main__":
    run_stage(evaluate, [EVALUATE_METRICS, EVALUATE_DETAILS, EVALUATE_TABLES, PREDICTIONS, WRONG])
