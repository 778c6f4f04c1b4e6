"""Choose the columns of a user's table that fill each field of the movie record.

The names of columns suggest the choices: those of TMDB dumps, TMDB 5000, The Movies Dataset, mymoviedb, MovieLens,
OMDb, Letterboxd and tables in the style of IMDb. A sample of the rows then ranks the choices of a field: a column whose
values the field cannot hold loses to a column whose values it can hold.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from movie_ratings.core.errors import UserError

# Column names in lower case, without spaces and punctuation; the most likely name comes first.
KNOWN: Final[Mapping[str, Sequence[str]]] = {
    "id": ("tmdbid", "imdbid", "imdbtitleid", "tconst", "id", "movieid", "filmid"),
    "title": (
        "title", "movietitle", "primarytitle", "name", "seriestitle", "filmtitle", "moviename", "titlename", "movie",
        "film", "originaltitle",
    ),
    "original_title": ("originaltitle",),
    "summary": ("overview", "summary", "plot", "plotsummary", "synopsis", "description", "storyline", "plotoutline"),
    "genres": ("genres", "genre", "genresnames", "genrenames", "listedin"),
    "spoken_languages": ("spokenlanguages", "languages", "language"),
    "original_language": ("originallanguage", "originallang", "language"),
    "cast": ("cast", "actors", "stars", "star", "starring", "maincast", "castnames"),
    "directors": ("directors", "director", "directedby", "directorname", "directornames"),
    "writers": ("writers", "writer", "screenplay", "screenwriters", "screenwriter", "writtenby", "writernames"),
    "producers": ("producers", "producer", "producedby", "producernames"),
    "cinematographers": (
        "cinematographers", "cinematographer", "cinematography", "directorofphotography", "dop",
    ),
    "editors": ("editors", "editor", "editedby"),
    "composers": ("composers", "composer", "musicby", "music"),
    "companies": (
        "productioncompanies", "productioncompany", "companies", "company", "studios", "studio",
    ),
    "countries": ("productioncountries", "productioncountry", "countries", "country", "countryoforigin"),
    "collection": ("belongstocollection", "collection", "collectionname"),
    "keywords": ("keywords", "keyword", "plotkeywords"),
    # Days first, then years; a bare date may be the day on which a row was written.
    "release_date": (
        "releasedate", "originalreleasedate", "dateofrelease", "released", "premiered", "premieredate", "releaseyear",
        "releasedyear", "yearofrelease", "startyear", "titleyear", "movieyear", "year", "datex", "date",
    ),
    "runtime": (
        "runtime", "runtimeminutes", "runtimemins", "runtimemin", "duration", "durationminutes", "durationmins",
        "durationmin", "minutes", "minute", "length", "runningtime",
    ),
    "budget": ("budget", "budgetusd", "budgetinusd", "productionbudget"),
    "vote_average": (
        "voteaverage", "rating", "averagerating", "avgrating", "avgvote", "imdbrating", "imdbscore", "score",
        "userscore", "userrating", "meanrating", "ratingvalue",
    ),
    "vote_count": (
        "votecount", "votes", "numvotes", "noofvotes", "imdbvotes", "numberofvotes", "totalvotes", "votesnum",
        "ratingcount", "ratingscount", "audiencecount", "numvotedusers", "numratings", "noofratings",
    ),
    "popularity": ("popularity",),
    "adult": ("adult", "isadult"),
}  # fmt: skip
# An id of these columns identifies a film wherever it stands. A bare "id" may be the number of the row.
GLOBAL_IDS: Final = ("tmdbid", "imdbid", "imdbtitleid", "tconst")
# Numbered columns with one name each: Star1, Star2, …
NUMBERED: Final = {
    "cast": ("star", "actor", "cast", "lead"),
    "directors": ("director",),
    "writers": ("writer", "screenwriter"),
    "producers": ("producer",),
    "cinematographers": ("cinematographer",),
    "editors": ("editor",),
    "composers": ("composer",),
    "companies": ("productioncompany", "company", "studio"),
    "countries": ("productioncountry", "country"),
    "keywords": ("keyword", "plotkeyword"),
    "genres": ("genre",),
    "spoken_languages": ("language", "spokenlanguage"),
}
# Each value of these fields comes from the first column that can be read in its row. The values of the other fields
# come from one column: the ratings of two columns may have two scales, and counts of votes belong to their ratings.
BY_ROW: Final = (
    "title", "original_title", "summary", "genres", "spoken_languages", "original_language", "cast", "directors",
    "writers", "producers", "cinematographers", "editors", "composers", "companies", "countries", "collection",
    "keywords", "release_date", "runtime",
)  # fmt: skip
# A column that fills its field only if no other column does: people write into it the day on which they saw a film.
LAST_RESORT: Final = ("date",)
EXAMPLES: Final = {"title": "name", "summary": "overview", "vote_average": "rating"}  # of columns, in messages
LISTED: Final = 50  # names of columns in a message
LONGEST_NAME: Final = 60  # characters of a name in a message
BY_NAME: Final = "by its name"  # the rule of a choice that nobody made
MOSTLY: Final = 0.9  # share of the values of a column that a field must hold to choose the column by its name


@dataclass(frozen=True)
class Choice:
    """Columns that may fill a field: one, or several whose lists are joined. ``rule`` is the reason, for people."""

    columns: tuple[str, ...]
    rule: str

    def __str__(self) -> str:
        return " + ".join(self.columns)


Choices = Mapping[str, Sequence[Choice]]
# Of a field and one of its choices: how many values the sample has, how many of them the field can hold, and one that
# the field cannot hold.
Evidence = Callable[[str, Choice], tuple[int, int, str | None]]


@dataclass(frozen=True)
class Fields:
    """The fields that are read from a table: all, their names in messages, and those that a table must have.

    A table must have a column for one field of each group of ``needed``. A row is broken if it has a value of a needed
    field that cannot be read.
    """

    names: Sequence[str]
    needed: Sequence[Sequence[str]]

    def broken(self) -> list[str]:
        """The fields whose unreadable values break a row."""
        return [field for group in self.needed for field in group]


def suggested(
    columns: Sequence[str], chosen: Mapping[Any, Any], fields: Fields, parameter: str
) -> dict[str, list[Choice]]:
    """The choices of each field, the most likely first: what ``chosen`` has for the field, or columns by their names.

    ``chosen`` maps fields to a column, to several columns, or to None for a field that no column fills.

    Raises:
        UserError: a chosen column does not exist, or a field that a table must have has no choice; the message names
            ``parameter``, which is where a user chooses columns.
    """
    found: dict[str, list[Choice]] = {}
    there = f"it has {_listed(columns)}"
    for field in fields.names:
        if field in chosen:
            names = chosen[field] if isinstance(chosen[field], list) else [chosen[field]]
            missing = next((name for name in names if name is not None and name not in columns), None)
            if missing is not None:
                raise UserError(f"{parameter}.{field}: no column {missing!r}; {there}")
            found[field] = _chosen(field, [name for name in names if name is not None], f"chosen in {parameter}")
        else:
            found[field] = _by_name(field, columns)
    for group in fields.needed:
        if not any(found[field] for field in group):
            what = " or ".join("rating" if field == "vote_average" else field for field in group)
            such = " or ".join(name for field in group for name in (field, EXAMPLES[field]))
            raise UserError(f"no column for {what} (such as {such}); {there}; name the column in {parameter}")
    return {field: choices for field, choices in found.items() if choices}


def ranked(choices: Choices, evidence: Evidence) -> tuple[dict[str, list[Choice]], dict[str, str]]:
    """The choices of each field in the order of the evidence, and the reason for each column that lost all its fields.

    A choice without any readable value is dropped if another choice has some.
    """
    kept: dict[str, list[Choice]] = {}
    lost: dict[str, str] = {}
    for field, some in choices.items():
        if len(some) == 1 and not is_language(some[0]):
            kept[field] = list(some)
            continue
        measured = [(choice, *evidence(field, choice)) for choice in some]
        # Most values of the column are codes, or most are names: the column fills one of the two fields.
        measured = [found for found in measured if not (is_language(found[0]) and 2 * found[2] < found[1])]
        if not measured:
            continue
        useful = [(c, n, read) for c, n, read, _ in measured if read or not n] or [(c, n, r) for c, n, r, _ in measured]
        for choice, there, read, example in measured:
            if there and not read and len(useful) < len(measured):
                lost |= dict.fromkeys(choice.columns, f"its values are no {_what(field)}, such as {example}")
        # A column without values says nothing; it stays behind the others, since later rows may have values.
        useful.sort(key=lambda found: (not found[1], -min(MOSTLY, found[2] / max(1, found[1]))))
        kept[field] = [choice for choice, *_ in useful][: None if field in BY_ROW else 1]
    used = {name for some in kept.values() for choice in some for name in choice.columns}
    return kept, {name: reason for name, reason in lost.items() if name not in used}


def _listed(columns: Sequence[str]) -> str:
    """The names of columns in one line, of very many the first ones."""
    names = [" ".join(name.split())[:LONGEST_NAME] for name in columns[:LISTED]]
    return (", ".join(names) or "none") + (f" and {len(columns) - LISTED} more" if len(columns) > LISTED else "")


def _chosen(field: str, names: Sequence[str], rule: str) -> list[Choice]:
    if field in NUMBERED:
        return [Choice(tuple(names), rule)] if names else []
    return [Choice((name,), rule) for name in names]


def _by_name(field: str, columns: Sequence[str]) -> list[Choice]:
    given = [(plain(column), column) for column in columns]
    named = [(name, column) for name in KNOWN[field] for found, column in given if found == name]
    firm = [column for name, column in named if name not in LAST_RESORT]
    choices = [Choice((column,), BY_NAME) for column in firm or [column for _, column in named]]
    for stem in NUMBERED.get(field, ()):
        numbered = [column for found, column in given if re.fullmatch(rf"{stem}s?(name)?\d+|{stem}\d+name", found)]
        if len(numbered) > 1:
            choices.append(Choice(tuple(numbered), "by their names"))
    return choices


def is_language(choice: Choice) -> bool:
    """Whether the choice is a column ``language``: it holds the code of the original language, or spoken languages."""
    return choice.rule == BY_NAME and plain(choice.columns[0]) == "language"


def is_global_id(choice: Choice) -> bool:
    """Whether the ids of the choice identify films in every table: a person chose the column, or its name says so."""
    return choice.rule != BY_NAME or plain(choice.columns[0]) in GLOBAL_IDS


def plain(column: str) -> str:
    """The name of a column as `KNOWN` has it."""
    return re.sub(r"[\W_]+", "", column).casefold()


def _what(field: str) -> str:
    return {"vote_average": "ratings", "vote_count": "counts", "id": "ids", "release_date": "dates"}.get(
        field, field.replace("_", " ") + ("" if field.endswith("s") else "s")
    )


def unused(columns: Sequence[str], choices: Choices) -> list[str]:
    """The columns that fill no field, in their order."""
    used = Counter(name for some in choices.values() for choice in some for name in choice.columns)
    return [column for column in columns if column not in used]
