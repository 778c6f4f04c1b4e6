"""--watch and SIGHUP: a running service takes the model that its folder holds, or that its revision names, by now."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.prediction import served
from serving import loading, watching
from tests.serving.test_loading import MOVIES, answers
from tests.support.builders import ROOT
from tests.support.repository import alter, altered, assign, commit_model, dvc, git, gto
from tests.support.service import Server


def version(folder: Path) -> str:
    return served.read(folder).version


def replace(folder: Path, new: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(new, folder)


def looks(source: watching.Source, current: str, count: int) -> list[str]:
    """What each of so many looks finds: a change, nothing, or the reason why there is none."""
    found = []
    for _ in range(count):
        try:
            found.append("changed" if source.look(current) else "nothing")
        except UserError as error:
            found.append(str(error))
    return found


def test_a_folder_is_read_once_it_is_the_same_in_two_looks_and_once_for_each_change(trained: Path) -> None:
    first = version(trained)
    folder = watching.source(str(trained), None)
    assert looks(folder, first, 4) == ["nothing"] * 4
    other = altered(trained, "other")
    answers(other)  # another graph too
    second = version(other)

    # A checkout writes one file after another, and a look comes after each of them.
    for path in sorted(other.iterdir()):
        shutil.copy(path, trained)
        assert looks(folder, first, 1) == ["nothing"]
    assert looks(folder, first, 3) == ["changed", "nothing", "nothing"]
    # A checkout that stops half-way: one reason, and a change once it has gone on.
    (trained / "model.onnx").unlink()
    nothing, reason, *others = looks(folder, second, 4)
    assert reason == f"{trained}/model.onnx: no such file; `dvc repro export` makes the whole folder"
    assert {nothing, *others} == {"nothing"}
    shutil.copy(other / "model.onnx", trained)
    assert looks(folder, first, 3) == ["nothing", "changed", "nothing"]
    # New times alone, or what is served already (kill -HUP came first), are no change.
    for path in trained.iterdir():
        path.touch()
    assert looks(folder, second, 3) == ["nothing"] * 3
    shutil.rmtree(trained)
    assert (
        looks(folder, second, 3)[1] == f"{trained}: no such model; make one with `dvc repro` or get one with `dvc pull`"
    )
    shutil.copytree(other, trained)
    assert looks(folder, second, 3) == ["nothing"] * 3


@contextlib.contextmanager
def touched(path: Path) -> Iterator[None]:
    """Another program that writes ``path`` all the time."""
    ended = Event()

    def touch() -> None:
        while not ended.wait(0.001):
            path.touch()

    writer = Thread(target=touch)
    writer.start()
    yield
    ended.set()
    writer.join()


def test_a_folder_that_changes_while_it_is_loaded_is_refused(trained: Path) -> None:
    with touched(trained / "linear.json"), pytest.raises(UserError, match="movie-rating: changed while it was loaded"):
        loading.load(str(trained), None)


@pytest.mark.slow
def test_the_service_takes_what_a_checkout_writes_and_names_once_what_it_cannot_take(trained: Path) -> None:
    first, other = version(trained), altered(trained, "other")
    with Server(trained, "--no-page", "--watch", "1") as server:
        (trained / "linear.json").write_text("{}")
        reason = server.wait_for("the old model goes on")["reason"]
        assert "linear.json: not the file that movie_ratings.json names" in reason
        assert server.ask("POST", "/v1/predict", MOVIES)[1]["model_version"] == first
        time.sleep(2.5)
        replace(trained, other)
        assert server.wait_for("swapped")["version"] == version(other)
        assert server.ask("POST", "/v1/predict", MOVIES)[1]["model_version"] == version(other)
        time.sleep(2.5)
    assert server.wait() == 0
    assert [line["event"] for line in server.log if line["event"] in ("the old model goes on", "swapped")] == [
        "the old model goes on",
        "swapped",
    ]


@pytest.fixture(scope="module")
def repository(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A git repository with v1.0.0 and v1.1.0 of movie-rating, of which v1.0.0 is prod; the versions of both models."""
    folder = tmp_path_factory.mktemp("repository")
    model = folder / "models/movie-rating"
    shutil.copytree(served_model, model)
    with contextlib.chdir(folder):
        git("init", "--quiet")
        dvc("init", "--quiet")
        commit_model("one")
        first = version(model)
        gto("register", "movie-rating", "--version", "v1.0.0")
        assign("v1.0.0", "prod")
        alter(model)
        commit_model("two")
        gto("register", "movie-rating", "--version", "v1.1.0")
    return folder, first, version(model)


