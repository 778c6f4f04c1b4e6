"""Pages that people open: charts, tables and their templates."""
