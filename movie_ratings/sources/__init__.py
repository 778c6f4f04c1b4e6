"""The sources of movies: one module a source; each yields batches of `movie_ratings.movies.record.MOVIE`.

A source is a module with the function ``batches(params, report) -> Iterator[pyarrow.RecordBatch]``. The function maps
the source's fields to the movie record and leaves the other fields null. A source neither filters by quality nor
removes duplicates: the stage clean does both. `selected` chooses the source that params.yaml names. `tables` is the
reader of tables, for the sources `files` and `hub` and for predictions.
"""
