"""Baselines: simpler models that the model has to beat, tuned on the validation split on the same fields.

Their settings have the least log-loss on validation, where their probabilities are calibrated and their decision is
fitted exactly as the model's are.
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
from movie_ratings.model.decision import Answering
from movie_ratings.model.linear import logistic_scale, rating_logits
from movie_ratings.movies.labels import CLASSES, Thresholds, label_indices, label_shares
from movie_ratings.movies.text import NUMBERS, compose, names, number
from movie_ratings.params import BaselineName, Params
from movie_ratings.training.calibration import fit_answering

MOST_DIMENSIONS: Final = 50  # of an embedding, for the trees
ROUNDS: Final = 200  # of boosting, at most

Movies = Sequence[dict[str, Any]]
# A setting, and the logits (rows, classes) that a model with it gives to the validation and the test split.
Candidate = tuple[dict[str, float], Floats, Floats]


@dataclass(frozen=True)
class Data:
    """What a baseline sees: three splits of movies, the fields it may read, and their embeddings if it asks."""

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
        """The classes' shares of the training split."""
        return label_shares(self.labels(self.train))

    def texts(self, movies: Movies) -> list[str]:
        """What the transformer reads."""
        return [compose(movie, self.fields) for movie in movies]


@dataclass(frozen=True)
class Answers:
    """A baseline's answers on the test split: class indices (rows,), probabilities (rows, classes), its choices."""

    predicted: Ints
    probabilities: Floats
    chosen: dict[str, float]


def fit(name: BaselineName, data: Data, options: Params) -> Answers:
    """Fit the baseline ``name`` on the training split, choose on validation, answer the test split.

    The same to the last bit with any number of cores.
    """
    labels = data.labels(data.validation)
    shares = data.shares()
    if name == "majority":
        return Answers(np.full(len(data.test), shares.argmax()), np.tile(shares, (len(data.test), 1)), {})
    rows: list[tuple[float, dict[str, float], Answering, Floats]] = []
    # Threads of the linear algebra round their shares of a sum as many ways as there are, and gain nothing here.
    with threadpool_limits(1, "blas"):
        for chosen, validation, test in CANDIDATES[name](data, options):
            how = fit_answering(options.decision.rule, options.decision.metric, validation[None], labels, shares)
            loss = log_loss(labels, how.calibration.probabilities(validation[None]), labels=range(len(CLASSES)))
            rows.append((loss, chosen, how, test))
    _, chosen, how, test = min(rows, key=lambda row: row[0])
    probabilities = how.calibration.probabilities(test[None])
    return Answers(
        how.decision.classes(probabilities), probabilities, chosen | {"decision_strength": how.decision.strength}
    )


def _genre_year(data: Data, options: Params) -> Iterator[Candidate]:
    """Class shares of each first genre in each decade, drawn towards those of all movies where there are few."""

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


def _tfidf_logreg(data: Data, options: Params) -> Iterator[Candidate]:
    train, held, test = _tfidf(data)
    labels = data.labels(data.train)
    for c in options.baseline.c:
        # A rare class counts as much as a common one; calibration gives the shares back.
        model = LogisticRegression(C=c, class_weight="balanced", max_iter=2_000).fit(train, labels)
        yield {"c": c}, model.decision_function(held), model.decision_function(test)


def _tfidf_ridge(data: Data, options: Params) -> Iterator[Candidate]:
    """The rating by ridge regression, then the class that it falls into."""
    train, held, test = _tfidf(data)
    ratings, expected = (np.array([movie["rating"] for movie in part]) for part in (data.train, data.validation))
    for alpha in options.baseline.alphas:
        model = Ridge(alpha=alpha).fit(train, ratings)
        scale = logistic_scale(np.var(expected - model.predict(held)))
        logits = [rating_logits(model.predict(part), data.thresholds, scale) for part in (held, test)]
        yield {"alpha": alpha}, logits[0], logits[1]


def _embeddings_logreg(data: Data, options: Params) -> Iterator[Candidate]:
    train, held, test = data.embeddings()
    labels = data.labels(data.train)
    for c in options.baseline.c:
        model = LogisticRegression(C=10 * c, class_weight="balanced", max_iter=2_000).fit(train, labels)
        yield {"c": 10 * c}, model.decision_function(held), model.decision_function(test)


def _embeddings_boosting(data: Data, options: Params) -> Iterator[Candidate]:
    """Boosted trees on the metadata as a table, beside the first principal components of the embeddings."""
    embedded = data.embeddings()
    components = PCA(min(MOST_DIMENSIONS, *embedded[0].shape), random_state=0).fit(embedded[0])
    # A column of which no training movie knows the value splits nothing.
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


CANDIDATES: Final[dict[str, Callable[[Data, Params], Iterator[Candidate]]]] = {
    "genre_year": _genre_year,
    "tfidf_logreg": _tfidf_logreg,
    "tfidf_ridge": _tfidf_ridge,
    "embeddings_logreg": _embeddings_logreg,
    "embeddings_boosting": _embeddings_boosting,
}


def _tfidf(data: Data) -> tuple[Any, Any, Any]:
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2))
    train = vectorizer.fit_transform(data.texts(data.train))
    return train, vectorizer.transform(data.texts(data.validation)), vectorizer.transform(data.texts(data.test))


def _metadata(movie: dict[str, Any], fields: Sequence[str]) -> dict[str, float]:
    table = {field: float(number(movie, field) or np.nan) for field in NUMBERS if field in fields}
    for field in {"genres", "spoken_languages"} & set(fields):
        table |= {f"{field}={name}": 1.0 for name in names(movie, field)}
    return table
