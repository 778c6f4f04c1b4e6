"""The people of the films, by field: from title.crew and title.principals, with their names from name.basics."""

from typing import Final

import numpy as np
import polars as pl

from movie_ratings.sources.imdb.tables import Tables
from movie_ratings.sources.imdb.tsv import Part, converted, identifier, number

# The field that people are listed in: by their column of title.crew, and by their category in title.principals.
# (title.principals has directors and writers too, but not all of them.)
OF_CREW: Final = {"directors": "directors", "writers": "writers"}
OF_CATEGORY: Final = {
    "actor": "cast", "actress": "cast", "self": "cast", "producer": "producers", "cinematographer": "cinematographers",
    "editor": "editors", "composer": "composers",
}  # fmt: skip
# How many people are read of each other field of title.principals than the cast. It has few, and models read fewer.
CREW_SIZE: Final = 10
FIELDS: Final = tuple(dict.fromkeys([*OF_CREW.values(), *OF_CATEGORY.values()]))

FIELD: Final = pl.Enum(FIELDS)


class People:
    """Who made some films.

    In memory, a credit is a row of id (UInt32), field, place (UInt32: people of a field are listed by it) and person
    (UInt32, the number in the nconst).
    """

    def __init__(self, tables: Tables, ids: pl.Series, cast_size: int):
        """Read the credits of the films ``ids`` (UInt32), at most ``cast_size`` actors of each film.

        Of title.principals, at most `CREW_SIZE` people of each other field are read.

        Raises:
            UserError: see `Tables.rows`.
        """
        films = pl.DataFrame({"id": ids}).unique()
        everyone = pl.concat([*_crew(tables, films), *_principals(tables, films, cast_size)])
        # Credits that stood in two parts of a table are put together here.
        self._credits = _first(everyone, cast_size).drop("place")
        self._ids = self._credits["id"].to_numpy()
        self._names = _names(tables, self._credits.select("person").unique())

    @property
    def without_name(self) -> int:
        """The number of people whom name.basics does not name; they are left out."""
        return self._credits["person"].n_unique() - len(self._names)

    def of(self, films: pl.DataFrame) -> pl.DataFrame:
        """The ``films``, which rise by id, with a list of names for each of `FIELDS`; empty where nobody is known."""
        if films.is_empty():
            return films.with_columns(pl.lit([], pl.List(pl.String)).alias(field) for field in FIELDS)
        first, end = np.searchsorted(self._ids, films["id"][0]), np.searchsorted(self._ids, films["id"][-1], "right")
        named = self._credits.slice(int(first), int(end - first)).join(
            self._names, on="person", how="inner", maintain_order="left"
        )
        lists = named.group_by("id", "field", maintain_order=True).agg("name")
        for field in FIELDS:
            of_field = lists.filter(pl.col("field") == field).select("id", pl.col("name").alias(field))
            films = films.join(of_field, on="id", how="left", maintain_order="left")
        return films.with_columns(pl.col(field).fill_null([]) for field in FIELDS)


def _crew(tables: Tables, films: pl.DataFrame) -> list[pl.DataFrame]:
    def convert(part: Part) -> Part:
        part = converted(part, ["tconst"], tconst=identifier("tconst", "tt"))
        rows = part.rows.join(films, left_on="tconst", right_on="id", how="semi")
        lists = [
            rows.select("line", "tconst", person=pl.col(column).str.split(","), field=pl.lit(field))
            for column, field in OF_CREW.items()
        ]
        each = pl.concat(lists).explode("person").drop_nulls("person")
        found = converted(Part(each), ["person"], person=identifier("person", "nm"))
        # A person that cannot be read breaks the row, which is reported once.
        broken = {row.line: row for row in reversed(found.broken)}
        people = found.rows.filter(~pl.col("line").is_in(list(broken))).with_row_index("place")
        return Part(people, part.broken + tuple(broken[line] for line in sorted(broken)))

    return [
        rows.select(id="tconst", field=pl.col("field").cast(FIELD), place="place", person="person")
        for rows in tables.rows("title.crew", ("tconst", *OF_CREW), convert)
    ]


def _principals(tables: Tables, films: pl.DataFrame, cast_size: int) -> list[pl.DataFrame]:
    def convert(part: Part) -> Part:
        rows = part.rows.filter(pl.col("category").is_in(list(OF_CATEGORY)))
        # The ids first: nearly all rows belong to other titles, and need no more work.
        part = converted(Part(rows, part.broken), ["tconst"], tconst=identifier("tconst", "tt"))
        rows = part.rows.join(films, left_on="tconst", right_on="id", how="semi")
        needed = ["nconst", "ordering"]
        return converted(
            Part(rows, part.broken), needed, nconst=identifier("nconst", "nm"), ordering=number("ordering", pl.UInt32)
        )

    found = []
    for rows in tables.rows("title.principals", ("tconst", "category", "nconst", "ordering"), convert):
        field = pl.col("category").replace_strict(OF_CATEGORY, return_dtype=FIELD)
        found.append(_first(rows.select(id="tconst", field=field, place="ordering", person="nconst"), cast_size))
    return found


def _first(people: pl.DataFrame, cast_size: int) -> pl.DataFrame:
    """The credits by id, field and place, each person once in a field, as many as `People` reads."""
    found = people.sort("id", "field", "place", maintain_order=True)
    found = found.unique(["id", "field", "person"], keep="first", maintain_order=True)
    rank = pl.int_range(pl.len()).over("id", "field")
    most = pl.when(pl.col("field") == "cast").then(cast_size).otherwise(CREW_SIZE)
    return found.filter(pl.col("field").is_in(list(OF_CREW.values())) | (rank < most))


def _names(tables: Tables, people: pl.DataFrame) -> pl.DataFrame:
    """The names of ``people``: person, name."""

    def convert(part: Part) -> Part:
        return converted(part, ["nconst"], nconst=identifier("nconst", "nm"))

    found = [pl.DataFrame(schema={"person": pl.UInt32, "name": pl.String})]
    for rows in tables.rows("name.basics", ("nconst", "primaryName"), convert):
        named = rows.select(person="nconst", name="primaryName").drop_nulls("name")
        found.append(named.join(people, on="person", how="semi"))
    return pl.concat(found).unique("person", keep="first", maintain_order=True)
