"""Checkpoints that tests build and train: a tiny BERT and a tiny DeBERTa, both as folders on the hub."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import sentencepiece
import torch
from tokenizers import processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from movie_ratings.core import storage
from movie_ratings.model.comparables import Comparables
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices
from movie_ratings.movies.record import LABELLED, MOVIE
from movie_ratings.params import Params
from movie_ratings.training import graph
from movie_ratings.training.data import Data
from movie_ratings.training.fine_tune import fine_tune
from stages.export import export_checkpoint
from tests.support.builders import frame, labelled, learnable
from tests.support.vocabulary import word_pieces

THRESHOLDS = Thresholds(5.0, 7.0)

# One thread is faster than two on matrices this small.
torch.set_num_threads(1)


def bert_as_on_the_hub(folder: Path) -> Path:
    """A BERT of two layers and its tokenizer."""
    tokenizer = word_pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        # The usual 0.02 suits a width of 768: at 32 the first steps would see nothing but noise.
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def deberta_as_on_the_hub(folder: Path) -> Path:
    """A DeBERTaV3 of two layers: config.json, spm.model, tokenizer_config.json, a half-precision pytorch_model.bin."""
    folder.mkdir()
    corpus = folder.parent / "corpus.txt"
    corpus.write_text("\n".join(f"{m['title']} {m['summary']}" for m in learnable(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "spm"), vocab_size=150, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]", minloglevel=2,
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "vocab_type": "spm"}))
    torch.manual_seed(0)
    config = DebertaV2Config(
        vocab_size=160,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        relative_attention=True,
        position_buckets=16,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        max_relative_positions=-1,
    )
    model = DebertaV2ForSequenceClassification(config)
    config.save_pretrained(folder)
    backbone = {name: value.half() for name, value in model.state_dict().items() if name.startswith("deberta.")}
    torch.save(backbone, folder / "pytorch_model.bin")
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "spm.model", "tokenizer_config.json", "pytorch_model.bin",
    }  # fmt: skip
    return folder


def rows(count: int, first: int = 0) -> pa.Table:
    """Learnable movies from the number ``first`` on, labelled by ``THRESHOLDS``."""
    movies = frame(*learnable(first + count)[first:])
    labels = [CLASSES[i] for i in class_indices(movies["vote_average"].to_numpy(), THRESHOLDS)]
    return (
        movies.select(MOVIE.names)
        .with_columns(year=pl.col("release_date").dt.year(), rating=pl.col("vote_average"), label=pl.Series(labels))
        .to_arrow()
        .cast(LABELLED)
    )


def splits(train: pa.Table, validation: pa.Table) -> Data:
    """Two splits as training sees them."""
    return Data(train, validation, THRESHOLDS, {"data": "x"})


def run(options: Params, folder: Path, count: int = 32, validation: pa.Table | None = None) -> dict[str, Any]:
    """The metrics of a training on ``rows(count)``, which leaves ``checkpoint`` and ``curves`` in the folder."""
    data = splits(rows(count), rows(20, 100) if validation is None else validation)
    return fine_tune(data, options, folder / "state", folder / "checkpoint", folder / "curves")


def serve(checkpoint: Path, variant: str = "fp32", largest: int = graph.LARGEST, bf16: bool = False) -> Path:
    """The served folder of a checkpoint, beside it; more than ``largest`` bytes of weights are outside the graph.

    ``bf16`` False: the model is computed in fp32 on every processor, so that tests may compare the last digit.
    """
    served = checkpoint.parent / "movie-rating"
    rows = labelled(learnable(40))
    export_checkpoint(checkpoint, served, rows, variant, Comparables.of(rows.to_pylist()), largest)
    if not bf16:
        metadata = storage.read_json(served / "movie_ratings.json")
        metadata["served"].pop("bf16", None)
        storage.write_json(served / "movie_ratings.json", metadata)
    return served
