"""The movie record: one row a movie, the same columns from every source."""

import pyarrow as pa

MOVIE = pa.schema(
    [
        ("id", pa.int64()),  # the source's own
        ("source", pa.string()),
        ("title", pa.string()),
        ("original_title", pa.string()),
        ("summary", pa.string()),
        ("genres", pa.list_(pa.string())),
        ("spoken_languages", pa.list_(pa.string())),
        ("original_language", pa.string()),  # ISO 639-1
        ("cast", pa.list_(pa.string())),  # billing order
        ("directors", pa.list_(pa.string())),
        ("release_date", pa.date32()),
        ("runtime", pa.int32()),  # minutes
        ("vote_average", pa.float64()),  # 0 to 10
        ("vote_count", pa.int64()),
        ("popularity", pa.float64()),
        ("adult", pa.bool_()),
    ]
)

# Which movie is in which split.
SPLIT_OF = pa.schema([("id", pa.int64()), ("split", pa.string())])

# A movie as the library reads it: the record, and the year of release, which `release.add_year` derives.
WITH_YEAR = MOVIE.append(pa.field("year", pa.int32()))

# A movie of a split: with its year, the rating that the label is derived from, and the label.
LABELLED = WITH_YEAR.append(pa.field("rating", pa.float64())).append(pa.field("label", pa.string()))

# The answers of baselines on the test split: a row for each of its movies, model after model.
ANSWERS = pa.schema([("model", pa.string()), ("id", pa.int64()), ("label", pa.string()), ("prediction", pa.string())])
