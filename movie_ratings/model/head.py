"""The outputs of a transformer, which depend on the objective that it was trained with."""

from dataclasses import dataclass
from typing import Final, Literal

from movie_ratings.movies.labels import CLASSES

Objective = Literal["cross_entropy", "focal", "ordinal", "regression", "multi_task"]

# The name of each output, which a checkpoint keeps as its id2label.
OUTPUTS: Final[dict[Objective, tuple[str, ...]]] = {
    "cross_entropy": CLASSES,
    "focal": CLASSES,
    "ordinal": ("better than bad", "better than average"),
    "regression": ("rating",),
    "multi_task": (*CLASSES, "rating"),
}


@dataclass(frozen=True)
class Head:
    """The objective, and mean and standard deviation of the training ratings, by which outputs are standardised."""

    objective: Objective
    mean: float
    std: float
