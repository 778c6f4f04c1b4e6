"""The last layer computed for the first token alone, by which BERT and its relatives classify.

Behind its attention, a layer computes each token by itself, and the classification head reads the first token of the
last layer. The other tokens change neither the outputs nor a gradient. `training.graph.keep_first_token` does the same
to the served graph.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Final

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel

from movie_ratings.training.encoder import evaluating, layers_of, probe

# Modules in a layer of BERT, RoBERTa, ELECTRA, DeBERTa and models made like them.
ATTENTION: Final = "attention.self"
BEHIND_ATTENTION: Final = "attention.output"
TOLERANCE: Final = 1e-5  # between the outputs with all tokens and with the first one, relative to their size


@contextlib.contextmanager
def keep_first_token(model: PreTrainedModel) -> Iterator[None]:
    """Let the last layer of ``model`` compute the first token alone, where this leaves the outputs as they are.

    A model whose layers have other names, or whose head reads other tokens, computes all tokens as before. Dropout
    draws as many random numbers as for all tokens, so that a seed trains the same model.
    """
    layers = layers_of(model)
    if not layers or not _leaves_the_outputs(model, layers[-1]):
        yield
        return
    with _first_token_of(layers[-1]):
        yield


def _leaves_the_outputs(model: PreTrainedModel, layer: nn.Module) -> bool:
    ids, mask = probe(model)
    with evaluating(model), torch.inference_mode():
        whole = model(input_ids=ids, attention_mask=mask).logits
        try:
            with _first_token_of(layer):
                part = model(input_ids=ids, attention_mask=mask).logits
        # No module has this name, or a later step needs all tokens.
        except (AttributeError, IndexError, RuntimeError):
            return False
    return torch.allclose(part, whole, rtol=TOLERANCE, atol=TOLERANCE * float(whole.abs().max()))


@contextlib.contextmanager
def _first_token_of(layer: nn.Module) -> Iterator[None]:
    """Cut what ``layer`` computes behind its attention, of shape (rows, tokens, width), to the first token."""
    tokens = 0

    def cut(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        nonlocal tokens
        tokens = inputs[0].shape[1]
        return tuple(tensor[:, :1] for tensor in inputs)

    def dropout(module: nn.Dropout, inputs: torch.Tensor) -> torch.Tensor:
        rows, _, width = inputs.shape
        return inputs * functional.dropout(inputs.new_ones(rows, tokens, width), module.p, module.training)[:, :1]

    dropouts = [
        module
        for name, module in layer.named_modules()
        if isinstance(module, nn.Dropout) and not name.startswith(ATTENTION)
    ]
    hook = layer.get_submodule(BEHIND_ATTENTION).register_forward_pre_hook(cut)
    try:
        for module in dropouts:
            module.__dict__["forward"] = partial(dropout, module)
        yield
    finally:
        hook.remove()
        for module in dropouts:
            module.__dict__.pop("forward", None)
