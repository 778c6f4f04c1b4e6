"""Read users' tables as movie records; the sources `files` and `hub` share this package.

`blocks` cuts a text file into blocks of complete lines, and `delimited` makes `chunks` of rows from the blocks. `table`
makes chunks from Parquet and JSON lines. `mapping` converts the columns of a chunk to records, and `cells` reads the
cells that need a reader of their own. `records` combines the steps and reports the broken rows.
"""
