"""Clean and split as one would write them by hand in Polars, in memory: what benchmarks.scale compares with.

python -m benchmarks._by_hand raw.parquet FOLDER. The same rows are dropped for the same reasons; titles are compared
without their accents, case and punctuation; the hash that splits the films is Polars' own.
"""

import sys

import polars as pl

TEXTS = ("title", "original_title", "summary", "original_language", "collection")
LISTS = (
    "genres", "spoken_languages", "cast", "directors", "writers", "producers", "cinematographers", "editors",
    "composers", "companies", "countries", "keywords",
)  # fmt: skip


def main(source: str, folder: str) -> None:
    rating, votes = pl.col("vote_average"), pl.col("vote_count").fill_null(0)
    title = pl.col("title").str.normalize("NFKD").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]", "")
    movies = (
        pl.scan_parquet(source)
        .with_columns(
            *(pl.when(normalised(pl.col(name)) != "").then(normalised(pl.col(name))).alias(name) for name in TEXTS),
            *(pl.col(name).list.eval(normalised(pl.element()).filter(pl.element() != "")) for name in LISTS),
        )
        .with_columns(pl.when(pl.col("genres").list.len() > 0).then("genres").otherwise(pl.lit(["NonGiven"])))
        .filter(
            pl.col("title").is_not_null() & pl.col("summary").is_not_null() & rating.is_not_null(),
            rating.is_not_nan() & (rating != 0) & rating.is_between(0, 10) & (votes >= 10),
        )
        .with_columns(film=title + "|" + pl.col("release_date").dt.year().cast(pl.String).fill_null(""), votes=votes)
        .sort(["votes", "id"], descending=[True, False], maintain_order=True)
        .unique("id", keep="first", maintain_order=True)
        .unique("film", keep="first", maintain_order=True)
        .sort("id")
        .drop("votes")
        .collect()
    )
    movies.drop("film").write_parquet(f"{folder}/clean.parquet")
    # The films of a collection stay together.
    place = movies.select(pl.coalesce("collection", "film").hash(0))["collection"] / 2**64
    ratings = movies.filter(place < 0.7)["vote_average"].to_numpy()
    low, high = ratings.mean() - ratings.std(), ratings.mean() + ratings.std()
    label = pl.when(rating < low).then(pl.lit("bad")).when(rating > high).then(pl.lit("good"))
    split = pl.when(place < 0.7).then(pl.lit("train")).when(place < 0.85).then(pl.lit("validation"))
    movies.select("id", split=split.otherwise(pl.lit("test")), label=label.otherwise(pl.lit("average"))).write_parquet(
        f"{folder}/splits.parquet"
    )


def normalised(text: pl.Expr) -> pl.Expr:
    """One space for each run of whitespace, none at the ends; NUL dropped."""
    spaced = text.str.replace_all("\0", "", literal=True).str.replace_all(r"[\s\x1c-\x1f]+", " ")
    return spaced.str.strip_chars(" ")


if __name__ == "__main__":
    main(*sys.argv[1:])
