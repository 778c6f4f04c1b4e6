"""Readers for single cells of users' tables. Each reader raises ValueError for a text that it cannot read."""

import ast
import json
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Final

PARTS: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})\b")
WRITTEN: Final = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
TRUTHS: Final = {
    "true": True,
    "1": True,
    "1.0": True,
    "yes": True,
    "false": False,
    "0": False,
    "0.0": False,
    "no": False,
}


def names(text: str) -> list[str]:
    """A list of names: a JSON or Python list of names or of objects with a name, or names separated by , | or ;."""
    if text.startswith(("[", "{")):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            try:
                found = ast.literal_eval(text)
            except (SyntaxError, MemoryError, RecursionError) as error:
                raise ValueError(str(error)) from None
        if not isinstance(found, list):
            raise ValueError("not a list")
        entries = [entry.get("name") if isinstance(entry, dict) else entry for entry in found]
        return [entry.strip() for entry in entries if isinstance(entry, str) and entry.strip()]
    if text == "(no genres listed)":  # MovieLens
        return []
    separator = next((mark for mark in "|;," if mark in text), ",")
    return [name.strip() for name in text.split(separator) if name.strip()]


def rating(text: str) -> float:
    """A rating. A comma is a decimal comma; "8/10" is 8."""
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)(?: ?/ ?10)?", text)
    if found is None:
        raise ValueError("no rating")
    return float(found[1].replace(",", "."))


def amount(text: str) -> float:
    """A number, which may have separators between thousands, a decimal comma, or a unit ("98 min")."""
    text = re.sub(r"(?<=\d)[\s'](?=\d{3})", "", text)
    text = re.sub(r" ?min(utes)?\.?$", "", text)
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d+,\d+", text):
        text = text.replace(".", "").replace(",", ".")
    elif not re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", text, re.IGNORECASE):
        raise ValueError("no number")
    return float(text)


def count(text: str) -> int:
    """A whole number. A point separates thousands."""
    if re.fullmatch(r"\d{1,3}(\.\d{3})+", text):
        return int(text.replace(".", ""))
    number = amount(text)
    if not number.is_integer() or abs(number) >= 2**63:
        raise ValueError("not a whole number")
    return int(number)


def truth(text: str) -> bool:
    """A truth value, such as "yes" or "0"."""
    try:
        return TRUTHS[text.casefold()]
    except KeyError:
        raise ValueError("neither yes nor no") from None


def day(text: str, day_first: Callable[[], bool]) -> date:
    """A date in one of the common notations, or the first day of a year. ``day_first`` decides about 3/4/2005."""
    if re.fullmatch(r"\d{4}(\.0)?", text):
        return date(int(text[:4]), 1, 1)
    if found := PARTS.match(text):
        first, second, year = int(found[1]), int(found[2]), int(found[3])
        year += 0 if year > 99 else 1900 if year > 30 else 2000
        return date(year, second, first) if day_first() else date(year, first, second)
    for format_ in WRITTEN:
        try:
            return datetime.strptime(text, format_).date()
        except ValueError:
            continue
    raise ValueError("no date")


def day_parts(text: str) -> tuple[int, int] | None:
    """The first two numbers of a date such as 3/4/2005: the day and the month, in either order."""
    found = PARTS.match(text)
    return (int(found[1]), int(found[2])) if found else None
