"""Readers for single cells of users' tables. Each reader raises ValueError for a text that it cannot read."""

import ast
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

# A date of numbers alone: 3/4/2005, 18.12.09.
PARTS: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?!\d)")
ISO: Final = re.compile(r"(\d{4})[-/.](\d{1,2})(?:[-/.](\d{1,2}))?(?=$|[T ])")
YEAR: Final = re.compile(r"\(?(\d{4})(?:\.0)?\)?(?:\s*[-\u2013]\s*(?:\d{4})?)?")  # 2009, (2009), 2009.0, 2009-2013
MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH: Final = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|"
    r"nov(?:ember)?|dec(?:ember)?)\.?"
)
DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
# Behind a day there may be a time, or a country in brackets: "June 1, 1960 (United States)".
BEHIND: Final = r"(?:[ T]\d{1,2}:\d{2}.*|\s*\([^)]*\))?"
WRITTEN: Final = tuple(
    re.compile(r"(?:[a-z]{3,9},?\s+)?" + pattern + BEHIND, re.IGNORECASE)
    for pattern in (
        DAY + r"[\s-]+(?:of\s+)?" + MONTH + r"[\s,-]+(?P<year>\d{4}|\d{2})",  # 12 December 2007, 10-Dec-09
        MONTH + r"[\s-]+" + DAY + r",?\s+(?P<year>\d{4})",  # December 12, 2007
        MONTH + r"[\s,-]+(?P<year>\d{4})",  # December 2007
        r"(?P<year>\d{4})[\s-]+" + MONTH + r"(?:[\s-]+" + DAY + r")?",  # 2007 December 12
    )
)
YEARS: Final = (1850, 2150)  # of a number of seconds or milliseconds since 1970
PIVOT: Final = 30  # of two digits: 30 is 2030, 31 is 1931
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
# "2h 22m", "2 hrs 22 min", "142 mins", "PT142M", "PT2H22M", "142'"
DURATION: Final = re.compile(
    r"(?:PT)?(?:(?P<hours>\d{1,2}(?:[.,]\d{1,2})?)\s*h(?:(?:ou)?rs?)?\.?,?\s*)?"
    r"(?:(?P<minutes>\d{1,4}(?:[.,]\d{1,2})?)\s*(?:m(?:in(?:ute)?s?)?\.?|['\u2032]|$))?(?:\s*\d{1,2}\s*s(?:ec(?:ond)?s?)?)?",
    re.IGNORECASE,
)
CLOCK: Final = re.compile(r"(?P<hours>\d{1,2}):(?P<minutes>[0-5]\d)(?::[0-5]\d)?")
MULTIPLES: Final = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
STRING: Final = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)")""", re.DOTALL)
BRACKETS: Final = {"[": "]", "(": ")", "{": "}"}
# What separates names, the most telling mark first.
MARKS: Final = ("|", ";", "\n", "·", "•", ",", "/")


def names(text: str) -> list[str]:
    """A list of names.

    The list is written as JSON, as Python or numpy prints it, or with a separator from `MARKS` between the names. The
    entries of a JSON or Python list may be objects with a ``name``.
    """
    if text == "(no genres listed)":  # MovieLens
        return []
    if text[0] in "[{" or (text[0] == "(" and text[-1] == ")"):
        return _named(_entries(text))
    mark = next((mark for mark in MARKS if mark in text), ",")
    return _named([name for name in text.split(mark) if name.strip()])


def collection(text: str) -> str | None:
    """The name of a series of films: the text, or the ``name`` of an object as TMDB's dumps write it.

    None for an object without a name. A number is no name: a column "collection" may hold what a film took in.
    """
    name: Any = text
    if text[0] == "{":
        found = _literal(text)
        name = found.get("name") if isinstance(found, dict) else found
        if name is None or name == "":
            return None
    if not isinstance(name, str) or not any(map(str.isalpha, name)):
        raise ValueError("no name")
    return _writable(name).strip()


def _named(entries: Sequence[Any]) -> list[str]:
    found = [entry.get("name") if isinstance(entry, dict) else entry for entry in entries]
    kept = [name for name in (_writable(entry).strip() for entry in found if isinstance(entry, str)) if name]
    # A list of numbers, or of objects without names, is no list of names. A name may be empty; one among others may be
    # a number, as that of the company 1818 is.
    texts = any(isinstance(entry, str) for entry in found)
    if (entries and not texts) or (kept and not any(any(map(str.isalpha, name)) for name in kept)):
        raise ValueError("no names")
    return kept


def _writable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair: an escape in JSON can stand for one, a file cannot."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _entries(text: str) -> list[Any]:
    """The entries of a list in brackets."""
    inner = text[1:-1].strip()
    if text[-1] == BRACKETS[text[0]] and len(strings := _strings(inner)) > 1:
        return list(strings)
    try:
        found = _literal(text)
    except ValueError:
        if not inner or text[0] != "[" or text[-1] != "]" or set(inner) & set("[]{}'\""):
            raise
        return [name for name in inner.split(",") if name.strip()]  # [Action, Drama]
    if isinstance(found, str):  # ('Drama') is a text in Python
        return [found]
    if not isinstance(found, list | tuple | set):  # an object, or the number of "(5)"
        raise ValueError("not a list")
    return sorted(found, key=str) if isinstance(found, set) else list(found)


