"""Architectures: each trains, exports and answers with the default parameters, or one line says what to set before."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer

from movie_ratings.core.errors import UserError
from movie_ratings.model.head import Head
from movie_ratings.movies.text import TextFormat
from movie_ratings.params import Params
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.training import preflight, pretrained, trainer
from movie_ratings.training.transformer import Transformer
from tests.support import architectures
from tests.support.checkpoints import THRESHOLDS, rows, run, serve

Build = Callable[..., Params]

# What the others need: one line that names the parameter to set, before anything is trained.
REFUSED = {
    "albert": r"train\.freeze_layers: AlbertForSequenceClassification cannot be run in two parts .*; set it to 0",
    "longformer": r"model\.name: LongformerForSequenceClassification predicts otherwise as ONNX: choose another model",
}


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a training starts."""

    def train(*_: object) -> None:
        raise AssertionError("the training has started")

    monkeypatch.setattr(trainer, "train", train)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in architectures.ARCHITECTURES if name not in REFUSED])
def test_it_trains_exports_and_answers_with_the_default_parameters(options: Build, tmp_path: Path, name: str) -> None:
    folder = architectures.build(tmp_path / "pretrained", name)
    run(options(model__name=str(folder), train__freeze_layers=3, text__max_length=24), tmp_path, 16)
    served, transformer = Classifier.load(serve(tmp_path / "checkpoint")), Transformer.load(tmp_path / "checkpoint")
    movies = rows(20, 200).to_pylist()
    assert np.abs(served.logits(movies)[0] - transformer.logits(movies)).max() < 1e-3
    assert len(served.predict(movies)) == 20


@pytest.mark.slow
@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_before_the_training(options: Build, tmp_path: Path, name: str) -> None:
    folder = architectures.build(tmp_path / "pretrained", name)
    frozen = AutoConfig.from_pretrained(folder).num_hidden_layers - 1
    with pytest.raises(UserError, match=REFUSED[name]):
        run(options(model__name=str(folder), train__freeze_layers=frozen, text__max_length=24), tmp_path, 16)


@pytest.mark.slow
def test_what_the_line_says_mends_it(options: Build, tmp_path: Path) -> None:
    folder = architectures.build(tmp_path / "pretrained", "albert")
    run(options(model__name=str(folder), train__freeze_layers=0), tmp_path, 16)
    assert Classifier.load(serve(tmp_path / "checkpoint")).predict([{"title": "Film"}])


@pytest.mark.usefixtures("no_training")
def test_a_model_without_gradient_checkpointing_is_refused(options: Build, tmp_path: Path) -> None:
    folder = architectures.build(tmp_path / "pretrained", "mpnet")
    with pytest.raises(UserError, match=r"train\.gradient_checkpointing: MPNetFor.* has none; set it to false"):
        run(options(model__name=str(folder), train__gradient_checkpointing=True), tmp_path)


def test_padding_is_no_position(options: Build, tmp_path: Path) -> None:
    # RoBERTa counts its positions from that of the padding token: 64 of them are 62 tokens.
    folder = architectures.build(tmp_path / "pretrained", "roberta")
    with pytest.raises(UserError, match=r"text\.max_length: 63 tokens, but .* reads 62"):
        run(options(model__name=str(folder), text__max_length=63), tmp_path)
    architectures.build(tmp_path / "xlnet", "xlnet")
    model, _ = pretrained.load(str(tmp_path / "xlnet"), 10_000)
    assert pretrained.positions(model) is None  # its configuration says -1


@pytest.mark.usefixtures("no_training")
def test_a_model_that_padding_changes_is_refused(options: Build, tmp_path: Path) -> None:
    folder = architectures.build(tmp_path / "pretrained", "xlnet")  # it classifies by the last token, a padding token
    with pytest.raises(UserError, match=r"model\.name: XLNetFor.* predicts otherwise when a text is padded"):
        run(options(model__name=str(folder), text__max_length=24), tmp_path)


@pytest.mark.usefixtures("no_training")
def test_positions_that_the_configuration_hides_are_tried(
    options: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = architectures.build(tmp_path / "pretrained", "bert")
    monkeypatch.setattr(pretrained, "positions", lambda model: None)
    with pytest.raises(UserError, match=r"text\.max_length: BertFor.* cannot read 80 tokens .*; set a lower one"):
        run(options(model__name=str(folder), text__max_length=80), tmp_path)


def test_the_trial_export_leaves_the_model_as_it_was(options: Build, tiny_model: Path, tmp_path: Path) -> None:
    model, tokenizer = pretrained.load(str(tiny_model), 32)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attention, numbers = model.config._attn_implementation, torch.random.get_rng_state()
    transformer = Transformer(model, tokenizer, Head("cross_entropy", 6.0, 1.0), TextFormat(("title",), 32), THRESHOLDS)
    preflight.check(transformer, [2, 9, 10, 3], options().train, tmp_path)
    assert not list(tmp_path.iterdir())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.config._attn_implementation == attention == "sdpa"
    assert torch.equal(torch.random.get_rng_state(), numbers)


def test_a_tokenizer_without_a_padding_token_pads_with_its_end_token(tmp_path: Path) -> None:
    folder = architectures.build(tmp_path / "pretrained", "gpt2")
    model, tokenizer = pretrained.load(str(folder), 32)
    assert tokenizer.pad_token == "<|endoftext|>"
    assert model.config.pad_token_id == tokenizer.eos_token_id
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    with pytest.raises(UserError, match="has neither a padding token nor an end token; set pad_token"):
        pretrained.load(str(folder), 32)


def test_a_model_without_its_tokenizer_is_refused(options: Build, tiny_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model, tmp_path / "pretrained"))
    for path in folder.glob("*token*"):
        path.unlink()
    with pytest.raises(UserError, match=r"model\.name: .* has 5 tokens and its model \d+ embeddings: .* are missing"):
        run(options(model__name=str(folder)), tmp_path)


def test_a_token_without_an_embedding_is_refused(options: Build, tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_tokens(["radiant vision"])
    folder = Path(shutil.copytree(tiny_model, tmp_path / "pretrained"))
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match=r"model\.name: .* has token ids up to \d+ and its model \d+ embeddings"):
        run(options(model__name=str(folder)), tmp_path)