@pytest.fixture
def two_versions(repository: tuple[Path, str, str], workspace: Path) -> tuple[str, str]:
    """A copy of the repository, in which the test runs; the versions of both models."""
    folder, first, second = repository
    shutil.copytree(folder, workspace, dirs_exist_ok=True)
    return first, second


@pytest.mark.slow
def test_the_service_follows_a_stage_there_and_back(two_versions: tuple[str, str]) -> None:
    first, second = two_versions
    with Server(Path("models/movie-rating"), "--no-page", "--rev", "prod", "--watch", "1") as server:
        assert server.ask("GET", "/v1/model")[1]["version"] == first
        assign("v1.1.0", "prod")
        assert server.wait_for("swapped")["version"] == second
        assign("v1.0.0", "prod", "--force")  # its first assignment still stands
        assert server.wait_for("swapped")["version"] == first
        gto("deprecate", "movie-rating", "v1.0.0", "prod")
        assert server.wait_for("swapped")["version"] == second
        gto("deprecate", "movie-rating", "v1.1.0", "prod")
        reason = server.wait_for("the old model goes on")["reason"]
        assert reason.startswith("movie-rating#prod: no version is assigned to this stage now")
        assert server.ask("POST", "/v1/predict", MOVIES)[1]["model_version"] == second
        time.sleep(2.5)
    assert server.wait() == 0
    assert [line["level"] for line in server.log].count("error") == 1


@pytest.mark.slow
def test_a_signal_finds_anew_what_the_revision_names(two_versions: tuple[str, str]) -> None:
    first, second = two_versions
    with Server(Path("models/movie-rating"), "--no-page", "--rev", "movie-rating#prod") as server:
        assert server.ask("GET", "/v1/model")[1]["version"] == first
        assign("v1.1.0", "prod")
        server.kill(signal.SIGHUP)
        assert server.wait_for("swapped")["version"] == second
        git("tag", "--delete", *git("tag", "--list", "movie-rating#*").split())
        server.kill(signal.SIGHUP)
        reason = server.wait_for("the old model goes on")["reason"]
        assert reason.startswith("movie-rating#prod: no such revision of this git repository, and no stage prod")
        assert server.ask("GET", "/v1/model")[1]["version"] == second


@pytest.mark.slow
def test_a_model_that_comes_later_than_its_tag_is_found_without_a_line_for_each_try(
    two_versions: tuple[str, str],
) -> None:
    first, second = two_versions
    source = watching.source("models/movie-rating", "prod")
    assert looks(source, first, 2) == ["nothing", "nothing"]
    assign("v1.1.0", "prod")
    cache = Path(".dvc/cache").rename("elsewhere")
    (reason,) = set(looks(source, first, 3))
    assert reason.startswith("prod: ")
    assert "its model is neither in the DVC cache nor on a remote" in reason
    cache.rename(".dvc/cache")
    found = looks(source, first, 5)
    assert found.count("changed") == 1
    assert set(found[: found.index("changed")]) <= {reason}
    assert found[-1] == "nothing"
    assign("v1.0.0", "prod", "--force")
    assert looks(source, second, 2) == ["changed", "nothing"]


@pytest.mark.slow
@pytest.mark.parametrize("seconds", ["0.5", "nan"])
def test_a_pause_out_of_bounds_is_refused(served_model: Path, seconds: str) -> None:
    command = [sys.executable, "-m", "serving", "--watch", seconds, "--model", str(served_model)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"error: --watch: between 1 and 86,400 seconds, found {float(seconds)}\n"
