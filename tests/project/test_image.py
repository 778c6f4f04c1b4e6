"""The image, as far as it can be checked without a Docker engine; benchmarks/image.py goes through its steps."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from benchmarks.image import parse
from tests.support.builders import ROOT

INSTRUCTIONS = parse((ROOT / "Dockerfile").read_text())


def test_it_runs_as_a_user_without_rights_and_with_pinned_bases() -> None:
    told = dict(INSTRUCTIONS)
    assert told["USER"] not in ("root", "0")
    for name, rest in INSTRUCTIONS:
        if name == "FROM":
            assert rest.split()[0].count(".") == 2, "a base of a patch version"


def test_what_it_copies_is_let_through_and_nothing_else() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [rest.split()[:-1] for name, rest in INSTRUCTIONS if name == "COPY" and not rest.startswith("--from")]
    copied = {source for sources in copies for source in sources}
    assert copied == allowed
    for name in copied - {"models/movie-rating"}:
        assert (ROOT / name).exists()


def test_a_space_gets_what_the_image_is_built_from() -> None:
    sources = [rest.split()[:-1] for name, rest in INSTRUCTIONS if name == "COPY" and not rest.startswith("--from")]
    copying = [line.split() for line in (ROOT / "spaces/README.md").read_text().splitlines() if " cp " in line]
    assert {source for names in sources for source in names} <= {word for words in copying for word in words}


def test_its_requirements_hold_no_training_library() -> None:
    names = {line.split("==")[0] for line in (ROOT / "requirements-serving.txt").read_text().splitlines()}
    assert not names & {"torch", "transformers", "datasets", "dvc", "scikit-learn"}


def test_its_requirements_are_installed_in_the_versions_of_the_constraints() -> None:
    (install,) = (rest for name, rest in INSTRUCTIONS if name == "RUN" and "pip install" in rest)
    assert install.endswith("--requirement requirements-serving.txt --constraint constraints.txt")


def test_compose_runs_it_read_only_and_with_time_to_stop() -> None:
    service = YAML(typ="safe", pure=True).load((ROOT / "compose.yaml").read_text())["services"]["movie-ratings"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["ports"] == ["80:80"]


def test_the_service_and_its_health_check_obey_the_same_port() -> None:
    settings = dict(INSTRUCTIONS)
    assert "PORT=80" in settings["ENV"].split()
    assert settings["EXPOSE"] == "80"
    assert "--port" not in json.loads(settings["ENTRYPOINT"]), "it would leave HEALTHCHECK behind"
    check = json.loads(settings["HEALTHCHECK"].partition("CMD ")[2])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        environment = os.environ | {"PORT": str(listener.getsockname()[1])}
        process = subprocess.Popen([sys.executable, *check[1:]], env=environment, stderr=subprocess.DEVNULL)
        with listener.accept()[0] as client:
            assert client.recv(1_000).startswith(b"GET /readyz ")
            client.sendall(b"HTTP/1.0 503 Stopping\r\n\r\n")
        assert process.wait(10) != 0


def test_a_space_listens_on_the_port_that_its_readme_names() -> None:
    text = (ROOT / "spaces/README.md").read_text()
    port = text.split("app_port: ")[1].split()[0]
    (line,) = (line for line in text.splitlines() if line.startswith("$ sed "))
    changed = subprocess.run(line[2:].split(" > ")[0], shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"PORT={port}" in dict(parse(changed.stdout))["ENV"].split()
    assert int(port) >= 1024


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install -r requirements-dev.txt")
    done = subprocess.run([hadolint, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_committed_trial_did_what_a_container_would() -> None:
    found = json.loads((ROOT / "benchmarks/results/image.json").read_text())
    assert found["uid"] == int(dict(INSTRUCTIONS)["USER"])
    assert found["exit_code_after_sigterm"] == 0
    assert len(found["answer"]["ratings"]) == 1
