"""The served folder: model.onnx, tokenizer.json, linear.json, track_records.npy, and movie_ratings.json with hashes.

A model over 2 GB has its weights in model.onnx.data, because a graph is one message of less than that. The folder may
hold comparable films too (comparables.parquet). No prediction depends on them, so that the version does not either: the
folder is published without them.

No file of such a folder is executed: ONNX Runtime reads the graph, and the other files are JSON. Because a folder can
come from an untrusted place, its files are checked before they are read. The folder holds no other file than those that
movie_ratings.json names: a graph can read its weights from any file beside it, and each file that a prediction depends
on must be in the version. A published folder also holds the files of the transformer and a card, which the graph must
not name.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from movie_ratings.core import checks, storage
from movie_ratings.core.errors import UserError
from movie_ratings.model import checkpoint, comparables, linear, track_records
from movie_ratings.model.comparables import Comparables

GRAPH: Final = "model.onnx"
WEIGHTS: Final = "model.onnx.data"  # beside the graph of a model over 2 GB
TOKENIZER: Final = "tokenizer.json"
LARGEST: Final = {
    GRAPH: 8 << 30,
    TOKENIZER: 64 << 20,
    linear.FILE: 256 << 20,
    checkpoint.FILE: 1 << 20,
    track_records.FILE: 256 << 20,
    comparables.FILE: 64 << 20,
}  # bytes
LARGEST_WEIGHTS: Final = 64 << 30  # bytes of a file of weights outside the graph
# What a folder from the Hugging Face hub holds beside the served files; no prediction reads any of it.
PUBLISHED: Final = frozenset(
    (
        "README.md", "config.json", "model.safetensors", "tokenizer_config.json", "special_tokens_map.json",
        ".gitattributes", ".cache",
    )
)  # fmt: skip
CHUNK: Final = 16 << 20  # bytes of a graph that are searched at a time

# The name of a file in DVC's cache. With `cache.type symlink`, DVC fills an output with links to such files.
CACHED: Final = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
SHA256: Final = re.compile(r"[0-9a-f]{64}")

Variant = Literal["fp32", "int8"]


@dataclass(frozen=True)
class Served:
    """The contents of a served folder's metadata: those of the checkpoint, the variant of the graph, and the version.

    ``version`` is a hash of the folder's content, that is of the metadata, which hold the hashes of the other files. It
    does not depend on the comparable films.
    """

    metadata: checkpoint.Metadata
    variant: Variant
    validation: dict[str, Any]  # figures of this variant on the validation split
    pad_id: int
    version: str
    weights: tuple[str, ...] = ()  # files that the graph reads its weights from, in the folder
    bf16: bool = False  # whether the export stage found products in bf16 to predict nearly the same as fp32
    has_comparables: bool = False


def write(folder: Path, source: Path, graph: Path, variant: Variant, pad_id: int, weights: Sequence[Path] = ()) -> None:
    """Make ``folder`` from the checkpoint folder ``source`` and the ONNX file ``graph``.

    ``weights`` are the files that the graph names as external data; they keep their names, which the graph holds.
    """
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / GRAPH)
    for path in weights:
        shutil.copyfile(path, folder / path.name)
    names = _names(checkpoint.read(source))
    for name in names[1:]:
        shutil.copyfile(source / name, folder / name)
    hashes = {name: storage.sha256(folder / name) for name in [*names, *(path.name for path in weights)]}
    metadata = storage.read_json(source / checkpoint.FILE)
    served = {"variant": variant, "pad_id": pad_id, "sha256": hashes}
    storage.write_json(folder / checkpoint.FILE, metadata | {"served": served})


def record_validation(folder: Path, figures: dict[str, Any]) -> None:
    """Add the model's figures on the validation split to the metadata of ``folder``."""
    metadata = storage.read_json(folder / checkpoint.FILE)
    metadata["served"]["validation"] = figures
    storage.write_json(folder / checkpoint.FILE, metadata)


def allow_bf16(folder: Path) -> None:
    """Record in ``folder`` that its graph predicts nearly the same with products in bf16."""
    metadata = storage.read_json(folder / checkpoint.FILE)
    metadata["served"]["bf16"] = True
    storage.write_json(folder / checkpoint.FILE, metadata)


def add_comparables(folder: Path, films: Comparables) -> None:
    """Put comparable films into ``folder``."""
    comparables.write(folder, films)
    metadata = storage.read_json(folder / checkpoint.FILE)
    metadata["served"]["sha256"][comparables.FILE] = storage.sha256(folder / comparables.FILE)
    storage.write_json(folder / checkpoint.FILE, metadata)


def leave_out_comparables(folder: Path) -> None:
    """Remove the comparable films from ``folder``, if it has any. The version stays the same."""
    metadata = storage.read_json(folder / checkpoint.FILE)
    if metadata["served"]["sha256"].pop(comparables.FILE, None):
        storage.write_json(folder / checkpoint.FILE, metadata)
        (folder / comparables.FILE).unlink(missing_ok=True)


