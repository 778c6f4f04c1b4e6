"""The page at /: one movie with its answer, variants of the movie, a table, and the model.

`mount` puts the page behind the routes of the API. The modules `markup`, `scale`, `answer`, `differences`, `preview`
and `link` are pure functions; `form`, `one_movie`, `what_if`, `tables` and `card` hold components and their events.
"""

import os

# Gradio reads this when it is imported: the page reports its use to nobody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from serving.page.blocks import MOVIES, TABLES, WAITING
from serving.page.form import INPUTS
from serving.page.mounting import MAX_UPLOAD, mount

__all__ = ["INPUTS", "MAX_UPLOAD", "MOVIES", "TABLES", "WAITING", "mount"]
