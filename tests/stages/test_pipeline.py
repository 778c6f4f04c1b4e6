"""The whole pipeline, run by DVC in a temporary clone with a tiny model."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import polars as pl
import psutil
import pytest
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core.rounding import rounded
from tests.support.builders import ROOT

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    """Where the stages' "python" is this one, and git has somebody to commit for."""
    found = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org",
        "GIT_COMMITTER_NAME": "t", "GIT_COMMITTER_EMAIL": "t@example.org",
    }  # fmt: skip
    found.pop("MOVIE_RATINGS_STORE", None)
    return found


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def ok(folder: Path, *command: str) -> str:
    done = call(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """What git would clone once the working tree is committed, on 600 films with a tiny model, reproduced once."""
    folder = tmp_path_factory.mktemp("clone")
    tracked = ok(ROOT, "git", "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in tracked:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    yaml = YAML()
    values = yaml.load(folder / "params.yaml")
    values["fetch"] |= {"source": "wikidata", "limit": 600}
    values["model"]["name"] = str(tiny_model)
    values["text"]["max_length"] = 32
    values["train"] |= {"epochs": 1, "freeze_layers": 1}
    values["baseline"] |= {"c": [0.1], "alphas": [3.0], "max_rows": 400}
    values["evaluate"]["bootstrap"] = 100
    yaml.dump(values, folder / "params.yaml")
    ok(folder, "git", "init", "-q")
    ok(folder, "git", "add", "-A")
    ok(folder, "git", "commit", "-qm", "clone")
    ok(folder, "dvc", "repro")
    ok(folder, "git", "add", "-A")
    ok(folder, "git", "commit", "-qm", "results")
    return folder


def test_every_figure_adds_up(clone: Path) -> None:
    def details(name: str) -> dict:
        return json.loads((clone / "metrics/details" / f"{name}.json").read_text())

    cleaned, split, evaluated = details("clean"), details("split"), details("evaluate")
    assert cleaned["rows_in"] == 600
    assert cleaned["rows_out"] == 600 - sum(cleaned["dropped"].values()) == sum(split["rows"].values())
    assert split["groups_across_splits"] == 0
    headline = ["accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "log_loss"]
    headline += ["mean_absolute_error", "interval_coverage", "interval_width"]
    for name in [*headline, "expected_calibration_error", "quadratic_kappa"]:
        assert isinstance(evaluated[name], float), name
    assert sum(map(sum, evaluated["confusion"])) == split["rows"]["test"] == evaluated["rows"]
    # catboost is a baseline of the study alone.
    compared = set(get_args(params.BaselineName)) - {"catboost"}
    assert set(evaluated["minus_baseline"]) == compared == set(details("baseline"))
    assert evaluated["plot"]["rows"] == evaluated["rows"]
    assert details("baseline")["majority"]["balanced_accuracy"] == rounded(1 / 3)


def test_dvc_compares_a_few_figures_of_those_that_the_stages_computed(clone: Path) -> None:
    evaluated = json.loads((clone / "metrics/details/evaluate.json").read_text())
    headline = json.loads((clone / "metrics/evaluate.json").read_text())
    assert list(headline) == ["balanced_accuracy", "macro_f1", "log_loss", "plot"]
    for name in ("balanced_accuracy", "macro_f1", "log_loss"):
        assert headline[name] == pytest.approx(evaluated[name], abs=1e-4)
    assert headline["plot"]["balanced_accuracy"] == pytest.approx(evaluated["plot"]["balanced_accuracy"], abs=1e-4)
    trained = json.loads((clone / "metrics/details/train.json").read_text())
    validation = json.loads((clone / "metrics/train.json").read_text())["validation"]
    for found, name in (
        (validation, "facts"),
        (validation["plot"], "plot"),
        (validation["transformer"], "transformer_alone"),
    ):
        assert found["log_loss"] == pytest.approx(trained["validation"][name]["log_loss"], abs=1e-4)


def test_the_metrics_fit_a_terminal(clone: Path) -> None:
    shown = ok(clone, "dvc", "metrics", "show")
    assert max(map(len, shown.splitlines())) <= 200
    (commit, *_) = [rev for rev in json.loads(ok(clone, "dvc", "exp", "show", "--json")) if rev["data"]]
    found = [leaf for file in commit["data"]["metrics"].values() for leaf in leaves(file["data"])]
    assert 8 <= len(found) <= 12


def test_every_float_under_metrics_has_at_most_five_decimals(clone: Path) -> None:
    files = [path for path in (clone / "metrics").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".csv", ".tsv"}
    for path in files:
        text = path.read_text()
        assert not re.findall(r"\d\.\d{6,}|\d[eE]-\d", text), path


def leaves(value: object) -> list[object]:
    """The numbers in nested dictionaries."""
    return [leaf for item in value.values() for leaf in leaves(item)] if isinstance(value, dict) else [value]


def test_metrics_hold_no_movie_text(clone: Path) -> None:
    movies = pl.read_parquet(clone / "data/clean/movies.parquet")
    texts = "".join(path.read_text() for path in (clone / "metrics").rglob("*") if path.is_file())
    assert not [title for title in movies["title"] if len(title) > 15 and title in texts]


def test_the_reports_need_no_network(clone: Path) -> None:
    for name in ("explore", "report"):
        page = (clone / "data" / "reports" / f"{name}.html").read_text()
        assert "<svg" in page
        for loading in ("<script", "src=", "@import", "<link"):
            assert loading not in page


@pytest.mark.parametrize(
    ("stage", "output"), [("clean", "data/clean/movies.parquet"), ("split", "data/split/splits.parquet")]
)
def test_a_stage_that_was_killed_and_repeated_writes_the_same_bytes(clone: Path, stage: str, output: str) -> None:
    before = (clone / output).read_bytes()
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", stage]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=clone, env=environment(), start_new_session=True, stdout=quiet, stderr=quiet
    )
    while process.poll() is None and not any(
        f"stages.{stage}" in child.cmdline() for child in psutil.Process(process.pid).children(recursive=True)
    ):
        time.sleep(0.02)
    time.sleep(0.1)  # of the half second that a stage takes at least
    assert process.poll() is None, "the stage was done before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (clone / output).exists()
    ok(clone, "dvc", "repro")
    assert (clone / output).read_bytes() == before
    assert "up to date" in ok(clone, "dvc", "status")
    assert not list((clone / "data").rglob("*.tmp"))


def test_nothing_changed_means_nothing_runs(clone: Path) -> None:
    assert "Running stage" not in ok(clone, "dvc", "repro")


def test_lost_data_is_not_a_changed_pipeline(clone: Path) -> None:
    shutil.move(clone / "data", clone / "gone")
    try:
        assert "Running stage" not in ok(clone, "dvc", "repro", "--dry", "--allow-missing")
    finally:
        shutil.move(clone / "gone", clone / "data")


def test_the_plots_can_be_drawn(clone: Path) -> None:
    ok(clone, "dvc", "plots", "show", "-o", "plots")
    page = (clone / "plots" / "index.html").read_text()
    names = ["Confusion matrix", "Precision of each class", "Recall of each class", "Reliability"]
    for name in [*names, "Loss", "Validation balanced accuracy", "Ratings", "Movies of each genre"]:
        assert name in page


@pytest.fixture(scope="module")
def experiment(clone: Path) -> str:
    """What DVC printed while it ran the experiment "faster", of another learning rate, in a copy of the clone."""
    return ok(clone, "dvc", "exp", "run", "--temp", "-n", "faster", "-S", "train.learning_rate=3e-5")


def test_an_experiment_in_a_copy_of_the_repository(clone: Path, experiment: str) -> None:
    # A learning rate concerns four stages and no other.
    assert re.findall(r"Running stage '(\w+)'", experiment) == ["train", "export", "evaluate", "report"]
    shown = json.loads(ok(clone, "dvc", "exp", "show", "--json"))
    names = [e["revs"][0]["name"] for rev in shown for e in rev["experiments"] or []]
    assert names == ["faster"]
    assert "3e-05" in ok(clone, "dvc", "exp", "show", "--csv")
    assert ok(clone, "git", "status", "--porcelain", "--untracked-files=no") == ""


def test_a_prediction_from_the_pipelines_checkpoint(clone: Path) -> None:
    out = ok(clone, "python", "-m", "stages.predict", "--title", "Film", "--summary", "A story.", "--genres", "Drama")
    assert out.split()[0] in ("bad:", "average:", "good:")


@dataclass(frozen=True)
class Remote:
    """A git remote of the clone's commits, and a DVC remote of what its pipeline made."""

    folder: Path
    settings: Sequence[str]  # of the DVC remote, its address first

    def add_to(self, clone: Path) -> None:
        ok(clone, "dvc", "remote", "add", "--local", "--force", "--default", "shared", self.settings[0])
        for setting in self.settings[1:]:
            ok(clone, "dvc", "remote", "modify", "--local", "shared", *setting.split("="))

    def second_clone(self) -> Path:
        """A clone on another machine."""
        ok(self.folder, "git", "clone", "-q", "--branch", "main", "origin", "second")
        self.add_to(self.folder / "second")
        return self.folder / "second"


@pytest.fixture
def s3() -> Iterator[Sequence[str]]:
    """An empty bucket, as a DVC remote."""
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    running = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys).create_bucket(Bucket="movies")
    yield ["s3://movies/dvc", f"endpointurl={url}", "access_key_id=test", "secret_access_key=test"]
    running.stop()


@pytest.fixture
def remote(clone: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Remote]:
    kind = getattr(request, "param", "folder")
    found = Remote(tmp_path, [str(tmp_path / "remote")] if kind == "folder" else request.getfixturevalue(kind))
    ok(clone, "git", "init", "-q", "--bare", str(tmp_path / "origin"))
    ok(clone, "git", "remote", "add", "origin", str(tmp_path / "origin"))
    ok(clone, "git", "push", "-q", "origin", "HEAD:refs/heads/main")
    found.add_to(clone)
    ok(clone, "dvc", "push")
    yield found
    ok(clone, "git", "remote", "remove", "origin")


@pytest.mark.parametrize("remote", ["folder", "s3"], indirect=True)
def test_a_second_clone_pulls_instead_of_computing(clone: Path, remote: Remote) -> None:
    second = remote.second_clone()
    assert "Running stage" not in ok(second, "dvc", "repro", "--pull")
    for name in ("data/split/splits.parquet", "models/movie-rating/model.onnx", "data/reports/report.html"):
        assert (second / name).read_bytes() == (clone / name).read_bytes()
    assert "up to date" in ok(second, "dvc", "status")


@pytest.mark.usefixtures("experiment")
def test_an_experiment_travels(clone: Path, remote: Remote) -> None:
    ok(clone, "dvc", "exp", "push", "origin", "faster")
    second = remote.second_clone()
    ok(second, "dvc", "exp", "pull", "origin", "faster")
    ok(second, "dvc", "exp", "apply", "faster")
    ok(second, "dvc", "checkout")
    assert YAML().load(second / "params.yaml")["train"]["learning_rate"] == 3e-5
    model = json.loads((second / "models/movie-rating/movie_ratings.json").read_text())
    assert model["origin"]["train"]["learning_rate"] == 3e-5
    assert "Running stage" not in ok(second, "dvc", "repro")
