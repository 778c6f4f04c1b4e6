"""The one place that says how many decimals a figure in metrics/ has.

One more correct prediction among the 634 test movies of the sample source changes balanced accuracy by 0.0008 or more,
and its 95% interval is 0.1 wide. Four decimals therefore show every change of a headline figure. The floating-point
sums of two processors differ from the sixth decimal on, which four decimals rarely show: `dvc metrics diff` stays empty
when a run is repeated on another processor. Details have five decimals, because pages round them once more, to three.

dvc.yaml does not list this module, as it lists none of core: run `dvc repro --force` after changing it.
"""

from typing import Any, Final

DIGITS: Final = 5
HEADLINE_DIGITS: Final = 4  # of figures that DVC compares, and of the probability of each movie


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Return ``value`` with every float in it rounded to ``digits`` decimals.

    ``value`` is a number, a string, None, or a dict, list or tuple of such values; a tuple becomes a list. Negative
    zero becomes zero.
    """
    match value:
        case dict():
            return {key: rounded(item, digits) for key, item in value.items()}
        case list() | tuple():
            return [rounded(item, digits) for item in value]
        case float():
            return round(value, digits) + 0.0
        case _:
            return value
