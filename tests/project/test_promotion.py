"""docs/promotion.md: its commands, in their order, in a scratch repository with a remote and a clone that serves.

A pipeline of one stage stands in for that of the project. It writes a tiny model, which depends on a parameter, and the
files that the gate compares. The commands of the page stay as they are.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from movie_ratings.prediction import served
from tests.support.builders import ROOT
from tests.support.repository import IDENTITY, altered, dvc, git
from tests.support.service import Server

PAGE: Final = (ROOT / "docs/promotion.md").read_text()
SERVING: Final = "python -m serving --rev prod --watch"
# What another model and another commit change in the output; the page shows those of the project.
CHANGING: Final = re.compile(r"\b[0-9a-f]{7,40}\b|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00")

PIPELINE: Final = """
stages:
  export:
    cmd: python export.py
    deps: [export.py, prepared]
    params: [export]
    outs: [models/movie-rating, metrics/predictions.csv: {cache: false}]
    metrics: [metrics/evaluate.json: {cache: false}]
artifacts:
  movie-rating: {path: models/movie-rating, type: model}
"""
EXPORT: Final = """
import json, shutil, yaml
variant = yaml.safe_load(open("params.yaml"))["export"]["variant"]
shutil.copytree(f"prepared/{variant}", "models/movie-rating")
shutil.copyfile("prepared/predictions.csv", "metrics/predictions.csv")
json.dump({"balanced_accuracy": {"auto": 0.6, "int8": 0.61}[variant]}, open("metrics/evaluate.json", "w"))
"""


class Command(NamedTuple):
    """A command of the page: the folder whose prompt it has, and the lines that the page shows below it."""

    folder: str
    text: str
    shown: list[str]


def commands() -> list[Command]:
    found: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if prompt := re.match(r"(project|server)\$ (.*)", line):
                found.append(Command(prompt[1], prompt[2], []))
            else:
                found[-1].shown.append(line)
    return found


@pytest.fixture
def project(served_model: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders `project` and `server`, clones of one repository with one DVC remote, before the first version."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    git("init", "--quiet", "--bare", "--initial-branch", "main", "origin")
    git("clone", "--quiet", "origin", "project")
    with contextlib.chdir("project"):
        Path("prepared").mkdir()
        shutil.copytree(served_model, "prepared/auto")
        altered(served_model, "prepared/int8")
        shutil.copy(ROOT / "params.yaml", ".")
        shutil.copy(ROOT / "metrics/predictions.csv", "prepared")
        Path("metrics").mkdir()
        Path("dvc.yaml").write_text(PIPELINE)
        Path("export.py").write_text(EXPORT)
        Path(".gitignore").write_text("models/\n/data\n")
        dvc("init", "--quiet")
        dvc("remote", "add", "--quiet", "--default", "storage", str(workspace / "storage"))
        dvc("repro", "--quiet")
        git("add", "--all")
        git("commit", "--quiet", "--message", "Results")
        git("push", "--quiet")
    git("clone", "--quiet", "origin", "server")
    return workspace / "project"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running() -> Iterator[Server]:
    """The service as the page starts it, with a look each second."""
    with (
        contextlib.chdir("server"),
        Server(Path("models/movie-rating"), "--no-page", "--rev", "prod", "--watch", "1") as server,
    ):
        yield server


@pytest.mark.slow
def test_the_commands_of_the_page_lead_into_production_and_back(project: Path, workspace: Path) -> None:
    models = [served.read(project / f"prepared/{name}").version for name in ("auto", "int8")]
    answers: list[str] = []
    with contextlib.ExitStack() as stack:
        server: Server | None = None
        for command in commands():
            if command.text == SERVING:
                server = stack.enter_context(running())
                continue
            text = command.text.replace("localhost:8000", f"127.0.0.1:{server.port}") if server else command.text
            done = subprocess.run(
                ["bash", "-c", text], cwd=workspace / command.folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command.text}: {done.stderr}"
            if command.text.startswith("gto "):
                printed = {CHANGING.sub("…", line) for line in done.stdout.splitlines()}
                assert {CHANGING.sub("…", line) for line in command.shown if line != "…"} <= printed, command.text
            elif command.text.startswith("curl "):
                answers.append(json.loads(f"{done.stdout.split(',')[0]}}}")["version"])
            elif command.text.startswith("git fetch") and server:
                assert server.wait_for("swapped")
    assert answers == [models[0], models[1], models[0]]
    assert server
    assert server.wait() == 0
