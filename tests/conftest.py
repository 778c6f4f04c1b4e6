"""Fixtures that the tests share: parameters, a tiny model, a served model and an empty working directory."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from filelock import FileLock

from movie_ratings.movies.labels import Thresholds
from movie_ratings.params import Params
from tests.support.builders import labelled, learnable, read_params, tiny_options

# The hub's library reads this when it is imported: a test that names a model of the hub must not wait for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

# Of matrices as small as those of the tests, a second thread only waits for the first, at the cost of a core.
os.environ["OMP_NUM_THREADS"] = "1"

# Else each command of DVC starts another Python, which reports to DVC's authors that the command was called.
os.environ["DVC_NO_ANALYTICS"] = "1"

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("any-machine", deadline=None)
hypothesis.settings.load_profile("any-machine")

BuiltOnce = Callable[[str, Callable[[Path], None]], Path]


def pytest_make_parametrize_id(val: object) -> str | None:
    """The name of bytes that are no text: those of an archive hold the time, and processes must agree on names."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and not val.isascii() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes run the files, those of many slow tests come first, so that all end together."""
    if hasattr(config, "workerinput"):
        slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
        items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def raw_params() -> dict[str, Any]:
    """params.yaml of the repository, as dictionaries that a test may change."""
    return read_params()


@pytest.fixture
def options(raw_params: dict[str, Any], tiny_model: Path) -> Callable[..., Params]:
    """Builds the repository's parameters with a tiny model, and with changes like train__epochs=2."""
    return lambda **changes: tiny_options(raw_params, tiny_model, **changes)


@pytest.fixture(scope="session")
def tiny_model(built_once: BuiltOnce) -> Path:
    """A BERT of two layers and its tokenizer, in a folder as on the hub."""

    def build(folder: Path) -> None:
        # Imported here, as below: torch and transformers take seconds, which the tests without a model need not wait.
        from tests.support.checkpoints import bert_as_on_the_hub

        bert_as_on_the_hub(folder)

    return built_once("tiny-bert", build)


@pytest.fixture(scope="session")
def served_model(tiny_model: Path, built_once: BuiltOnce) -> Path:
    """A served folder that all tests share: copy it to change it."""

    def build(folder: Path) -> None:
        from movie_ratings.training.data import Data
        from movie_ratings.training.fine_tune import fine_tune
        from tests.support.checkpoints import serve

        known = {
            "year": 1994, "spoken_languages": ["English"], "directors": ["A B"], "cast": ["C D"], "writers": ["E F"],
            "companies": ["G"],
        }  # fmt: skip
        first, *others = learnable(52)  # one of which all is known, so that the model reads every field
        rows = labelled([first | known, *others])
        train, validation = rows.slice(0, 32), rows.slice(32)
        options = tiny_options(read_params(), tiny_model)
        fine_tune(Data(train, validation, Thresholds(5.0, 7.0), {}), options, folder / "state", folder / "checkpoint")
        serve(folder / "checkpoint")

    return built_once("trained", build) / "movie-rating"


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> BuiltOnce:
    """Gives the folder of a name, which is built once, though several processes run tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, build: Callable[[Path], None]) -> Path:
        found = shared / name
        with FileLock(f"{found}.lock"):
            if not found.exists():
                half = Path(tempfile.mkdtemp(dir=shared))
                build(half)
                half.rename(found)
        return found

    return folder


@pytest.fixture
def trained(served_model: Path, workspace: Path) -> Path:
    """A served model of this test's own, where the command line expects one."""
    return Path(shutil.copytree(served_model, workspace / "models" / "movie-rating"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
