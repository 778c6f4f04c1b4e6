"""Read users' tables as movie records: for the sources `files` and `hub`, and for predictions.

`table` opens a file, whatever its container, and makes `chunks` of rows: `delimited` from text, which `encodings` turns
into UTF-8 and `blocks` cuts into complete lines; `json_rows`, `sheets` and `parquet` from the other formats. `columns`
chooses the columns of each field, `convert` converts them, and `cells` reads the cells that need a reader of their own.
`reader` combines the steps and reports what was read; `records` is the reader as fetch uses it.
"""
