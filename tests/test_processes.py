"""Training in several processes: `torchrun` runs the same stage, and the result is that of one process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from stages import parquet
from stages.predict import Classifier
from tests.conftest import ROOT, serve
from tests.test_train import rows

ONE = ["-m", "stages.train"]
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "stages.train"]


def train(folder: Path, command: list[str], raw: dict[str, Any], tiny_model: Path) -> subprocess.CompletedProcess[str]:
    raw["model"]["name"] = str(tiny_model)
    raw["train"] |= {"freeze_layers": 1, "learning_rate": 0.003, "batch_size": 8, "epochs": 3, "soft_labels": 0.0}
    raw["text"]["max_length"] = 32
    (folder / "data/split").mkdir(parents=True)
    for name, part in {"train": rows(96), "validation": rows(64, 96)}.items():
        parquet.write_table(folder / f"data/split/{name}.parquet", part)
    (folder / "data/split/thresholds.json").write_text(json.dumps({"low": 5.0, "high": 7.0}))
    YAML().dump(raw, folder / "params.yaml")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_two_processes_train_as_one_does(raw_params: dict[str, Any], tmp_path: Path, tiny_model: Path) -> None:
    found = {}
    for name, command in {"one": ONE, "two": TWO}.items():
        (tmp_path / name).mkdir()
        done = train(tmp_path / name, command, raw_params, tiny_model)
        assert done.returncode == 0, done.stderr[-3_000:]
        assert done.stdout.count("models/checkpoint written") == 1
        found[name] = json.loads((tmp_path / name / "metrics/train.json").read_text())
    one, two = found["one"], found["two"]
    assert one["epochs"] == two["epochs"] == 3
    assert one["selection_score"] > 0.8
    assert two["selection_score"] == pytest.approx(one["selection_score"], abs=0.05)
    losses = [run["validation"]["transformer_alone"]["log_loss"] for run in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=0.1)
    # Each step is one of the same global batch: as many steps, not half as many.
    steps = [(tmp_path / name / "metrics/curves/train_loss.tsv").read_text().splitlines()[-1] for name in found]
    assert len({line.split("\t")[0] for line in steps}) == 1
    assert Classifier.load(serve(tmp_path / "two/models/checkpoint")).predict([{"title": "Film"}])


def test_a_batch_that_the_processes_cannot_share_is_named(
    raw_params: dict[str, Any], tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WORLD_SIZE": "3", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    done = train(tmp_path, ONE, raw_params, tiny_model)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: train.batch_size: 8 cannot be shared by 3 processes"
