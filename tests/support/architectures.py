"""Fourteen pretrained architectures as tiny folders: layers of width 32, with a tokenizer that fits each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerFast

from tests.support.vocabulary import word_pieces

SHAPE: Final[Mapping[str, Any]] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
BERT: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA: Final = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
DEBERTA: Final[Mapping[str, Any]] = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "max_relative_positions": -1,
}

# The model type, the special tokens (of GPT-2 and Qwen2, the end of a text alone) and what the type has of its own.
ARCHITECTURES: Final[Mapping[str, tuple[str, tuple[str, ...], Mapping[str, Any]]]] = {
    "bert": ("bert", BERT, SHAPE),
    "distilbert": (
        "distilbert",
        BERT,
        {
            "dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64,
            "initializer_range": 0.2,
        },
    ),
    "roberta": ("roberta", ROBERTA, {**SHAPE, "type_vocab_size": 1}),
    "xlm-roberta": ("xlm-roberta", ROBERTA, {**SHAPE, "type_vocab_size": 1}),
    "electra": ("electra", BERT, {**SHAPE, "embedding_size": 32}),
    "electra with narrow embeddings": ("electra", BERT, {**SHAPE, "embedding_size": 16}),
    "mpnet": ("mpnet", ROBERTA, SHAPE),
    "albert": ("albert", BERT, {**SHAPE, "embedding_size": 16}),
    "deberta": ("deberta", BERT, {**SHAPE, **DEBERTA}),
    "deberta-v2": (
        "deberta-v2",
        BERT,
        {**SHAPE, **DEBERTA, "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True},
    ),
    "modernbert": (
        "modernbert",
        BERT,
        {
            **SHAPE, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3,
            "local_attention": 16,
        },
    ),
    "gpt2": (
        "gpt2",
        ("<|endoftext|>",),
        {"n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 64, "initializer_range": 0.2},
    ),
    "qwen2": ("qwen2", ("<|endoftext|>",), {**SHAPE, "num_key_value_heads": 2}),
    # Of two layers, as torch needs seconds to export one.
    "longformer": (
        "longformer",
        ROBERTA,
        {**SHAPE, "num_hidden_layers": 2, "attention_window": [8] * 2, "type_vocab_size": 1},
    ),
}  # fmt: skip


# Not among the fourteen: it pads on the left, and its configuration sets no limit to the length of a text.
XLNET: Final = (
    "xlnet",
    BERT,
    {"d_model": 32, "n_layer": 4, "n_head": 2, "d_inner": 64, "initializer_range": 0.2},
)


def build(folder: Path, name: str) -> Path:
    """The folder of one of `ARCHITECTURES`, or of `XLNET`, as on the hub."""
    kind, special, shape = XLNET if name == "xlnet" else ARCHITECTURES[name]
    tokenizer = _tokenizer(special)
    ends = {"bos_token_id": 0, "eos_token_id": 0} if len(special) == 1 else {}
    pad = {"pad_token_id": tokenizer.pad_token_id} if tokenizer.pad_token else {}
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **{**ends, **pad, **shape})
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(special: tuple[str, ...]) -> PreTrainedTokenizerFast:
    """A word-piece tokenizer with these special tokens in this order; a single one ends texts and is no padding."""
    unknown = next((token for token in special if "unk" in token.lower()), special[0])
    tokenizer = word_pieces(special, unknown)
    if len(special) == 1:
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[0])
    first, last = ("[CLS]", "[SEP]") if special == BERT else ("<s>", "</s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", special_tokens=[(name, special.index(name)) for name in (first, last)]
    )
    pad = next(token for token in special if "pad" in token.lower())
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown, cls_token=first, sep_token=last
    )
