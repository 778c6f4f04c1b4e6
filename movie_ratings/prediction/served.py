"""The served folder: model.onnx, tokenizer.json, linear.json, and movie_ratings.json with the hashes of the others.

No file of such a folder is executed: ONNX Runtime reads the graph, and the other files are JSON. Because a folder can
come from an untrusted place, its files are checked before they are read.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.model import checkpoint, linear

GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
LARGEST: Final = {GRAPH: 8 << 30, TOKENIZER: 64 << 20, linear.FILE: 256 << 20, checkpoint.FILE: 1 << 20}  # bytes

Variant = Literal["fp32", "int8"]


@dataclass(frozen=True)
class Served:
    """The contents of a served folder's metadata: those of the checkpoint, the variant of the graph, and the version.

    ``version`` is a hash of the folder's content, that is of the metadata, which hold the hashes of the other files.
    """

    metadata: checkpoint.Metadata
    variant: Variant
    validation: dict[str, Any]  # figures of this variant on the validation split
    pad_id: int
    version: str


def write(folder: Path, source: Path, graph: Path, variant: Variant, pad_id: int) -> None:
    """Make ``folder`` from the checkpoint folder ``source`` and the ONNX file ``graph``."""
    folder.mkdir(parents=True)
    shutil.copyfile(graph, folder / GRAPH)
    names = _names(checkpoint.read(source))
    for name in names[1:]:
        shutil.copyfile(source / name, folder / name)
    hashes = {name: storage.sha256(folder / name) for name in names}
    metadata = storage.read_json(source / checkpoint.FILE)
    served = {"variant": variant, "pad_id": pad_id, "sha256": hashes}
    storage.write_json(folder / checkpoint.FILE, metadata | {"served": served})


def record_validation(folder: Path, figures: dict[str, Any]) -> None:
    """Add the model's figures on the validation split to the metadata of ``folder``."""
    metadata = storage.read_json(folder / checkpoint.FILE)
    metadata["served"]["validation"] = figures
    storage.write_json(folder / checkpoint.FILE, metadata)


def read(folder: str | Path) -> Served:
    """Read and check a served folder.

    Raises:
        UserError: a file is missing, is a link, is too large, or differs from the hash in the metadata.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such model; make one with `dvc repro` or get one with `dvc pull`")
    _check(folder / checkpoint.FILE)
    metadata = checkpoint.read(folder)
    names = _names(metadata)
    for name in names:
        _check(folder / name)
    found = storage.read_json(folder / checkpoint.FILE)
    try:
        served: dict[str, Any] = found["served"]
        variant, pad_id, hashes = served["variant"], int(served["pad_id"]), dict(served["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / checkpoint.FILE}: not the metadata of a served model ({error!r})") from None
    for name in names:
        if storage.sha256(folder / name) != hashes.get(name):
            raise UserError(f"{folder / name}: not the file that {checkpoint.FILE} names: damaged, or of another model")
    return Served(metadata, variant, served.get("validation", {}), pad_id, _version(found))


def _names(metadata: checkpoint.Metadata) -> list[str]:
    """The files beside the metadata."""
    return [GRAPH, TOKENIZER, *([linear.FILE] if metadata.has_linear else [])]


def _check(path: Path) -> None:
    if path.is_symlink():
        raise UserError(f"{path}: a link, which could lead anywhere; give the folder the file itself")
    if not path.is_file():
        raise UserError(f"{path}: no such file; `dvc repro export` makes the whole folder")
    if path.stat().st_size > LARGEST[path.name]:
        raise UserError(f"{path}: {path.stat().st_size:,} bytes, no model needs more than {LARGEST[path.name]:,}")


def _version(metadata: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()[:12]