def read(folder: str | Path) -> Served:
    """Read and check a served folder.

    Raises:
        UserError: a file is missing, is too large, is a link that leaves the folder and DVC's cache, differs from the
            hash in the metadata, or is not named there; or a value in the metadata cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model; make one with `dvc repro` or get one with `dvc pull`")
    path = folder / checkpoint.FILE
    _check(path)
    metadata = checkpoint.read(folder)
    found: dict[str, Any] = storage.read_json(path)
    try:
        served = checks.mapping(checks.part(found, "served"), "served")
        variant = checks.choice(checks.part(served, "variant", "served"), "served.variant", get_args(Variant))
        pad_id = checks.whole(checks.part(served, "pad_id", "served"), "served.pad_id", 0, (1 << 31) - 1)
        hashes = _hashes(checks.part(served, "sha256", "served"), _names(metadata))
        validation = _validation(served.get("validation", {}))
        bf16 = checks.flag(served.get("bf16", False), "served.bf16")
        version = _version(found)
    except ValueError as error:
        raise UserError(f"{path}: not the metadata of a served model ({error})") from None
    for name in hashes:
        _check(folder / name)
    others = {path.name for path in folder.iterdir()} - hashes.keys() - {checkpoint.FILE}
    for name in sorted(others):
        if name not in PUBLISHED or occurs(name.encode(), folder / GRAPH):
            raise UserError(f"{folder / name}: {checkpoint.FILE} does not name this file; move it out of the folder")
    for name, expected in hashes.items():
        if storage.sha256(folder / name) != expected:
            raise UserError(f"{folder / name}: not the file that {checkpoint.FILE} names: damaged, or of another model")
    weights = tuple(name for name in hashes if name not in LARGEST)
    has_comparables = comparables.FILE in hashes
    return Served(metadata, cast(Variant, variant), validation, pad_id, version, weights, bf16, has_comparables)


def _names(metadata: checkpoint.Metadata) -> list[str]:
    """The files that every model of this kind has beside the metadata."""
    linear_part = [linear.FILE, *([track_records.FILE] if metadata.has_records else [])]
    return [GRAPH, TOKENIZER, *(linear_part if metadata.has_linear else [])]


def _hashes(found: Any, needed: Sequence[str]) -> dict[str, str]:
    """The hash of each file: of the ``needed`` ones, and of files with weights that the graph reads."""
    hashes = checks.mapping(found, "served.sha256")
    for name in needed:
        checks.part(hashes, name, "served.sha256")
    for name, value in hashes.items():
        # A name without a path: the file is in the folder itself.
        if not name or Path(name).name != name or "\0" in name or name == checkpoint.FILE:
            raise ValueError(f"served.sha256 names {checks.shortened(name)}, which is no file of this folder")
        if not isinstance(value, str) or not SHA256.fullmatch(value):
            raise ValueError(f"served.sha256.{name} must be 64 hexadecimal digits, found {checks.shortened(value)}")
    return hashes


def _validation(found: Any) -> dict[str, Any]:
    """The figures on the validation split; none in a folder that the export stage has not compared yet."""
    figures = checks.mapping(found, "served.validation")
    if figures:
        checks.whole(checks.part(figures, "rows", "served.validation"), "served.validation.rows", 0, 1 << 40)
        for name in ("balanced_accuracy", "macro_f1"):
            checks.finite(checks.part(figures, name, "served.validation"), f"served.validation.{name}")
    return figures


def occurs(text: bytes, path: Path) -> bool:
    """Whether a file holds these bytes. A graph that reads weights from another file holds the name of that file."""
    end = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            if text in end + chunk:
                return True
            end = chunk[-len(text) :]
    return False


def _check(path: Path) -> None:
    if path.is_symlink():
        target = path.resolve()
        # Where a link may lead is limited, although each file is compared with its hash: movie_ratings.json has none.
        if target.parent != path.parent.resolve() and not CACHED.search(target.as_posix()):
            raise UserError(
                f"{path}: a link, which could lead anywhere but to DVC's cache; give the folder the file itself"
            )
    if not path.is_file():
        raise UserError(f"{path}: no such file; `dvc repro export` makes the whole folder")
    largest = LARGEST.get(path.name, LARGEST_WEIGHTS)
    if path.stat().st_size > largest:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes, no model needs more than {largest:,}")


def _version(metadata: dict[str, Any]) -> str:
    """The version; a ValueError where the metadata hold a number or a text that no JSON response can hold."""
    json.dumps(metadata, ensure_ascii=False).encode()  # fails on half of a surrogate pair
    hashes = {name: value for name, value in metadata["served"]["sha256"].items() if name != comparables.FILE}
    metadata = metadata | {"served": metadata["served"] | {"sha256": hashes}}
    return hashlib.sha256(json.dumps(metadata, sort_keys=True, allow_nan=False).encode()).hexdigest()[:12]
