"""Baselines: simpler models that read the same fields, with which the model is compared.

Each baseline is fitted on the training split. Its settings are those with the lowest log-loss on the validation split,
on which its calibration and its decision rule are fitted in the same way as the model's.
"""

import re
from collections import Counter
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
from movie_ratings.core.errors import UserError
from movie_ratings.model.answers import Answers, Ratings
from movie_ratings.model.decision import Answering
from movie_ratings.model.linear import logistic_scale, rating_logits
from movie_ratings.model.rating import fit_interval, implied_ratings
from movie_ratings.movies.labels import CLASSES, Thresholds, label_indices, label_shares
from movie_ratings.movies.text import NUMBERS, TEXTS, compose, names, normalise, number
from movie_ratings.params import BaselineName, Params
from movie_ratings.training.calibration import Truth, fit_answering

MOST_DIMENSIONS: Final = 50  # of an embedding, for the trees
ROUNDS: Final = 200  # of boosting, at most
MIN_MOVIES: Final = 2  # training movies that must have a word or a name before CatBoost reads it
# What CatBoost computes of each text column: whether it holds each of the most frequent words, and the log-odds of the
# classes by naive Bayes over all words. More words than these take minutes and lower no validation loss.
TEXT_PROCESSING: Final = {
    "tokenizers": [{"tokenizer_id": "Space", "separator_type": "ByDelimiter", "delimiter": " "}],
    "dictionaries": [{"dictionary_id": "Word", "gram_order": "1", "occurrence_lower_bound": str(MIN_MOVIES)}],
    "feature_processing": {
        "default": [
            {
                "tokenizers_names": ["Space"],
                "dictionaries_names": ["Word"],
                "feature_calcers": ["BoW:top_tokens_count=100", "NaiveBayes"],
            }
        ]
    },
}

Movies = Sequence[dict[str, Any]]
# Settings, and the logits (movies, classes) of a model with these settings for the validation and the test split.
Candidate = tuple[dict[str, float], Floats, Floats]


