"""Movies, parameters and tiny checkpoints that tests make for themselves: no network, no real plot."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when the hub's library is imported: a test that names a hub model must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

import polars as pl
import pyarrow as pa
import pytest
import torch
from ruamel.yaml import YAML
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from movie_ratings import params
from movie_ratings.movies.labels import Thresholds
from movie_ratings.movies.record import LABELLED, MOVIE
from movie_ratings.movies.text import normalise
from movie_ratings.training.dataset import Data
from movie_ratings.training.fine_tune import fine_tune
from stages.export import export_checkpoint

ROOT = Path(__file__).parent.parent

MOODS = {"bad": "dull stale lazy noise", "average": "plain tidy story", "good": "radiant tender masterful vision"}


def movie(number: int, **fields: Any) -> dict[str, Any]:
    """An invented movie record."""
    return {
        "id": number,
        "source": "test",
        "title": f"Film {number}",
        "summary": f"Story number {number}.",
        "genres": ["Drama"],
        "vote_average": 6.0,
        "vote_count": 100,
    } | fields


def learnable(count: int) -> list[dict[str, Any]]:
    """Movies whose rating can be read off their summary."""
    kinds = [("bad", 3.0), ("average", 6.0), ("average", 6.2), ("average", 5.8), ("good", 9.0)]
    return [
        movie(n, summary=f"A {MOODS[kind]} of day {n}.", vote_average=rating + n % 7 / 100, runtime=90 + n % 3)
        for n, (kind, rating) in ((n, kinds[n % len(kinds)]) for n in range(count))
    ]


def frame(*movies: dict[str, Any]) -> pl.DataFrame:
    """Movie records as clean reads them."""
    return pl.DataFrame(pa.Table.from_pylist(list(movies), MOVIE))


@pytest.fixture
def raw_params() -> dict[str, Any]:
    """params.yaml of the repository, as dictionaries that a test may change."""
    return read_params()


def read_params() -> dict[str, Any]:
    """params.yaml of the repository, as dictionaries."""
    found: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())
    return found


def tiny_options(raw: dict[str, Any], tiny_model: Path, **changes: Any) -> params.Params:
    """The parameters ``raw`` with a tiny model, and with changes like train__epochs=2."""
    raw["model"]["name"] = str(tiny_model)
    raw["train"] |= {"freeze_layers": 0, "learning_rate": 0.003, "batch_size": 8, "epochs": 1}
    raw["text"]["max_length"] = 32
    for key, value in changes.items():
        group, name = key.split("__")
        raw[group][name] = value
    return params.parse(raw)


@pytest.fixture
def options(raw_params: dict[str, Any], tiny_model: Path) -> Callable[..., params.Params]:
    """Builds the repository's parameters with a tiny model, and with changes like train__epochs=2."""
    return lambda **changes: tiny_options(raw_params, tiny_model, **changes)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and its tokenizer, in a folder as on the hub."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    words = [normalise(f"{m['title']} {m['summary']}") for m in learnable(200)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(words, trainers.WordPieceTrainer(vocab_size=400, special_tokens=special))
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
    # One thread is faster than two on matrices this small.
    torch.set_num_threads(1)
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


def labelled(movies: list[dict[str, Any]]) -> pa.Table:
    """Movies as the split stage writes them, every class in turn."""
    rows = [found | {"rating": found["vote_average"], "label": list(MOODS)[n % 3]} for n, found in enumerate(movies)]
    return pa.Table.from_pylist(rows, LABELLED)


def last_line(code: str) -> str:
    """What ``code`` prints last in a fresh interpreter: what it imports is not what the tests have imported."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def serve(checkpoint: Path, variant: str = "fp32") -> Path:
    """The served folder of a checkpoint, beside it."""
    served = checkpoint.parent / "movie-rating"
    export_checkpoint(checkpoint, served, labelled(learnable(40)), variant)
    return served


@pytest.fixture(scope="session")
def served_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served folder that all tests share: copy it to change it."""
    folder = tmp_path_factory.mktemp("trained")
    known = {"year": 1994, "spoken_languages": ["English"], "directors": ["A B"], "cast": ["C D"]}
    first, *others = learnable(52)  # one of which all is known, so that the model reads every field
    rows = labelled([first | known, *others])
    train, validation = rows.slice(0, 32), rows.slice(32)
    options = tiny_options(read_params(), tiny_model)
    fine_tune(Data(train, validation, Thresholds(5.0, 7.0), {}), options, folder / "state", folder / "checkpoint")
    return serve(folder / "checkpoint")


@pytest.fixture
def trained(served_model: Path, workspace: Path) -> Path:
    """A served model of this test's own, where the command line expects one."""
    return Path(shutil.copytree(served_model, workspace / "models" / "movie-rating"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
