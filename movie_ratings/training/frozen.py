"""Frozen lower layers: their weights stay as they are, and their output is computed once instead of once an epoch.

A model is cut in front of the first layer that is trained. The hidden states that enter this layer, the *features*, are
written to a memory-mapped file. Training runs the model's own forward pass: the frozen layers pass their input on, and
the last of them returns the features. The cut needs no knowledge of an architecture beyond its list of layers. Frozen
layers run without dropout.
"""

import contextlib
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedModel

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.model.batches import Ids, by_length, pad
from movie_ratings.training.encoder import base, evaluating, layers_of, probe

FEATURES = "features"  # the keyword of a batch under which `upper_part` takes the hidden states
TOLERANCE = 1e-5  # between the logits of the whole model and of its upper part, relative to their size


def freeze(model: PreTrainedModel, layers: int) -> None:
    """Stop the gradients of every parameter that the input of layer ``layers`` depends on, the lowest layer being 0.

    These are the embeddings, the lower layers, and what upper layers share with them, such as DeBERTa's table of
    relative positions: a step on that table would change the output of the frozen layers.

    Raises:
        UserError: the model has no list of layers that can be cut there, or its upper part computes something else than
            the whole model.
    """
    stack = _layers(model)
    if layers >= len(stack):
        raise UserError(f"train.freeze_layers: {layers} of {len(stack)} layers leave none to train")
    ids, mask = probe(model)
    try:
        with evaluating(model), torch.enable_grad():
            used = torch.autograd.grad(
                _features(model, layers, ids, mask).sum(), list(model.parameters()), allow_unused=True
            )
        with evaluating(model), torch.inference_mode():
            whole = model(input_ids=ids, attention_mask=mask).logits
            features = _features(model, layers, ids, mask)
            with upper_part(model, layers):
                part = model(input_ids=ids, attention_mask=mask, **{FEATURES: features}).logits
    # An architecture can fail in as many ways as there are forward passes; each means that this cut is not possible.
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _uncuttable(model, first_line(error)) from None
    if not torch.allclose(part, whole, rtol=TOLERANCE, atol=TOLERANCE * float(whole.abs().max())):
        raise _uncuttable(model, "its upper layers compute something else alone")
    for parameter, gradient in zip(model.parameters(), used, strict=True):
        parameter.requires_grad = gradient is None


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
    """Run the frozen layers once over every row and keep their output at ``path``, unless the file exists already.

    Raises:
        UserError: the disk is too full.
    """
    lengths = [len(ids) for ids in input_ids]
    if not path.exists():
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        shape = (int(offsets[-1]), int(model.config.hidden_size))
        require_room(path.parent, 2 * shape[0] * shape[1])
        with storage.whole(path) as temporary, evaluating(model), torch.inference_mode():
            states = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float16, shape=shape)
            reserve(temporary)
            with tqdm(total=len(input_ids), desc="frozen layers", unit=" movies") as progress:
                for rows in by_length(lengths):
                    tables = pad([input_ids[row] for row in rows], pad_id)
                    ids, mask = (torch.from_numpy(table).to(model.device) for table in tables)
                    hidden = _features(model, layers, ids, mask).to(torch.float16).cpu().numpy()
                    for row, output in zip(rows, hidden, strict=True):
                        states[offsets[row] : offsets[row + 1]] = output[: lengths[row]]
                    progress.update(len(rows))
            states.flush()
    return Features(path, lengths)


def require_room(folder: Path, size: int) -> None:
    """Refuse to fill the disk that ``folder`` is on with ``size`` bytes of hidden states.

    Raises:
        UserError: less than that is free.
    """
    free = shutil.disk_usage(folder).free
    if size > free:
        raise _no_room(folder, size, free)


def reserve(path: Path) -> None:
    """Take the disk space of a file of the size it has: a write through a memory map to a full disk kills the process.

    Raises:
        UserError: the disk, or what a quota leaves of the disk, is too full.
    """
    size = path.stat().st_size
    try:
        storage.reserve(path, size)
    except OSError:
        raise _no_room(path.parent, size, shutil.disk_usage(path.parent).free) from None


