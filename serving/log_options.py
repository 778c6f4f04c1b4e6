"""What those who run the service decide about the log of predictions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEGABYTES: Final = 1_000  # of all files of the log, by default


@dataclass(frozen=True)
class LogOptions:
    """Where the log is, whether it holds the texts of movies, and how many bytes all of its files may take."""

    folder: Path
    texts: bool = False
    limit: int = MEGABYTES << 20
