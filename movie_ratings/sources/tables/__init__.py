"""Tables as people have them, read as movies; what `files` and `hub` share.

A text file becomes `blocks` of whole lines, and those, by way of `delimited`, `chunks` of rows; Parquet and JSON lines
become chunks in `table`. `mapping` makes records of a chunk's columns, with `cells` for the odd one. `movies` puts it
together and reports the rows that are broken.
"""
