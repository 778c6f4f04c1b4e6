"""Baselines: simpler models that read the same fields, with which the model is compared.

Each baseline is fitted on the training split. Its settings are those with the lowest log-loss on the validation split,
on which its calibration and its decision rule are fitted in the same way as the model's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.model.answers import Answers
from movie_ratings.model.decision import Answering
from movie_ratings.model.linear import logistic_scale, rating_logits
from movie_ratings.movies.labels import CLASSES, Thresholds, label_indices, label_shares
from movie_ratings.movies.text import NUMBERS, compose, names, number
from movie_ratings.params import BaselineName, Params
from movie_ratings.training.calibration import fit_answering

MOST_DIMENSIONS: Final = 50  # of an embedding, for the trees
ROUNDS: Final = 200  # of boosting, at most

Movies = Sequence[dict[str, Any]]
# Settings, and the logits (movies, classes) of a model with these settings for the validation and the test split.
Candidate = tuple[dict[str, float], Floats, Floats]


@dataclass(frozen=True)
class BaselineData:
    """The three splits of movies, the fields that a baseline may read, and the thresholds between the classes.

    ``embeddings`` returns those of the training, validation and test movies, each of shape (movies, hidden size). It is
    a function because most baselines do not need them.
    """

    train: Movies
    validation: Movies
    test: Movies
    fields: Sequence[str]
    thresholds: Thresholds
    embeddings: Callable[[], tuple[Floats, Floats, Floats]]

    def labels(self, movies: Movies) -> Ints:
        """Class indices (movies,)."""
        return label_indices(movie["label"] for movie in movies)

    def shares(self) -> Floats:
        """The class shares of the training split, shape (classes,)."""
        return label_shares(self.labels(self.train))

    def texts(self, movies: Movies) -> list[str]:
        """The texts that the transformer reads."""
        return [compose(movie, self.fields) for movie in movies]


@dataclass(frozen=True)
class Baseline:
    """A baseline's predictions for the test split, and the settings that were chosen on the validation split."""

    answers: Answers
    settings: dict[str, float]


def fit(name: BaselineName, data: BaselineData, options: Params) -> Baseline:
    """Fit the baseline ``name`` on the training split, choose its settings on validation, predict the test split.

    The result is the same to the last bit with any number of processor cores.
    """
    test_labels, labels, shares = data.labels(data.test), data.labels(data.validation), data.shares()
    if name == "majority":
        count = len(test_labels)
        return Baseline(Answers(test_labels, np.full(count, shares.argmax()), np.tile(shares, (count, 1))), {})
    tried: list[tuple[float, dict[str, float], Answering, Floats]] = []
    # Each number of threads rounds a shared sum differently, and more threads are no faster here.
    with threadpool_limits(1, "blas"):
        for settings, validation, test in CANDIDATES[name](data, options):
            answering = fit_answering(options.decision.rule, options.decision.metric, validation[None], labels, shares)
            loss = log_loss(labels, answering.calibration.probabilities(validation[None]), labels=range(len(CLASSES)))
            tried.append((loss, settings, answering, test))
    _, settings, answering, test = min(tried, key=lambda row: row[0])
    probabilities = answering.calibration.probabilities(test[None])
    answers = Answers(test_labels, answering.decision.classes(probabilities), probabilities)
    return Baseline(answers, settings | {"decision_strength": answering.decision.strength})


def _genre_year(data: BaselineData, options: Params) -> Iterator[Candidate]:
    """Class shares by first genre and decade, smoothed towards the shares of all training movies.

    ``prior`` is the weight of the overall shares, as a number of movies.
    """

    def cell(movie: dict[str, Any]) -> tuple[str, int]:
        year = number(movie, "year") if "year" in data.fields else None
        return (names(movie, "genres") or [""])[0], (year or 0) // 10

    labels, shares = data.labels(data.train), data.shares()
    counts: dict[tuple[str, int], Floats] = {}
    for movie, label in zip(data.train, labels, strict=True):
        counts.setdefault(cell(movie), np.zeros(len(CLASSES)))[label] += 1
    for prior in (1.0, 3.0, 10.0, 30.0):
        table = {key: np.log((count + prior * shares) / (count.sum() + prior)) for key, count in counts.items()}
        held, test = (
            np.array([table.get(cell(movie), np.log(shares)) for movie in movies])
            for movies in (data.validation, data.test)
        )
        yield {"prior": prior}, held, test


