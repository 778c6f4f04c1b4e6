"""Checks of values that JSON files hold, in plain Python: one prediction must not wait for pydantic to be imported.

Each function returns the value with its type, or raises a ValueError whose message begins with the value's place in the
file, such as ``answerings.facts.calibration.bias``.
"""

from collections.abc import Collection
from typing import Any, Final

import numpy as np

LARGEST: Final = 1e9  # of any number that a model is made of: sums and products of a few thousand stay finite
SHOWN: Final = 60  # characters of a wrong value in a message


def mapping(found: Any, place: str) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(found, dict):
        raise _wrong(found, place, "an object")
    return found


def part(found: dict[str, Any], name: str, place: str = "") -> Any:
    """The value under ``name`` in the object at ``place``."""
    if name not in found:
        raise ValueError(f"{within(place, name)} is missing")
    return found[name]


def within(place: str, name: str) -> str:
    """The place of the value under ``name`` in the object at ``place``."""
    return f"{place}.{name}" if place else name


def finite(found: Any, place: str, least: float = -LARGEST) -> float:
    """A number from ``least`` to `LARGEST`, which excludes NaN and infinity."""
    if isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= LARGEST:
        raise _wrong(found, place, f"a number from {least:g} to {LARGEST:g}")
    return float(found)


def positive(found: Any, place: str) -> float:
    """A number by which others are divided."""
    return finite(found, place, least=1e-9)


def flag(found: Any, place: str) -> bool:
    """True or false."""
    if not isinstance(found, bool):
        raise _wrong(found, place, "true or false")
    return found


def whole(found: Any, place: str, least: int, most: int) -> int:
    """A whole number from ``least`` to ``most``."""
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise _wrong(found, place, f"a whole number from {least:,} to {most:,}")
    return found


def vector(found: Any, place: str, lengths: Collection[int]) -> tuple[float, ...]:
    """A list of finite numbers with one of these lengths."""
    if not isinstance(found, list) or len(found) not in lengths:
        raise _wrong(found, place, f"a list of {' or '.join(map(str, lengths))} numbers")
    return tuple(finite(value, f"{place}[{index}]") for index, value in enumerate(found))


def choice(found: Any, place: str, values: Collection[str]) -> str:
    """One of these strings."""
    if not isinstance(found, str) or found not in values:
        raise _wrong(found, place, f"one of {', '.join(values)}")
    return found


def choices(found: Any, place: str, values: Collection[str]) -> tuple[str, ...]:
    """A list of some of these strings, at least one, none of them twice."""
    if not isinstance(found, list) or not found:
        raise _wrong(found, place, "a list of names")
    names = tuple(choice(value, f"{place}[{index}]", values) for index, value in enumerate(found))
    if len(set(names)) < len(names):
        raise _wrong(found, place, "a list of different names")
    return names


def all_finite(found: Collection[Any]) -> bool:
    """Whether all of these are numbers from -`LARGEST` to `LARGEST`; fast, as a linear part has 100,000 of them."""
    if not set(map(type, found)) <= {int, float}:
        return False
    try:
        values = np.fromiter(found, np.float64, len(found))
    except OverflowError:  # a whole number that is longer than any float
        return False
    return bool((np.abs(values) <= LARGEST).all())  # false for NaN


def _wrong(found: Any, place: str, expected: str) -> ValueError:
    return ValueError(f"{place} must be {expected}, found {shortened(found)}")


def shortened(found: Any) -> str:
    """The beginning of a value's text: a message is one line, whatever a file holds."""
    if isinstance(found, int) and abs(found) >= 10**SHOWN:  # Python refuses to write very long numbers
        return "a number of more than 60 digits"
    if isinstance(found, list | dict):
        return f"{'a list' if isinstance(found, list) else 'an object'} of {len(found):,}"
    text = repr(found)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
