"""The movie record: one row for each movie, with the same columns from every source."""

import pyarrow as pa

from movie_ratings.movies.roles import ROLES

MOVIE = pa.schema(
    [
        ("id", pa.int64()),  # of the source
        ("source", pa.string()),
        ("title", pa.string()),
        ("original_title", pa.string()),
        ("summary", pa.string()),
        ("genres", pa.list_(pa.string())),
        ("spoken_languages", pa.list_(pa.string())),
        ("original_language", pa.string()),  # ISO 639-1
        ("cast", pa.list_(pa.string())),  # billing order
        ("directors", pa.list_(pa.string())),
        ("writers", pa.list_(pa.string())),
        ("producers", pa.list_(pa.string())),
        ("cinematographers", pa.list_(pa.string())),
        ("editors", pa.list_(pa.string())),
        ("composers", pa.list_(pa.string())),
        ("companies", pa.list_(pa.string())),  # of production
        ("countries", pa.list_(pa.string())),  # of production, by their English names
        ("collection", pa.string()),  # the series of films that the movie belongs to
        ("keywords", pa.list_(pa.string())),  # written partly after the release
        ("release_date", pa.date32()),
        ("runtime", pa.int32()),  # minutes
        ("budget", pa.int64()),  # US dollars
        ("vote_average", pa.float64()),  # 0 to 10
        ("vote_count", pa.int64()),
        ("popularity", pa.float64()),
        ("adult", pa.bool_()),
    ]
)

# The split of each movie.
SPLIT_OF = pa.schema([("id", pa.int64()), ("split", pa.string())])

# A movie as the library reads it: the record, and the year of release, which `release.add_year` derives.
WITH_YEAR = MOVIE.append(pa.field("year", pa.int32()))

# A movie of a split: with its year, the rating that the label is derived from, and the label.
LABELLED = WITH_YEAR.append(pa.field("rating", pa.float64())).append(pa.field("label", pa.string()))

# A rated film that is not among the movies of the pipeline: its people bring its rating along as their track record.
OUTSIDE = pa.schema(
    [
        ("source", pa.string()),
        ("title", pa.string()),
        ("year", pa.int32()),
        *((role, pa.list_(pa.string())) for role in ROLES),
        ("rating", pa.float64()),  # on the scale of the source
    ]
)

# The predictions of the baselines for the test split: one row for each baseline and movie.
ANSWERS = pa.schema(
    [
        ("model", pa.string()),
        ("id", pa.int64()),
        ("label", pa.string()),
        ("prediction", pa.string()),
        ("predicted_rating", pa.float64()),
    ]
)