def _tfidf_logreg(data: BaselineData, options: Params) -> Iterator[Candidate]:
    train, held, test = _tfidf(data)
    labels = data.labels(data.train)
    for c in options.baseline.c:
        # Each class has the same total weight; the calibration restores the class shares.
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=2_000).fit(train, labels)
        yield {"c": c}, model.decision_function(held), model.decision_function(test)


def _tfidf_ridge(data: BaselineData, options: Params) -> Iterator[Candidate]:
    """Ridge regression predicts the rating; class logits follow from the rating and the thresholds."""
    train, held, test = _tfidf(data)
    ratings, expected = (np.array([movie["rating"] for movie in part]) for part in (data.train, data.validation))
    for alpha in options.baseline.alphas:
        model = Ridge(alpha=alpha).fit(train, ratings)
        scale = logistic_scale(np.var(expected - model.predict(held)))
        logits = [rating_logits(model.predict(part), data.thresholds, scale) for part in (held, test)]
        yield {"alpha": alpha}, logits[0], logits[1]


def _embeddings_logreg(data: BaselineData, options: Params) -> Iterator[Candidate]:
    train, held, test = data.embeddings()
    labels = data.labels(data.train)
    for c in options.baseline.c:
        model = LogisticRegression(C=10 * c, class_weight="balanced", max_iter=2_000).fit(train, labels)
        yield {"c": 10 * c}, model.decision_function(held), model.decision_function(test)


def _embeddings_boosting(data: BaselineData, options: Params) -> Iterator[Candidate]:
    """Boosted trees on the metadata and the first principal components of the embeddings."""
    embedded = data.embeddings()
    components = PCA(min(MOST_DIMENSIONS, *embedded[0].shape), random_state=0).fit(embedded[0])
    # A column without any value in the training split cannot split a tree.
    numbers = [field for field in NUMBERS if any(number(movie, field) for movie in data.train)]
    fields = [field for field in data.fields if field in numbers or field not in NUMBERS]
    columns = DictVectorizer(sparse=False).fit([_metadata(movie, fields) for movie in data.train])
    train, held, test = (
        np.hstack([columns.transform([_metadata(movie, fields) for movie in movies]), components.transform(part)])
        for movies, part in zip((data.train, data.validation, data.test), embedded, strict=True)
    )
    for leaves in (4, 8):
        model = HistGradientBoostingClassifier(
            max_iter=ROUNDS, learning_rate=0.05, max_leaf_nodes=leaves, l2_regularization=5.0, early_stopping=False,
            class_weight="balanced", random_state=0,
        ).fit(train, data.labels(data.train))  # fmt: skip
        staged = zip(model.staged_predict_proba(held), model.staged_predict_proba(test), strict=True)
        for rounds, found in enumerate(staged, 1):
            if rounds % 20 == 0:
                logits = [np.log(np.maximum(probabilities, 1e-9)) for probabilities in found]
                yield {"leaves": leaves, "rounds": rounds}, logits[0], logits[1]


CANDIDATES: Final[dict[str, Callable[[BaselineData, Params], Iterator[Candidate]]]] = {
    "genre_year": _genre_year,
    "tfidf_logreg": _tfidf_logreg,
    "tfidf_ridge": _tfidf_ridge,
    "embeddings_logreg": _embeddings_logreg,
    "embeddings_boosting": _embeddings_boosting,
}


def _tfidf(data: BaselineData) -> tuple[Any, Any, Any]:
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
    train = vectorizer.fit_transform(data.texts(data.train))
    return train, vectorizer.transform(data.texts(data.validation)), vectorizer.transform(data.texts(data.test))


def _metadata(movie: dict[str, Any], fields: Sequence[str]) -> dict[str, float]:
    table = {field: float(number(movie, field) or np.nan) for field in NUMBERS if field in fields}
    for field in {"genres", "spoken_languages"} & set(fields):
        table |= {f"{field}={name}": 1.0 for name in names(movie, field)}
    return table