def _literal(text: str) -> Any:
    """The value that is written as JSON or as Python prints it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return ast.literal_eval(text)
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
            raise ValueError(str(error)) from None


def _strings(text: str) -> list[str]:
    """The strings of a text in which only white space stands between strings, as numpy prints a list; else nothing.

    Python would join such strings into one.
    """
    strings, place = [], 0
    while place < len(text):
        found = STRING.match(text, place)
        if found is None:
            return []
        strings.append(found[1] if found[1] is not None else found[2])
        place = found.end()
    return strings


def rating(text: str, scale: float) -> float:
    """A rating on ``scale``, the best possible rating. A comma is a decimal comma.

    A rating with a scale of its own is converted: "8/10", "3.5/5", "76%", "★★★½" (of five).
    """
    stars = re.fullmatch(r"(★*)(½?)[☆]*", text)
    if stars and text:
        return (len(stars[1]) + len(stars[2]) / 2) / 5 * scale
    found = re.fullmatch(r"(\d+(?:[.,]\d+)?)\s*(?:(%)|(?:/|out of)\s*(\d+(?:[.,]\d+)?))?", text)
    if found is None:
        raise ValueError("no rating")
    value = float(found[1].replace(",", "."))
    best = 100.0 if found[2] else float(found[3].replace(",", ".")) if found[3] else scale
    if best == 0:
        raise ValueError("no rating")
    return value if best == scale else value / best * scale


def amount(text: str) -> float:
    """A number, which may have separators between thousands or a decimal comma."""
    text = re.sub(r"(?<=\d)[\s'\u2019](?=\d{3})", "", text)
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", text):
        text = text.replace(",", "")
    elif re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?|[+-]?\d+,\d+", text):
        text = text.replace(".", "").replace(",", ".")
    elif not re.fullmatch(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", text, re.IGNORECASE):
        raise ValueError("no number")
    return float(text)


def minutes(text: str) -> float:
    """A duration in minutes: "142", "142 min", "2h 22m", "2:22", "PT142M"."""
    if (found := CLOCK.fullmatch(text) or DURATION.fullmatch(text)) and (found["hours"] or found["minutes"]):
        hours, rest = ((found[name] or "0").replace(",", ".") for name in ("hours", "minutes"))
        return 60 * float(hours) + float(rest)
    return amount(re.sub(r"\s*min(ute)?s?\.?$", "", text, flags=re.IGNORECASE))


def count(text: str) -> int:
    """A whole number: a point separates thousands, "12K" is 12,000; brackets and the word "votes" are dropped."""
    text = re.sub(r"\s*(votes?|ratings?|reviews?)$", "", text.strip("() \u00a0"), flags=re.IGNORECASE).rstrip("+ ")
    if found := re.fullmatch(r"(\d+(?:[.,]\d+)?)\s?([kmb])", text, re.IGNORECASE):
        return round(float(found[1].replace(",", ".")) * MULTIPLES[found[2].lower()])
    if re.fullmatch(r"\d{1,3}(\.\d{3})+", text):
        return int(text.replace(".", ""))
    number = amount(text)
    if not number.is_integer() or abs(number) >= 2**63:
        raise ValueError("not a whole number")
    return int(number)


def dollars(text: str) -> int:
    """A whole number of US dollars: "237000000", "$1,000,000", "US$ 2.5 million". Other currencies cannot be read."""
    text = re.sub(r"^(USD|US\s?\$|\$)\s*|\s*(USD|\$)$", "", text, flags=re.IGNORECASE)
    text = re.sub(r"\s*([mb])illion$", r"\1", text, flags=re.IGNORECASE)
    return count(text)


def identifier(text: str) -> int:
    """A whole number, or IMDb's "tt0111161" without the letters."""
    return count(text.removeprefix("tt") if re.fullmatch(r"tt\d+", text) else text)


def truth(text: str) -> bool:
    """A truth value, such as "yes" or "0"."""
    try:
        return TRUTHS[text.casefold()]
    except KeyError:
        raise ValueError("neither yes nor no") from None


def day(text: str, day_first: Callable[[], bool]) -> date:
    """A date in one of the common notations, or the first day of a month or year that stands alone.

    ``day_first`` decides about 3/4/2005.
    """
    if found := YEAR.fullmatch(text):
        return date(int(found[1]), 1, 1)
    if found := ISO.match(text):
        return date(int(found[1]), int(found[2]), int(found[3] or 1))
    if found := PARTS.match(text):
        first, second = int(found[1]), int(found[2])
        # A number above 12 is no month, whatever the column's order is.
        first_is_day = first > 12 or (second <= 12 and day_first())
        return date(_year(found[3]), *((second, first) if first_is_day else (first, second)))
    for pattern in WRITTEN:
        if found := pattern.fullmatch(text):
            given = found.groupdict()
            month = 1 + MONTHS.index(given["month"][:3].lower())
            return date(_year(given["year"]), month, int(given.get("day") or 1))
    if re.fullmatch(r"\d{8}", text):  # 20091210
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    if re.fullmatch(r"-?\d{9,14}(\.0)?", text):
        return since_1970(int(text.removesuffix(".0")))
    raise ValueError("no date")


def since_1970(number: int) -> date:
    """The day of a number of seconds since 1970, or of milliseconds if the seconds lead to no likely year."""
    for divisor in (1, 1_000):
        try:
            found = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=number / divisor)).date()
        except OverflowError:
            continue
        if YEARS[0] <= found.year <= YEARS[1]:
            return found
    raise ValueError("no date")


def day_parts(text: str) -> tuple[int, int] | None:
    """The first two numbers of a date such as 3/4/2005: the day and the month, in either order."""
    found = PARTS.match(text)
    return (int(found[1]), int(found[2])) if found else None


def is_language_code(text: str) -> bool:
    """Whether the text is one language's code, such as "en" or "pt-BR", as against a name such as "English"."""
    return re.fullmatch(r"[a-z]{2,3}(-[A-Za-z]{2,4})?", text.strip()) is not None


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == 4 else year + (1900 if year > PIVOT else 2000)
