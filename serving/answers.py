"""Answers as JSON, those that refuse included: one shape, whoever refuses."""

import json
from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

RETRY_AFTER: Final = 1  # seconds


def as_json(content: Any, status: int = 200) -> Response:
    """An answer in ASCII: half a surrogate pair out of a request cannot be written in any other way."""
    return Response(json.dumps(content, allow_nan=False), status, media_type="application/json")


def problem(status: int, detail: str, faults: Sequence[dict[str, str]] = ()) -> Response:
    """Why a request was not answered, as `serving.schemas.Problem`."""
    response = as_json({"detail": detail, "faults": list(faults)}, status)
    if status == 413:
        response.headers["Connection"] = "close"
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response
