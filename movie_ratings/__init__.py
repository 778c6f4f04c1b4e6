"""Movie Ratings: predict whether a movie will be rated bad, average or good.

`Classifier` is the public interface. It is imported at its first use, so that importing this package alone loads
neither numpy nor ONNX Runtime.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from movie_ratings.prediction.classifier import Classifier

__all__ = ["Classifier"]


def __getattr__(name: str) -> Any:
    if name == "Classifier":
        from movie_ratings.prediction.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