@contextlib.contextmanager
def upper_part(model: PreTrainedModel, layers: int) -> Iterator[None]:
    """Let ``model`` take hidden states as the keyword ``features`` and run only the layers from ``layers`` on.

    ``features`` has shape (rows, tokens, hidden size), as `Features` returns them. Token ids and attention mask are
    needed as always. Dropout of frozen modules is off, so that they draw no random numbers.
    """
    stack = _layers(model)
    given = threading.local()  # DataParallel runs a copy of the model in each of several threads
    others = _outputs_beside_hidden_states(model, stack[0])
    trained = {module for layer in stack[layers:] for module in layer.modules()}
    silenced = [m for m in base(model).modules() if isinstance(m, nn.Dropout) and m not in trained]

    def take(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        given.features = kwargs.pop(FEATURES)
        return args, kwargs

    def pass_on(*args: Any, **kwargs: Any) -> Any:
        hidden = _hidden(args, kwargs)
        return hidden if others is None else (hidden, *others)

    def pass_features(*args: Any, **kwargs: Any) -> Any:
        hidden, features = _hidden(args, kwargs), given.features
        if hidden.shape[1] > features.shape[1]:  # Longformer pads to a multiple of its window
            features = torch.cat([features, hidden[:, features.shape[1] :].to(features.dtype)], dim=1)
        return features if others is None else (features, *others)

    rates = [module.p for module in silenced]
    hook = model.register_forward_pre_hook(take, with_kwargs=True)
    try:
        for module in silenced:
            module.p = 0.0
        for layer in stack[: layers - 1]:
            layer.forward = pass_on
        stack[layers - 1].forward = pass_features
        yield
    finally:
        hook.remove()
        for layer in stack[:layers]:
            layer.__dict__.pop("forward", None)
        for module, rate in zip(silenced, rates, strict=True):
            module.p = rate


class _Reached(Exception):  # noqa: N818  (no error: the way out of a forward pass)
    def __init__(self, hidden: torch.Tensor):
        self.hidden = hidden


def _features(model: PreTrainedModel, layers: int, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The hidden states that enter layer ``layers``, shape (rows, tokens, hidden size); no later layer runs."""

    def stop(_: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        raise _Reached(_hidden(args, kwargs))

    hook = _layers(model)[layers].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(input_ids=ids, attention_mask=mask)
    except _Reached as reached:
        return reached.hidden
    finally:
        hook.remove()
    raise ValueError("its forward pass does not call its layers")


def _outputs_beside_hidden_states(model: PreTrainedModel, layer: nn.Module) -> list[None] | None:
    """Stand-ins for what a layer returns beside hidden states; None where it returns these alone and no tuple."""
    found: list[Any] = []
    hook = layer.register_forward_hook(lambda _, __, output: found.append(output))
    ids, mask = probe(model)
    try:
        with evaluating(model), torch.no_grad():
            model(input_ids=ids, attention_mask=mask)
    finally:
        hook.remove()
    return None if isinstance(found[0], torch.Tensor) else [None] * (len(found[0]) - 1)


def _hidden(args: Sequence[Any], kwargs: dict[str, Any]) -> torch.Tensor:
    hidden: torch.Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden


def _layers(model: PreTrainedModel) -> nn.ModuleList:
    found = layers_of(model)
    if found is None:
        raise _uncuttable(model, "no list of its layers was found")
    return found


def _uncuttable(model: PreTrainedModel, reason: str) -> UserError:
    return UserError(f"train.freeze_layers: {type(model).__name__} cannot be run in two parts ({reason}); set it to 0")


def _no_room(folder: Path, size: int, free: int) -> UserError:
    return UserError(
        f"train.freeze_layers: the output of the frozen layers takes {size / 1e9:,.1f} GB in {folder}, where "
        f"{free / 1e9:,.1f} GB are free; set it to 0, which trains all layers and stores nothing"
    )
