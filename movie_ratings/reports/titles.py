"""The names of the compared models in tables and charts."""

from typing import Final

TITLES: Final = {
    "model": "the model",
    "transformer": "its transformer alone",
    "linear": "its linear part alone",
    "trained_at_random": "trained on films of all years",
    "majority": "majority class",
    "genre_year": "genre and decade table",
    "tfidf_logreg": "TF-IDF + logistic regression",
    "tfidf_ridge": "TF-IDF + ridge with thresholds",
    "embeddings_logreg": "frozen embeddings + logistic regression",
    "embeddings_boosting": "frozen embeddings and metadata + boosted trees",
    "catboost": "CatBoost on texts, facts and records",
}
