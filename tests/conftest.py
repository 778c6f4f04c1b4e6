"""Fixtures that the tests share: parameters, a tiny model, a served model and an empty working directory."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from movie_ratings.movies.labels import Thresholds
from movie_ratings.params import Params
from tests.support.builders import labelled, learnable, read_params, tiny_options

# The hub's library reads this when it is imported: a test that names a model of the hub must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")


@pytest.fixture
def raw_params() -> dict[str, Any]:
    """params.yaml of the repository, as dictionaries that a test may change."""
    return read_params()


@pytest.fixture
def options(raw_params: dict[str, Any], tiny_model: Path) -> Callable[..., Params]:
    """Builds the repository's parameters with a tiny model, and with changes like train__epochs=2."""
    return lambda **changes: tiny_options(raw_params, tiny_model, **changes)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of two layers and its tokenizer, in a folder as on the hub."""
    # Imported here, as below: torch and transformers take seconds, which the tests without a model need not wait.
    from tests.support.checkpoints import bert_as_on_the_hub

    return bert_as_on_the_hub(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def served_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A served folder that all tests share: copy it to change it."""
    from movie_ratings.training.dataset import Data
    from movie_ratings.training.fine_tune import fine_tune
    from tests.support.checkpoints import serve

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
