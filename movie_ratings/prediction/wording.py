"""A prediction in words: what the command line and the page both print."""

from collections.abc import Mapping

from movie_ratings.prediction.classifier import Prediction


def rating_with_interval(prediction: Prediction) -> str:
    """ "rating 6.8 of 10, 80% interval 5.8 to 7.7"."""
    low, high = prediction.interval_80
    return f"rating {prediction.predicted_rating:.1f} of 10, 80% interval {low:.1f} to {high:.1f}"


def compared(name: str, prediction: Prediction, base_rates: Mapping[str, float]) -> str:
    """How the probability of a class compares with its base rate: "1.7 times the usual 15%"."""
    usual = base_rates[name]
    return f"{prediction.probabilities[name] / usual:.1f} times the usual {usual:.0%}"


def why_not_most_probable(prediction: Prediction) -> str | None:
    """Why the label is not the class with the largest probability; None if it is."""
    label, probable = prediction.label, prediction.most_probable
    if label == probable:
        return None
    return (
        f"The most probable class is {probable} ({prediction.probabilities[probable]:.0%}). The label is {label}, "
        "because it weighs each probability against how rare its class is, so that rare classes are found too."
    )
