"""The stages of the Movie Ratings pipeline, each run as ``python -m stages.NAME``."""
