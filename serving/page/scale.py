"""The predicted rating on a scale from 0 to 10, with its interval and the borders of the classes."""

from movie_ratings.model.rating import HIGHEST, LOWEST
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.prediction import wording
from movie_ratings.prediction.classifier import Prediction
from serving.page.markup import percent


def scale(prediction: Prediction, thresholds: Thresholds) -> str:
    """HTML of the scale; to a screen reader, the scale is a picture with a text that says the same."""
    low, high = prediction.interval_80
    borders = (LOWEST, thresholds.low, thresholds.high, HIGHEST)
    zones = "".join(
        f'<span class="zone {name}" style="left:{_place(first)};width:{_width(first, last)}">{name}</span>'
        for name, first, last in zip(CLASSES, borders, borders[1:], strict=False)
    )
    ticks = "".join(
        f'<span style="left:{_place(rating)}">{rating}</span>' for rating in range(int(LOWEST), int(HIGHEST) + 1)
    )
    return (
        f'<div class="scale" role="img" aria-label="{described(prediction, thresholds)}">'
        f'<div class="zones">{zones}'
        f'<span class="interval" style="left:{_place(low)};width:{_width(low, high)}"></span>'
        f'<span class="rating" style="left:{_place(prediction.predicted_rating)}"></span></div>'
        f'<div class="ticks">{ticks}</div></div>'
    )


def described(prediction: Prediction, thresholds: Thresholds) -> str:
    """The scale in words."""
    return (
        f"Predicted {wording.rating_with_interval(prediction)}. "
        f"Bad is a rating below {thresholds.low:.2f}, good one above {thresholds.high:.2f}."
    )


def _place(rating: float) -> str:
    return percent((rating - LOWEST) / (HIGHEST - LOWEST))


def _width(first: float, last: float) -> str:
    return percent((last - first) / (HIGHEST - LOWEST))
