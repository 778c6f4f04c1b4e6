"""The last layer computed for the first token alone: the same outputs and gradients, in less time."""

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from movie_ratings.training import pretrained
from movie_ratings.training.encoder import layers_of
from movie_ratings.training.first_token import keep_first_token
from tests.support import architectures

IDS = torch.tensor([[2, 9, 8, 7, 3], [2, 9, 3, 0, 0]])
MASK = (IDS > 0).long()


class MeanPooler(torch.nn.Module):
    """Classifies by the mean of all tokens."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden.mean(dim=1)


def last_layer(model: PreTrainedModel) -> torch.nn.Module:
    layers = layers_of(model)
    assert layers is not None
    return layers[-1]


def one_pass(model: PreTrainedModel) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """The outputs with dropout, the gradient of each parameter, and how many tokens the last layer returned."""
    seen: list[int] = []
    hook = last_layer(model).register_forward_hook(
        lambda _, __, output: seen.append((output if isinstance(output, torch.Tensor) else output[0]).shape[1])
    )
    model.zero_grad()
    torch.manual_seed(0)
    outputs = model(input_ids=IDS, attention_mask=MASK).logits
    (outputs**2).sum().backward()
    hook.remove()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return outputs.detach(), gradients, seen[0]


def tiny(folder: Path, name: str) -> PreTrainedModel:
    model, _ = pretrained.load(str(architectures.build(folder / "pretrained", name)), 16)
    return model.train()


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("bert", 1), ("roberta", 1), ("xlm-roberta", 1), ("electra", 1), ("deberta", 1), ("deberta-v2", 1),
        ("distilbert", 5), ("modernbert", 5), ("gpt2", 5), ("qwen2", 5),
    ],
)  # fmt: skip
def test_outputs_and_gradients_are_those_of_all_tokens(tmp_path: Path, name: str, tokens: int) -> None:
    model = tiny(tmp_path, name)
    assert tokens == 5 or any(isinstance(each, torch.nn.Dropout) and each.p > 0 for each in last_layer(model).modules())
    outputs, gradients, all_tokens = one_pass(model)
    with keep_first_token(model):
        same, found, kept = one_pass(model)
    torch.testing.assert_close(same, outputs)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-4)
    assert (all_tokens, kept) == (5, tokens)
    assert one_pass(model)[2] == 5  # afterwards, the model is whole again


def test_attention_with_one_head_drops_its_own_weights(tmp_path: Path) -> None:
    config = AutoConfig.from_pretrained(architectures.build(tmp_path / "pretrained", "bert"), num_attention_heads=1)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").train()
    outputs, gradients, _ = one_pass(model)
    with keep_first_token(model):
        same, found, kept = one_pass(model)
    assert kept == 1
    torch.testing.assert_close(same, outputs)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-4)


def test_a_model_whose_layers_are_not_found_stays_whole(tmp_path: Path) -> None:
    model = tiny(tmp_path, "albert").eval()
    before = model(input_ids=IDS, attention_mask=MASK).logits
    with keep_first_token(model):
        assert torch.equal(model(input_ids=IDS, attention_mask=MASK).logits, before)


def test_a_model_that_reads_all_tokens_stays_whole(tmp_path: Path) -> None:
    model = tiny(tmp_path, "bert")
    model.bert.pooler = MeanPooler()
    with keep_first_token(model):
        assert one_pass(model)[2] == 5
