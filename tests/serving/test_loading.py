"""The model of a running service: broken folders, signals that come early or often, and a start that fails."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from movie_ratings.movies.text import FIELDS
from serving import loading
from tests.prediction.test_served import graph, rehash
from tests.support.builders import ROOT, reading
from tests.support.service import Server

MOVIES = {"movies": [{"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}]}


def metadata(folder: Path, text: str) -> None:
    (folder / "movie_ratings.json").write_text(text)


def edited(folder: Path, **changes: object) -> None:
    path = folder / "movie_ratings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def spoilt(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    rehash(path.parent)


def answers(folder: Path, **changes: object) -> None:
    onnx.save(graph(**changes), folder / "model.onnx")  # type: ignore[arg-type]
    rehash(folder)


# Each of them makes a whole folder one that cannot be used.
BROKEN: dict[str, Callable[[Path], object]] = {
    "gone": shutil.rmtree,
    "not JSON": lambda folder: metadata(folder, "{"),
    "a list": lambda folder: metadata(folder, "[]"),
    "brackets": lambda folder: metadata(folder, "[" * 900_000),
    "not UTF-8": lambda folder: (folder / "movie_ratings.json").write_bytes(b"\xff\xfe"),
    "wrong types": lambda folder: edited(folder, thresholds=[5, 7]),
    "served is null": lambda folder: edited(folder, served=None),
    "answers NaN": lambda folder: answers(folder, fill=math.nan),
    "answers four classes": lambda folder: answers(folder, classes=4),
    "knows one token": lambda folder: answers(folder, vocabulary=1),
    "no graph": lambda folder: spoilt(folder / "model.onnx", b"no graph"),
    "no tokenizer": lambda folder: spoilt(folder / "tokenizer.json", b'{"model": {"type": "BPE"}}'),
    "weights": lambda folder: (folder / "weights.bin").touch(),
    "no such file": lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer"),
}


def test_the_old_model_goes_on_whatever_is_wrong_with_the_new_one(trained: Path, served_model: Path) -> None:
    with Server(trained, "--no-page") as server:
        before = server.ask("POST", "/v1/predict", MOVIES)[1]
        for spoil in BROKEN.values():
            spoil(trained)
            server.kill(signal.SIGHUP)
            reason = server.wait_for("the old model goes on")["reason"]
            assert len(reason.splitlines()) == 1
            assert server.ask("POST", "/v1/predict", MOVIES)[:2] == (200, before)
            shutil.rmtree(trained, ignore_errors=True)
            shutil.copytree(served_model, trained)
        server.kill(signal.SIGHUP)
        server.wait_for("swapped")
    levels = [line["level"] for line in server.log]
    assert levels.count("error") == len(BROKEN), "one line each"
    assert server.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a list", "wrong types", "answers NaN", "no tokenizer"])
def test_a_model_that_cannot_be_used_ends_the_start_with_one_line(trained: Path, name: str) -> None:
    BROKEN[name](trained)
    command = [sys.executable, "-m", "serving", "--no-page", "--port", "0", "--model", str(trained)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")


def test_a_model_that_reads_every_field_is_tried_with_every_field(trained: Path) -> None:
    assert set(loading.FACTS) == set(FIELDS) - {"title", "summary"}
    classifier = loading.load(str(reading(trained, *FIELDS)), None)
    assert classifier.metadata.text.fields == FIELDS


@pytest.mark.slow
@pytest.mark.parametrize(("port", "expected"), [("12", "--port 12: "), ("http", "invalid int value: 'http'")])
def test_the_port_may_stand_in_the_environment(served_model: Path, port: str, expected: str) -> None:
    # The address is this machine's in no network, so that nothing listens on it.
    command = [sys.executable, "-m", "serving", "--no-page", "--host", "192.0.2.1", "--model", str(served_model)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PORT": port}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert expected in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_a_signal_before_the_service_listens_does_not_end_it(served_model: Path) -> None:
    for seconds in (0.15, 0.4, 0.8, 1.2):
        server = Server(served_model, "--no-page")
        while not server.holds_back(signal.SIGHUP):  # before Python runs the first line of the service, nothing can
            time.sleep(0.01)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            server.kill(signal.SIGHUP)
            time.sleep(0.05)
        with server:
            assert server.ask("POST", "/v1/predict", MOVIES)[0] == 200


def test_many_signals_load_the_model_a_few_times(served_model: Path) -> None:
    with Server(served_model, "--no-page") as server:
        for _ in range(200):
            server.kill(signal.SIGHUP)
            time.sleep(0.001)
        server.wait_for("swapped")
        assert server.ask("POST", "/v1/predict", MOVIES)[0] == 200
        time.sleep(0.5)
    assert server.wait() == 0
    assert sum(line["event"] == "swapped" for line in server.log) < 20