@dataclass(frozen=True)
class BaselineData:
    """The three splits of movies, the fields that a baseline may read, and the thresholds between the classes.

    ``embeddings`` returns those of the training, validation and test movies, each of shape (movies, hidden size). It is
    a function because most baselines do not need them. ``records`` returns the track records of the people behind these
    movies, each of shape (movies, features), NaN where unknown; None if there are none.
    """

    train: Movies
    validation: Movies
    test: Movies
    fields: Sequence[str]
    thresholds: Thresholds
    embeddings: Callable[[], tuple[Floats, Floats, Floats]]
    records: Callable[[], tuple[Floats, Floats, Floats]] | None = None

    def labels(self, movies: Movies) -> Ints:
        """Class indices (movies,)."""
        return label_indices(movie["label"] for movie in movies)

    def shares(self) -> Floats:
        """The class shares of the training split, shape (classes,)."""
        return label_shares(self.labels(self.train))

    def ratings(self, movies: Movies) -> Floats:
        """Ratings (movies,), 0 to 10."""
        return np.array([movie["rating"] for movie in movies], dtype=np.float64)

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

    Calibration, decision, rating and interval follow from a baseline's logits as they follow from the model's. The
    rating of ``majority`` is the mean of the training ratings.

    The result is the same to the last bit with any number of processor cores.

    Raises:
        UserError: the package of the baseline is not installed.
    """
    labels, shares = data.labels(data.validation), data.shares()
    truth = Truth(data.ratings(data.validation), data.thresholds, shares)
    if name == "majority":
        return Baseline(_constant(data, shares), {})
    tried: list[tuple[float, dict[str, float], Answering, Floats]] = []
    # Each number of threads rounds a shared sum differently, and more threads are no faster here.
    with threadpool_limits(1, "blas"):
        for settings, validation, test in CANDIDATES[name](data, options):
            answering = fit_answering(options.decision.rule, options.decision.metric, validation[None], truth)
            loss = log_loss(labels, answering.calibration.probabilities(validation[None]), labels=range(len(CLASSES)))
            tried.append((loss, settings, answering, test))
    _, settings, answering, test = min(tried, key=lambda row: row[0])
    probabilities = answering.calibration.probabilities(test[None])
    ratings = implied_ratings(probabilities, data.thresholds)
    answers = Answers(
        data.labels(data.test),
        answering.decision.classes(probabilities),
        probabilities,
        Ratings(data.ratings(data.test), ratings, answering.interval.around(ratings)),
    )
    return Baseline(answers, settings | {"decision_strength": answering.decision.strength})


def _constant(data: BaselineData, shares: Floats) -> Answers:
    """The most frequent class, the class shares and the mean rating of the training split for every movie."""
    count = len(data.test)
    mean = data.ratings(data.train).mean()
    held = data.ratings(data.validation)
    ratings = np.full(count, mean)
    interval = fit_interval(held, np.full(len(held), mean)).around(ratings)
    return Answers(
        data.labels(data.test),
        np.full(count, shares.argmax()),
        np.tile(shares, (count, 1)),
        Ratings(data.ratings(data.test), ratings, interval),
    )


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
    ratings, expected = data.ratings(data.train), data.ratings(data.validation)
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
    """Boosted trees on the metadata, the track records and the first principal components of the embeddings."""
    embedded = data.embeddings()
    components = PCA(min(MOST_DIMENSIONS, *embedded[0].shape), random_state=0).fit(embedded[0])
    # A column without any value in the training split cannot split a tree.
    numbers = [field for field in NUMBERS if any(number(movie, field) for movie in data.train)]
    fields = [field for field in data.fields if field in numbers or field not in NUMBERS]
    columns = DictVectorizer(sparse=False).fit([_metadata(movie, fields) for movie in data.train])
    train, held, test = (
        np.hstack(
            [columns.transform([_metadata(movie, fields) for movie in movies]), known, components.transform(part)]
        )
        for movies, known, part in zip((data.train, data.validation, data.test), _records(data), embedded, strict=True)
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


def _catboost(data: BaselineData, options: Params) -> Iterator[Candidate]:
    """Boosted trees that read texts and names themselves, beside numbers and track records."""
    try:
        from catboost import CatBoostClassifier, Pool
    except ImportError:
        raise UserError("baseline catboost: CatBoost is not installed; pip install -r requirements-dev.txt") from None
    splits = data.train, data.validation, data.test
    train, held, test = (
        [[*_numbers(movie, data.fields), *record, *_texts(movie, data.fields)] for movie, record in rows]
        for rows in (
            zip(movies, part.tolist(), strict=True) for movies, part in zip(splits, _records(data), strict=True)
        )
    )
    # CatBoost refuses a text column without any word that it may read, and a table of constant columns alone.
    columns = [n for n, column in enumerate(zip(*train, strict=True)) if _varies(column)]
    if not columns:
        constant = np.log(data.shares())
        yield {}, np.tile(constant, (len(data.validation), 1)), np.tile(constant, (len(data.test), 1))
        return
    texts = [n for n, column in enumerate(columns) if isinstance(train[0][column], str)]

    def pool(rows: list[list[Any]], labels: Ints | None = None) -> Any:
        return Pool([[row[column] for column in columns] for row in rows], labels, text_features=texts)

    known, asked = pool(train, data.labels(data.train)), [pool(held), pool(test)]
    # A deeper tree takes four times as long, and no more of them were chosen where they were tried.
    for depth, trees in ((4, 600), (6, 300)):
        # Another number of threads adds in another order.
        model = CatBoostClassifier(
            iterations=trees, learning_rate=0.05, depth=depth, loss_function="MultiClass", random_seed=0,
            text_processing=TEXT_PROCESSING if texts else None, thread_count=2, allow_writing_files=False,
            logging_level="Silent",
        ).fit(known)  # fmt: skip
        staged = (model.staged_predict(rows, "RawFormulaVal", eval_period=50, thread_count=2) for rows in asked)
        for stage, (validation, answers) in enumerate(zip(*staged, strict=True), 1):
            yield {"depth": depth, "trees": 50 * stage}, validation, answers


CANDIDATES: Final[dict[str, Callable[[BaselineData, Params], Iterator[Candidate]]]] = {
    "genre_year": _genre_year,
    "tfidf_logreg": _tfidf_logreg,
    "tfidf_ridge": _tfidf_ridge,
    "embeddings_logreg": _embeddings_logreg,
    "embeddings_boosting": _embeddings_boosting,
    "catboost": _catboost,
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


def _records(data: BaselineData) -> tuple[Floats, Floats, Floats]:
    """The track records of the three splits, without the features that no training movie has."""
    if data.records is None:
        return np.empty((len(data.train), 0)), np.empty((len(data.validation), 0)), np.empty((len(data.test), 0))
    train, held, test = data.records()
    known = ~np.isnan(train).all(axis=0)
    return train[:, known], held[:, known], test[:, known]


def _numbers(movie: dict[str, Any], fields: Sequence[str]) -> list[float]:
    return [float(number(movie, field) or np.nan) for field in fields if field in NUMBERS]


def _texts(movie: dict[str, Any], fields: Sequence[str]) -> list[str]:
    """Each text as its words in lower case, and each list of names with one word for each name."""
    return [
        " ".join(re.findall(r"\w+", normalise(movie.get(field) or "").lower()))
        if field in TEXTS
        else " ".join(name.lower().replace(" ", "_") for name in names(movie, field))
        for field in fields
        if field not in NUMBERS
    ]


def _varies(column: Sequence[float | str]) -> bool:
    """Whether movies differ in a number, or in a word that enough of them have."""
    if not isinstance(column[0], str):
        return len({None if value != value else value for value in column}) > 1
    counts = Counter(word for text in column for word in set(str(text).split()))
    return any(MIN_MOVIES <= count < len(column) for count in counts.values())
