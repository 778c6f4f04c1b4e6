"""The last layer computed for the first token alone, by which BERT and its relatives classify.

Behind its attention, a layer computes each token by itself, and the classification head reads the first token of the
last layer. The other tokens change neither the outputs nor a gradient. `training.graph.keep_first_token` does the same
to the served graph.
"""

import contextlib
from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from transformers import PreTrainedModel

from movie_ratings.training.encoder import evaluating, layers_of, probe

BEHIND_ATTENTION: Final = "attention.output"  # in a layer of BERT, RoBERTa, ELECTRA, DeBERTa and models made like them
TOLERANCE: Final = 1e-5  # between the outputs with all tokens and with the first one, relative to their size


@contextlib.contextmanager
def keep_first_token(model: PreTrainedModel) -> Iterator[None]:
    """Let the last layer of ``model`` compute the first token alone, where this leaves the outputs as they are.

    A model whose layers have other names, or whose head reads other tokens, computes all tokens as before.
    """
    module = _behind_attention(model)
    if module is None or not _leaves_the_outputs(model, module):
        yield
        return
    with _first_token_of(module):
        yield


def _behind_attention(model: PreTrainedModel) -> nn.Module | None:
    layers = layers_of(model)
    try:
        return layers[-1].get_submodule(BEHIND_ATTENTION) if layers else None
    except AttributeError:
        return None


def _leaves_the_outputs(model: PreTrainedModel, module: nn.Module) -> bool:
    ids, mask = probe(model)
    with evaluating(model), torch.inference_mode():
        whole = model(input_ids=ids, attention_mask=mask).logits
        try:
            with _first_token_of(module):
                part = model(input_ids=ids, attention_mask=mask).logits
        except (IndexError, RuntimeError):  # a later step needs all tokens
            return False
    return torch.allclose(part, whole, rtol=TOLERANCE, atol=TOLERANCE * float(whole.abs().max()))


@contextlib.contextmanager
def _first_token_of(module: nn.Module) -> Iterator[None]:
    """Cut each input of ``module``, shape (rows, tokens, width), to the first token."""

    def cut(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return tuple(tensor[:, :1] for tensor in inputs)

    hook = module.register_forward_pre_hook(cut)
    try:
        yield
    finally:
        hook.remove()
