"""JSON responses. A refusal has one shape, whichever part of the service refuses."""

import json
from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

RETRY_AFTER: Final = 1  # seconds


def as_json(content: Any, status: int = 200) -> Response:
    """A JSON response in ASCII: half a surrogate pair from a request could not be encoded otherwise."""
    return Response(json.dumps(content, allow_nan=False), status, media_type="application/json")


def problem(status: int, detail: str, faults: Sequence[dict[str, str]] = ()) -> Response:
    """The reason why a request is refused, in the shape of `serving.schemas.Problem`."""
    response = as_json({"detail": detail, "faults": list(faults)}, status)
    if status == 413:
        response.headers["Connection"] = "close"
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response
