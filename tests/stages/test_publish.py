"""Publishing: the folder and its card, the hub's API over real HTTP, and one line where the hub refuses."""

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from movie_ratings.prediction.classifier import Classifier
from stages import publish
from tests.support.builders import ROOT


@pytest.fixture
def project(served_model: Path, trained: Path) -> Path:
    """A working directory as the pipeline leaves it."""
    shutil.copytree(served_model.parent / "checkpoint", "models/checkpoint")
    shutil.copytree(ROOT / "metrics", "metrics")
    return Path.cwd()


def test_a_dry_run_shows_the_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["me/movies", "--dry-run"]) == 0
    out = capsys.readouterr().out
    folder = project / "data/publish"
    for name in ("model.safetensors", "model.onnx", "tokenizer.json", "movie_ratings.json", "config.json", "README.md"):
        assert (folder / name).is_file()
        assert name in out
    assert "nothing was pushed" in out
    assert Classifier.load(folder).version == Classifier.load().version

    card = (folder / "README.md").read_text()
    found = json.loads((ROOT / "metrics/details/evaluate.json").read_text())
    low, high = found["interval_95"]["balanced_accuracy"]
    assert f"| this model | {found['balanced_accuracy']:.3f} | {found['macro_f1']:.3f}" in card
    assert f"| 95% interval | {low:.3f} to {high:.3f} |" in card
    assert "| tfidf_logreg |" in card
    assert "below 5.00 of 10 is bad, one above\n7.00 good" in card
    assert Classifier.load().version in card


def test_a_folder_of_two_trainings_is_not_published(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = project / "models/checkpoint/movie_ratings.json"
    found = json.loads(path.read_text())
    found["answerings"]["plot"]["calibration"]["bias"][0] += 1
    path.write_text(json.dumps(found))
    assert publish.main(["me/movies", "--dry-run"]) == 2
    assert "are not of one training" in capsys.readouterr().err
    assert not (project / "data/publish").exists()


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's API as a push of small files asks for."""

    files: dict[str, bytes]
    token = "hf_writes"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.token}":
            self._answer(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self._answer(200, {"url": f"http://{self.headers['Host']}/me/movies"})
        elif self.path == "/api/validate-yaml":
            self._answer(200, {"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            files = [file | {"uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self._answer(200, {"files": files})
        elif self.path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    type(self).files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._answer(
                200,
                {
                    "success": True,
                    "commitUrl": f"http://{self.headers['Host']}/me/movies/commit/{'1' * 40}",
                    "commitOid": "1" * 40,
                },
            )
        else:
            self._answer(404, {"error": self.path})

    def do_GET(self) -> None:
        self._answer(200, {"id": "me/movies", "sha": "0" * 40, "siblings": []})

    def _answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Nothing: the tests' output is for failures."""


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.files = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def push(hub: str, token: str) -> subprocess.CompletedProcess[str]:
    # A process of its own: the hub's library reads its environment when it is imported.
    environment = {"PYTHONPATH": str(ROOT), "HF_ENDPOINT": hub, "HF_TOKEN": token, "HF_HOME": "hf", "PATH": ""}
    command = [sys.executable, "-m", "stages.publish", "me/movies"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_push_brings_every_file_to_the_hub(project: Path, hub: str) -> None:
    done = push(hub, Hub.token)
    assert done.returncode == 0, done.stderr
    assert Hub.files["model.onnx"] == Path("models/movie-rating/model.onnx").read_bytes()
    assert Hub.files["model.safetensors"] == Path("models/checkpoint/model.safetensors").read_bytes()
    assert b"me/movies" in Hub.files["README.md"]


def test_a_push_without_the_right_is_one_line_that_does_not_show_the_token(project: Path, hub: str) -> None:
    done = push(hub, "hf_reads_only")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: me/movies: the hub did not take it")
    assert "HF_TOKEN must allow writing" in done.stderr
    assert "hf_reads_only" not in done.stdout + done.stderr
