"""What any data pipeline needs and nothing about movies: files, errors, commands, arrays, paths."""
