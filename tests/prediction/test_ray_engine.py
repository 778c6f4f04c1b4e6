"""Prediction with Ray Data: two workers predict what one process predicts, even if one of them is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stages import predict
from tests.support.builders import ROOT, learnable

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -r requirements-ray.txt")

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "stages.predict", "--input", "movies.parquet", "--engine", "ray", "--workers", "2"]


def start(output: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    return subprocess.Popen([*COMMAND, "--output", output], env=environment, stderr=subprocess.PIPE, text=True)


def workers(process: int) -> list[int]:
    """The processes of Ray's workers that hold a model, started by this process alone."""
    found = []
    for child in psutil.Process(process).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "_Worker" in " ".join(child.cmdline()):
                found.append(child.pid)
    return found


def test_same_rows_and_answers_as_one_process_though_a_worker_is_killed(trained: Path) -> None:
    movies = [{name: movie[name] for name in ("id", "title", "summary", "genres")} for movie in learnable(30_000)]
    pq.write_table(pa.Table.from_pylist(movies), "movies.parquet")
    assert predict.main(["--input", "movies.parquet", "--output", "one.parquet"]) == 0
    process = start("ray.parquet")
    killed: list[int] = []

    def kill() -> None:
        until = time.monotonic() + 60
        while not killed and time.monotonic() < until and process.poll() is None:
            if found := workers(process.pid):
                time.sleep(1)
                os.kill(found[0], signal.SIGKILL)
                killed.append(found[0])
            time.sleep(0.1)

    killer = threading.Thread(target=kill)
    killer.start()
    errors = process.communicate(timeout=200)[1]
    killer.join()
    assert process.returncode == 0, errors[-2_000:]
    assert killed
    one, many = pq.read_table("one.parquet"), pq.read_table("ray.parquet")
    assert many.schema.names == one.schema.names
    for name in ("id", "title", "label"):
        assert many[name].to_pylist() == one[name].to_pylist()
    assert many["probability_bad"].to_pylist() == pytest.approx(one["probability_bad"].to_pylist(), abs=1e-5)
    assert not list(Path().glob("*.tmp"))


def test_a_broken_row_is_one_line(trained: Path) -> None:
    pq.write_table(pa.table({"title": ["A", " "], "summary": ["b", ""]}), "movies.parquet")
    process = start("ray.parquet")
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 2
    assert errors.splitlines()[-1] == "error: --engine ray: movies.parquet row 2: title and summary are both empty"
    assert not Path("ray.parquet").exists()
