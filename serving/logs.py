"""Logs as lines of JSON: route, status and time of each request, never the text of a movie."""

import json
import logging
import traceback
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a line; ``extra={"details": {...}}`` adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "details", {}),
        }
        if record.exc_info:
            # The places in the code, without the exception's message, which could quote a movie.
            line["exception"] = record.exc_info[0].__name__ if record.exc_info[0] else None
            line["at"] = [f"{f.filename}:{f.lineno}" for f in _frames(record)]
        return json.dumps(line)


def _frames(record: logging.LogRecord) -> list[traceback.FrameSummary]:
    return list(traceback.extract_tb(record.exc_info[2])) if record.exc_info and record.exc_info[2] else []


def set_up(level: str) -> None:
    """Send the service's and uvicorn's logs to standard error, a line of JSON each."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("serving").setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(level.upper())
