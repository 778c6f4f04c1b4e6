"""The rows of the log: predictions, and the true ratings or labels that came later."""

from collections.abc import Mapping
from typing import Final

import pyarrow as pa

TIME: Final = pa.timestamp("ms", "UTC")

# One row a prediction. ``known`` names the fields that the movie had. ``movie`` is its content as JSON, or null where
# the log keeps no texts. ``input_hash`` tells which predictions are of the same movie, to those who have the key.
PREDICTION: Final = pa.schema(
    [
        ("time", TIME),
        ("id", pa.string()),
        ("model_version", pa.string()),
        ("known", pa.list_(pa.string())),
        ("input_hash", pa.string()),
        ("label", pa.string()),
        ("probability_bad", pa.float64()),
        ("probability_average", pa.float64()),
        ("probability_good", pa.float64()),
        ("predicted_rating", pa.float64()),
        ("predicted_rating_low", pa.float64()),
        ("predicted_rating_high", pa.float64()),
        ("movie", pa.string()),
    ]
)
# One row a true rating or label. A later row of the same prediction replaces an earlier one.
FEEDBACK: Final = pa.schema([("time", TIME), ("id", pa.string()), ("rating", pa.float64()), ("label", pa.string())])
SCHEMAS: Final[Mapping[str, pa.Schema]] = {"predictions": PREDICTION, "feedback": FEEDBACK}
