"""movie_ratings.json: what a checkpoint folder knows beyond its weights and tokenizer."""

import subprocess
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

from movie_ratings.core import checks, storage
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import Answering, Answerings, Calibration, Decision, Rule
from movie_ratings.model.head import OUTPUTS, Head, Objective
from movie_ratings.model.linear import read_thresholds
from movie_ratings.model.rating import Interval
from movie_ratings.movies.labels import CLASSES, Thresholds
from movie_ratings.movies.text import FIELDS, FORMAT, NAMES, TextFormat

FILE: Final = "movie_ratings.json"
LONGEST: Final = 1 << 20  # tokens of a text; no model reads so many
CODE: Final = ("stages", "movie_ratings", "params.yaml")  # what a training depends on, besides its data


@dataclass(frozen=True)
class Metadata:
    """Everything that turns a movie into this checkpoint's answer, and where the checkpoint came from."""

    thresholds: Thresholds
    text: TextFormat
    head: Head
    answerings: Answerings
    base_rates: tuple[float, ...]  # the classes' shares of the training split (classes,)
    origin: dict[str, Any]  # base model, parameters, data hashes, git revision
    names: tuple[str, ...] = ()  # the fields that the linear part reads beside those of the text
    has_records: bool = False  # whether the linear part reads track records

    @property
    def has_linear(self) -> bool:
        """Whether a linear part answers beside the transformer."""
        return len(self.answerings.facts.calibration.scales) > 1

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that the model reads."""
        return (*self.text.fields, *self.names)


def write(folder: Path, metadata: Metadata) -> None:
    """Put the metadata into a checkpoint folder."""
    storage.write_json(folder / FILE, {"classes": list(CLASSES), "text_format": FORMAT} | asdict(metadata))


def read(folder: str | Path) -> Metadata:
    """Read the metadata of a checkpoint folder.

    Raises:
        UserError: the folder or the file is missing; a value in the file is missing, is not finite, or has another type
            or length than it should; or the text format or the classes are not this code's.
    """
    path = Path(folder, FILE)
    if not Path(folder).is_dir():
        raise UserError(f"{folder}: no such checkpoint folder; train one with `dvc repro` or get one with `dvc pull`")
    found = storage.read_json(path)
    try:
        return _metadata(checks.mapping(found, "the file"), path)
    except ValueError as error:
        raise UserError(f"{path}: not a checkpoint's metadata ({error})") from None


def _metadata(found: dict[str, Any], path: Path) -> Metadata:
    if (written := checks.part(found, "text_format")) != FORMAT:
        raise UserError(f"{path}: text format {checks.shortened(written)}, this code writes {FORMAT}; train it anew")
    if (classes := checks.part(found, "classes")) != list(CLASSES):
        raise UserError(f"{path}: classes {checks.shortened(classes)}, expected {list(CLASSES)}")
    text = checks.mapping(checks.part(found, "text"), "text")
    head = checks.mapping(checks.part(found, "head"), "head")
    answerings = checks.mapping(checks.part(found, "answerings"), "answerings")
    facts, plot = (_answering(answerings, kind) for kind in ("facts", "plot"))
    if len(facts.calibration.scales) != len(plot.calibration.scales):
        raise ValueError("answerings.facts and answerings.plot have different numbers of scales")
    return Metadata(
        thresholds=read_thresholds(checks.part(found, "thresholds")),
        text=TextFormat(
            checks.choices(checks.part(text, "fields", "text"), "text.fields", FIELDS),
            checks.whole(checks.part(text, "max_length", "text"), "text.max_length", 1, LONGEST),
        ),
        head=Head(
            cast(Objective, checks.choice(checks.part(head, "objective", "head"), "head.objective", list(OUTPUTS))),
            checks.finite(checks.part(head, "mean", "head"), "head.mean"),
            checks.finite(checks.part(head, "std", "head"), "head.std", least=0),
        ),
        answerings=Answerings(facts, plot),
        base_rates=_shares(checks.part(found, "base_rates")),
        origin=checks.mapping(checks.part(found, "origin"), "origin"),
        # A model of before these were read has neither.
        names=checks.choices(found["names"], "names", NAMES) if found.get("names") else (),
        has_records=checks.flag(found.get("has_records", False), "has_records"),
    )


def _answering(found: dict[str, Any], kind: str) -> Answering:
    place = f"answerings.{kind}"
    how = checks.mapping(checks.part(found, kind, "answerings"), place)
    calibration = checks.mapping(checks.part(how, "calibration", place), f"{place}.calibration")
    decision = checks.mapping(checks.part(how, "decision", place), f"{place}.decision")

    def vector(values: dict[str, Any], inside: str, name: str, lengths: Collection[int]) -> tuple[float, ...]:
        return checks.vector(checks.part(values, name, inside), f"{inside}.{name}", lengths)

    rule = checks.part(decision, "rule", f"{place}.decision")
    strength = checks.part(decision, "strength", f"{place}.decision")
    return Answering(
        Calibration(
            vector(calibration, f"{place}.calibration", "scales", (1, 2)),  # the transformer's, the linear part's
            vector(calibration, f"{place}.calibration", "bias", (len(CLASSES),)),
        ),
        Decision(
            cast(Rule, checks.choice(rule, f"{place}.decision.rule", get_args(Rule))),
            checks.finite(strength, f"{place}.decision.strength"),
            vector(decision, f"{place}.decision", "offsets", (len(CLASSES),)),
        ),
        _interval(checks.part(how, "interval", place), f"{place}.interval"),
    )


def _interval(found: Any, place: str) -> Interval:
    ends = checks.mapping(found, place)
    low, high = (checks.finite(checks.part(ends, name, place), f"{place}.{name}") for name in ("low", "high"))
    if not low <= high:
        raise ValueError(f"{place}.low must not be above {place}.high, found {low:g} and {high:g}")
    return Interval(low, high)


def _shares(found: Any) -> tuple[float, ...]:
    shares = checks.vector(found, "base_rates", (len(CLASSES),))
    for place, share in enumerate(shares):
        checks.positive(share, f"base_rates[{place}]")  # probabilities are divided by them
    return shares


def git_revision() -> str | None:
    """The commit of the code, with ``-dirty`` where code or parameters differ from it; None outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", *CODE) else "")
    except (OSError, subprocess.CalledProcessError):
        return None
