"""Training in several processes: `torchrun` runs the same stage, and the result is that of one process."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from movie_ratings.core import parquet, paths
from movie_ratings.movies.record import MOVIE, OUTSIDE, SPLIT_OF
from movie_ratings.prediction.classifier import Classifier
from tests.support.builders import ROOT
from tests.support.checkpoints import rows, serve

pytestmark = pytest.mark.slow

ONE = ["-m", "stages.train"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stages.train"]


def prepare(folder: Path, raw: dict[str, Any], tiny_model: Path, count: int = 96, **changes: Any) -> None:
    """A folder where train can be run, on so many movies."""
    raw["model"]["name"] = str(tiny_model)
    raw["train"] |= {"freeze_layers": 1, "learning_rate": 0.003, "batch_size": 8, "epochs": 3, "soft_labels": 0.0}
    raw["train"] |= changes
    raw["text"]["max_length"] = 32
    movies = rows(count + 64)
    splits = ["train"] * count + ["validation"] * 64
    parquet.write_table(folder / "data/clean/movies.parquet", movies.select(MOVIE.names))
    parquet.write_table(folder / "data/split/splits.parquet", pa.table([movies["id"], splits], schema=SPLIT_OF))
    (folder / "data/split/thresholds.json").write_text(json.dumps({"low": 5.0, "high": 7.0}))
    parquet.write_table(folder / paths.OUTSIDE, OUTSIDE.empty_table())
    YAML().dump(raw, folder / "params.yaml")


def start(folder: Path, command: list[str]) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    output = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder, env=environment, stdout=output, stderr=output, text=True,
    )  # fmt: skip


def finish(folder: Path, command: list[str]) -> tuple[str, str]:
    """What a run that must succeed says on stdout and stderr."""
    process = start(folder, command)
    said = process.communicate()
    assert process.returncode == 0, said[1][-3_000:]
    return said


def curve(folder: Path, name: str) -> list[float]:
    """The values of a learning curve that a run in the folder has written, a value for each logged step."""
    lines = (folder / f"metrics/curves/{name}.tsv").read_text().splitlines()
    column = lines[0].split("\t").index(name)
    return [float(line.split("\t")[column]) for line in lines[1:]]


def test_two_processes_train_as_one_does(raw_params: dict[str, Any], tmp_path: Path, tiny_model: Path) -> None:
    found = {}
    for name, command in {"one": ONE, "two": TWO}.items():
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, raw_params, tiny_model, count=240, epochs=3, learning_rate=0.001)
        assert finish(tmp_path / name, command)[0].count("models/checkpoint written") == 1
        found[name] = json.loads((tmp_path / name / "metrics/details/train.json").read_text())
    # Each step is one of the same batch, and each evaluation is one of all movies.
    for name in ("train_loss", "validation_loss", "validation_balanced_accuracy"):
        one, two = curve(tmp_path / "one", name), curve(tmp_path / "two", name)
        assert two == pytest.approx(one, rel=0.01)
    assert found["two"]["selection_score"] == pytest.approx(found["one"]["selection_score"], rel=0.01)
    assert Classifier.load(serve(tmp_path / "two/models/checkpoint")).predict([{"title": "Film"}])


@pytest.mark.parametrize(("before", "after"), [(ONE, TWO), (TWO, ONE)], ids=["one-then-two", "two-then-one"])
def test_a_killed_run_goes_on_in_another_number_of_processes(
    before: list[str], after: list[str], raw_params: dict[str, Any], tmp_path: Path, tiny_model: Path
) -> None:
    prepare(tmp_path, raw_params, tiny_model, count=800, save_minutes=0.001, epochs=2)
    process = start(tmp_path, before)
    while not list(tmp_path.glob("data/train-state/*/checkpoint-*/trainer_state.json")):
        assert process.poll() is None, process.communicate()[1][-3_000:]
        time.sleep(0.05)
    # torchrun gives each of its processes a group of its own.
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.communicate()
    said, remarks = finish(tmp_path, after)
    assert "continuing from step" in remarks
    assert "models/checkpoint written" in said
    steps = (tmp_path / "metrics/curves/train_loss.tsv").read_text().splitlines()[-1].split("\t")[0]
    assert int(steps) > 190  # of 2 epochs of 100 batches: as many as without the break


def test_a_batch_that_the_processes_cannot_share_is_named(
    raw_params: dict[str, Any], tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "3", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    prepare(tmp_path, raw_params, tiny_model)
    process = start(tmp_path, ONE)
    _, complaint = process.communicate()
    assert process.returncode == 2
    assert complaint.splitlines()[-1] == "error: train.batch_size: 8 cannot be shared by 3 processes"
