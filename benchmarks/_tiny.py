"""A BERT of two layers of width 32 with random weights and the tokenizer of model.name.

python -m benchmarks._tiny FOLDER
"""

import sys

import torch
from transformers import BertConfig, BertForSequenceClassification

from movie_ratings import params
from movie_ratings.training import named_model


def main(folder: str) -> None:
    tokenizer = named_model.load_tokenizer(params.load().model.name)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        # The usual 0.02 suits a width of 768.
        initializer_range=0.2,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    main(sys.argv[1])
