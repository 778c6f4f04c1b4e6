"""movie_ratings.json: what a checkpoint folder knows beyond its weights and tokenizer."""

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import Answering, Answerings, Calibration, Decision
from movie_ratings.model.head import Head
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.movies.text import FORMAT, TextFormat

FILE: Final = "movie_ratings.json"
CODE: Final = ("stages", "movie_ratings", "params.yaml")  # what a training depends on, besides its data


@dataclass(frozen=True)
class Metadata:
    """Everything that turns a movie into this checkpoint's answer, and where the checkpoint came from."""

    thresholds: Thresholds
    text: TextFormat
    head: Head
    answerings: Answerings
    origin: dict[str, Any]  # base model, parameters, data hashes, git revision

    @property
    def has_linear(self) -> bool:
        """Whether a linear part answers beside the transformer."""
        return len(self.answerings.facts.calibration.scales) > 1


def write(folder: Path, metadata: Metadata) -> None:
    """Put the metadata into a checkpoint folder."""
    storage.write_json(folder / FILE, {"classes": list(CLASSES), "text_format": FORMAT} | asdict(metadata))


def read(folder: str | Path) -> Metadata:
    """Read the metadata of a checkpoint folder.

    Raises:
        UserError: the folder or the file is missing or broken, or its text format or classes are not this code's.
    """
    path = Path(folder, FILE)
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such checkpoint folder; train one with `dvc repro` or get one with `dvc pull`")
    found = storage.read_json(path)
    try:
        if found["text_format"] != FORMAT:
            raise UserError(f"{path}: text format {found['text_format']}, this code writes {FORMAT}; train it anew")
        if found["classes"] != list(CLASSES):
            raise UserError(f"{path}: classes {found['classes']}, expected {list(CLASSES)}")
        return Metadata(
            thresholds=Thresholds(**found["thresholds"]),
            text=TextFormat(tuple(found["text"]["fields"]), found["text"]["max_length"]),
            head=Head(**found["head"]),
            answerings=Answerings(**{kind: _answering(how) for kind, how in found["answerings"].items()}),
            origin=found["origin"],
        )
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not a checkpoint's metadata ({error})") from None


def _answering(found: dict[str, Any]) -> Answering:
    calibration, decision = found["calibration"], found["decision"]
    return Answering(
        Calibration(tuple(calibration["scales"]), tuple(calibration["bias"])),
        Decision(decision["rule"], decision["strength"], tuple(decision["offsets"])),
    )


def git_revision() -> str | None:
    """The commit of the code, with ``-dirty`` where code or parameters differ from it; None outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", *CODE) else "")
    except (OSError, subprocess.CalledProcessError):
        return None
