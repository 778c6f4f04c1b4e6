"""The page at /: one movie with its answer, variants of the movie, a table, a slate, and the model.

`mount` puts the page behind the routes of the API. The modules `markup`, `scale`, `answer`, `differences`, `preview`
and `link` are pure functions; `form`, `one_movie`, `search`, `feedback`, `what_if`, `tables`, `slate` and `card` hold
components and their events.
"""

import os

# Gradio reads this when it is imported: the page reports its use to nobody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from serving.page.blocks import MOVIES, TABLES, WAITING
from serving.page.form import INPUTS
from serving.page.mounting import MAX_UPLOAD, Extras, mount

__all__ = ["INPUTS", "MAX_UPLOAD", "Extras", "MOVIES", "TABLES", "WAITING", "mount"]
