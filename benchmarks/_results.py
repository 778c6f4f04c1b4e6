"""The files of benchmarks/results: what a benchmark has found, with the processor that it ran on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import _processor
from movie_ratings.core import storage

FOLDER: Final = Path("benchmarks/results")


def path(name: str) -> Path:
    """The file of a benchmark's results."""
    return FOLDER / f"{name}.json"


def read(name: str) -> dict[str, Any]:
    """Results of an earlier run, for a benchmark whose parts can be run one by one; empty if there are none."""
    found: dict[str, Any] = storage.read_json(path(name)) if path(name).exists() else {}
    return found


def write(name: str, found: Mapping[str, Any]) -> None:
    """Write the results of a benchmark, with the processor."""
    storage.write_json(path(name), {**found, "processor": _processor.described()})
