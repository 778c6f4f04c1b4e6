"""The weights to start from, and those of a trained checkpoint, each with its tokenizer."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.labels import CLASSES
from movie_ratings.training.named_model import from_pretrained, load_tokenizer, locate

# A tokenizer without its files has special tokens alone; a complete one has about as many tokens as embeddings.
LEAST_TOKENS: Final = 0.5  # share of the embeddings that must have a token


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


def load_model(name: str, seed: int, outputs: Sequence[str] = CLASSES) -> PreTrainedModel:
    """A sequence classifier with the weights of ``model.name`` and a new head of ``outputs`` drawn from ``seed``.

    The weights are float32 whatever the file holds: DeBERTaV3's is float16, in which an optimizer's small steps
    vanish.

    Raises:
        UserError: it cannot be loaded.
    """
    transformers.set_seed(seed)
    labels = dict(enumerate(outputs))
    model: PreTrainedModel = from_pretrained(
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
    model: PreTrainedModel = from_pretrained(AutoModelForSequenceClassification, place, dtype=torch.float32)
    tokenizer = load_tokenizer(place)
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
