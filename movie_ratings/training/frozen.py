"""Frozen lower layers: they keep their pretrained weights, and their output is computed once, not in every epoch.

The hidden states of the highest frozen layer are written to a memory-mapped file. Training reads them from there and
runs the layers above alone. Frozen layers run without dropout.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.model.batches import Ids, by_length, pad


def freeze(model: PreTrainedModel, layers: int) -> None:
    """Stop the gradients of the embeddings, the lowest ``layers`` encoder layers and the parameters that they share.

    Position tables that every layer reads (DeBERTa's) are frozen too: training them would change the output of the
    frozen layers.

    Raises:
        UserError: the model has no more layers than that, or none that can be found.
    """
    encoder, _, stack = _encoder(model)
    if layers >= len(stack):
        raise UserError(f"train.freeze_layers: {layers} of {len(stack)} layers leave none to train")
    for parameter in (*base(model).get_submodule("embeddings").parameters(), *encoder.parameters()):
        parameter.requires_grad = False
    for layer in stack[layers:]:
        for parameter in layer.parameters():
            parameter.requires_grad = True


class Features:
    """Hidden states of many rows, one after another in a memory-mapped float16 file of shape (tokens, hidden size)."""

    def __init__(self, path: Path, lengths: Sequence[int]):
        self._states = np.load(path, mmap_mode="r")
        self._offsets = np.concatenate([[0], np.cumsum(lengths)])

    def __getitem__(self, row: int) -> npt.NDArray[np.float32]:
        """The hidden states of a row, shape (tokens, hidden size)."""
        states: npt.NDArray[np.float32] = self._states[self._offsets[row] : self._offsets[row + 1]].astype(np.float32)
        return states


def compute_features(
    model: PreTrainedModel, layers: int, input_ids: Sequence[Ids], pad_id: int, path: Path
) -> Features:
    """Run the frozen layers over every row and write their output to ``path``, unless this file exists already."""
    lengths = [len(ids) for ids in input_ids]
    if not path.exists():
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shape = (int(offsets[-1]), model.config.hidden_size)
        require_room(path.parent, 2 * shape[0] * shape[1])
        with storage.whole(path) as temporary, _lower_part(model, layers), torch.inference_mode():
            states = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            model.eval()
            with tqdm(total=len(input_ids), desc="frozen layers", unit=" movies") as progress:
                for rows in by_length(lengths):
                    ids, mask = pad([input_ids[row] for row in rows], pad_id)
                    hidden = base(model)(
                        input_ids=torch.from_numpy(ids).to(model.device),
                        attention_mask=torch.from_numpy(mask).to(model.device),
                    )[0]
                    for row, output in zip(rows, hidden.to(torch.float16).cpu().numpy(), strict=True):
                        states[offsets[row] : offsets[row + 1]] = output[: lengths[row]]
                    progress.update(len(rows))
            states.flush()
    return Features(path, lengths)


def require_room(folder: Path, size: int) -> None:
    """Check that the disk of ``folder`` has room for ``size`` bytes of hidden states.

    Raises:
        UserError: less than that is free.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UserError(
            f"train.freeze_layers: the output of the frozen layers takes {size / 1e9:,.0f} GB in {folder}, where "
            f"{free / 1e9:,.0f} GB are free; set it to 0, which trains all layers and stores no output"
        )


@contextlib.contextmanager
def upper_part(model: PreTrainedModel, layers: int) -> Iterator[None]:
    """In this context, ``model`` reads hidden states of `Features` as ``inputs_embeds`` and runs the layers above."""
    encoder, name, stack = _encoder(model)
    embeddings = base(model).embeddings
    base(model).embeddings = _Passthrough()
    setattr(encoder, name, stack[layers:])
    try:
        yield
    finally:
        base(model).embeddings = embeddings
        setattr(encoder, name, stack)


@contextlib.contextmanager
def _lower_part(model: PreTrainedModel, layers: int) -> Iterator[None]:
    encoder, name, stack = _encoder(model)
    setattr(encoder, name, stack[:layers])
    try:
        yield
    finally:
        setattr(encoder, name, stack)


class _Passthrough(nn.Module):
    """Takes the place of the embeddings and returns its input, which is a hidden state already."""

    def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> torch.Tensor:
        return inputs_embeds


def base(model: PreTrainedModel) -> nn.Module:
    """The encoder without its classification head."""
    found: nn.Module = getattr(model, model.base_model_prefix)
    return found


def _encoder(model: PreTrainedModel) -> tuple[nn.Module, str, nn.ModuleList]:
    """The module that holds the stack of layers, the stack's name in it, and the stack."""
    for owner in base(model).modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == model.config.num_hidden_layers:
                return owner, name, child
    raise UserError(f"train.freeze_layers: no stack of layers found in {type(model).__name__}; set it to 0")
