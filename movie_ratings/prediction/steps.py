"""Long work as a generator that pauses between steps, so that the service can answer other requests in between.

A step is about `SIZE` predictions. The command line runs the same generators without a pause, with `finish`: the
numbers are the same either way.
"""

from collections.abc import Generator
from typing import Final, TypeVar

SIZE: Final = 4  # predictions between two pauses, or more if they are computed in one batch
PART: Final = 16  # movies whose texts are made and encoded between two pauses

T = TypeVar("T")
# Yields between steps and returns the result.
Steps = Generator[None, None, T]


def finish(steps: Steps[T]) -> T:
    """Run all steps and return the result."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
