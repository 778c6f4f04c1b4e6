"""Training in several processes: `torchrun` runs the same stage, and the result is that of one process."""

import json
import os
import re
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
from movie_ratings.core.command import exit_code
from movie_ratings.movies.record import MOVIE, OUTSIDE, SPLIT_OF
from movie_ratings.prediction.classifier import Classifier
from stages.train import train_stage
from tests.support.builders import ROOT
from tests.support.checkpoints import rows, serve

pytestmark = pytest.mark.slow

# Where a test kills nothing, one process is this one: a process of its own imports torch anew.
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
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    output = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder, env=environment, stdout=output, stderr=output, text=True,
    )  # fmt: skip


def killed_after_a_save(folder: Path, command: list[str], first: int) -> tuple[int, str]:
    """The last step that a run saved before it was killed, ``first`` or a later one, and what it wrote on stderr."""
    process = start(folder, command)
    while (step := last_step(folder)) < first:
        assert process.poll() is None, process.communicate()[1][-3_000:]
        time.sleep(0.05)
    # torchrun gives each of its processes a group of its own.
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    return step, process.communicate()[1]


def last_step(folder: Path) -> int:
    """The last step of a run in the folder that is saved whole; 0 without a save."""
    saves = folder.glob("data/train-state/*/checkpoint-*/trainer_state.json")
    return max((int(save.parent.name.rpartition("-")[2]) for save in saves), default=0)


def curve(folder: Path, name: str) -> list[float]:
    """The values of a learning curve that a run in the folder has written, a value for each logged step."""
    lines = (folder / f"metrics/curves/{name}.tsv").read_text().splitlines()
    column = lines[0].split("\t").index(name)
    return [float(line.split("\t")[column]) for line in lines[1:]]


def test_two_processes_train_as_one_does(
    raw_params: dict[str, Any],
    tmp_path: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, raw_params, tiny_model, count=240, epochs=3, learning_rate=0.001)
    process = start(tmp_path / "two", TWO)
    said, remarks = process.communicate()
    assert process.returncode == 0, remarks[-3_000:]
    assert said.count("models/checkpoint written") == 1
    monkeypatch.chdir(tmp_path / "one")
    train_stage()
    assert capsys.readouterr().out.count("models/checkpoint written") == 1
    found = {name: json.loads((tmp_path / name / "metrics/details/train.json").read_text()) for name in ("one", "two")}
    # Each step is one of the same batch, and each evaluation is one of all movies.
    for name in ("train_loss", "validation_loss", "validation_balanced_accuracy"):
        one, two = curve(tmp_path / "one", name), curve(tmp_path / "two", name)
        assert two == pytest.approx(one, rel=0.01)
    assert found["two"]["selection_score"] == pytest.approx(found["one"]["selection_score"], rel=0.01)
    assert Classifier.load(serve(tmp_path / "two/models/checkpoint")).predict([{"title": "Film"}])


def test_a_killed_run_goes_on_in_another_number_of_processes(
    raw_params: dict[str, Any], workspace: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(workspace, raw_params, tiny_model, count=480, save_minutes=0.001, epochs=2)
    step, _ = killed_after_a_save(workspace, ONE, 1)
    step, remarks = killed_after_a_save(workspace, TWO, step + 1)
    assert "continuing from step" in remarks
    train_stage()
    said, remarks = capsys.readouterr()
    continued = re.search(r"continuing from step (\d+)", remarks)
    assert continued
    assert int(continued[1]) >= step
    assert "models/checkpoint written" in said
    steps = Path("metrics/curves/train_loss.tsv").read_text().splitlines()[-1].split("\t")[0]
    assert int(steps) > 115  # of 2 epochs of 60 batches: as many as without the break


def test_a_batch_that_the_processes_cannot_share_is_named(
    raw_params: dict[str, Any],
    workspace: Path,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {"WORLD_SIZE": "3", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    prepare(workspace, raw_params, tiny_model)
    assert exit_code(train_stage) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: train.batch_size: 8 cannot be shared by 3 processes"
