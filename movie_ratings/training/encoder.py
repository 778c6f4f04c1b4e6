"""The encoder of a model of the transformers library: its list of layers, and small inputs to try it with."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from transformers import PreTrainedModel


def base(model: PreTrainedModel) -> nn.Module:
    """The encoder without its classification head."""
    found: nn.Module = getattr(model, model.base_model_prefix)
    return found


def layers_of(model: PreTrainedModel) -> nn.ModuleList | None:
    """The list of the model's layers, the lowest one first; None if no list of them is found."""
    for module in base(model).modules():
        for child in module.children():
            if isinstance(child, nn.ModuleList) and len(child) == model.config.num_hidden_layers:
                return child
    return None


def probe(model: PreTrainedModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of two short rows of unlike length."""
    ids = torch.arange(16, device=model.device).reshape(2, 8) % int(model.config.vocab_size)
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask


@contextlib.contextmanager
def evaluating(model: PreTrainedModel) -> Iterator[None]:
    """Turn dropout off, and at the end on again if it was on."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
