"""The model of another git revision: tags, GTO's tags, the cache, a remote, and one line where there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from gto.api import show

from movie_ratings.core.errors import UserError
from movie_ratings.prediction import revisions, served
from movie_ratings.prediction.classifier import Classifier
from stages import predict
from tests.support.builders import ROOT
from tests.support.repository import alter, altered, assign, commit_model, commit_of, dvc, git, gto

pytestmark = pytest.mark.slow


def test_the_model_of_a_tag(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git("init", "--quiet")
    Path("README").touch()
    git("add", "README")
    git("commit", "--quiet", "--message", "before there was a model")
    git("tag", "empty")
    dvc("init", "--quiet")
    dvc("remote", "add", "--default", "shelf", "shelf")
    dvc("add", "--quiet", "models/movie-rating")
    git("add", "--all")
    git("commit", "--quiet", "--message", "model")
    git("tag", "movie-rating@v1.2.0")
    dvc("push", "--quiet")
    version = Classifier.load().version
    shutil.rmtree("models/movie-rating")

    for rev in ("HEAD", "v1.2.0", "movie-rating@v1.2.0"):
        assert Classifier.load(rev=rev).version == version
    assert predict.main(["--title", "Film", "--rev", "v1.2.0"]) == 0
    with pytest.raises(UserError, match="v9: no such revision of this git repository, and no tag movie-rating@v9"):
        Classifier.load(rev="v9")
    with pytest.raises(UserError, match="empty: has no models/movie-rating"):
        Classifier.load(rev="empty")

    # Not in the cache, but on the remote; then on neither.
    shutil.rmtree("data/store")
    shutil.rmtree(".dvc/cache")
    assert Classifier.load(rev="v1.2.0").version == version
    for folder in ("data/store", ".dvc/cache", "shelf"):
        shutil.rmtree(folder, ignore_errors=True)
    capsys.readouterr()
    assert predict.main(["--title", "Film", "--rev", "v1.2.0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: v1.2.0: its model is neither in the DVC cache nor on a remote")
    assert all(path.suffix == ".lock" for path in Path("data/store/models").iterdir())


def test_a_fetch_that_was_killed_leaves_nothing_once_it_is_repeated(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With the weights beside the graph, as those of a model over 2 GB.
    onnx.save(onnx.load(trained / "model.onnx"), "model.onnx", save_as_external_data=True, location=served.WEIGHTS)
    shutil.move(trained, "before")
    served.write(trained, Path("before"), Path("model.onnx"), "fp32", 0, [Path(served.WEIGHTS)])
    git("init", "--quiet")
    dvc("init", "--quiet")
    dvc("add", "--quiet", "models/movie-rating")
    git("add", "--all")
    git("commit", "--quiet", "--message", "model")
    copy, killed = revisions._copy, Path("killed")

    def copied(*arguments: Any) -> None:
        copy(*arguments)
        shutil.copytree("data/store", killed)  # what a kill at this moment would leave

    monkeypatch.setattr(revisions, "_copy", copied)
    version = Classifier.load(rev="HEAD").version
    assert version == Classifier.load().version
    monkeypatch.undo()
    monkeypatch.setenv("MOVIE_RATINGS_STORE", str(killed))
    monkeypatch.chdir(trained.parents[1])
    assert Classifier.load(rev="HEAD").version == version
    (folder,) = [path for path in Path("killed/models").iterdir() if path.suffix != ".lock"]
    assert (folder / served.WEIGHTS).is_file()


def test_a_project_in_a_subfolder_with_two_models_and_experiments(
    served_model: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"--rev v1: .* is not in a git repository"):
        Classifier.load(rev="v1")
    git("init", "--quiet")
    project = workspace / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    dvc("init", "--quiet", "--subdir")
    dvc("remote", "add", "--quiet", "--default", "shelf", "shelf")
    shutil.copytree(served_model, "models/movie-rating")
    altered(served_model, "models/other")
    dvc("add", "--quiet", "models/movie-rating", "models/other")
    git("add", "--all", ".")
    git("commit", "--quiet", "--message", "models")
    dvc("push", "--quiet")
    one, other = (Classifier.load(f"models/{name}").version for name in ("movie-rating", "other"))
    assert one != other
    shutil.rmtree("models")

    # Each path of a revision is kept by itself, wherever the command runs, also once the cache is gone.
    assert Classifier.load(rev="HEAD").version == one
    shutil.rmtree(".dvc/cache")
    assert Classifier.load("models/other", rev="HEAD").version == other
    monkeypatch.setenv("MOVIE_RATINGS_STORE", str(project / "data/store"))
    monkeypatch.chdir(workspace)
    assert Classifier.load("project/models/other", rev="HEAD").version == other
    assert Classifier.load(project / "models/movie-rating", rev="HEAD").version == one
    with pytest.raises(UserError, match="HEAD: has no project/models/third"):
        Classifier.load("project/models/third", rev="HEAD")
    with pytest.raises(UserError, match=r"\.\./models: outside of the git repository"):
        Classifier.load("../models", rev="HEAD")

    # The names of experiments, as DVC keeps them: under the commit that they were made from.
    head = commit_of("HEAD")
    monkeypatch.chdir(project)
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/odd-tern", head)
    assert Classifier.load(rev="odd-tern").version == one
    git("commit", "--quiet", "--allow-empty", "--message", "later")
    git("update-ref", f"refs/exps/{'0' * 2}/{'1' * 38}/odd-tern", "HEAD")
    with pytest.raises(UserError, match="odd-tern: 2 experiments have this name"):
        Classifier.load(rev="odd-tern")
    git("checkout", "--quiet", head)
    assert Classifier.load(rev="odd-tern").version == one
    with pytest.raises(UserError, match="no tag movie-rating@tern, stage tern or experiment tern"):
        Classifier.load(rev="tern")


def test_a_stage_is_the_version_that_gto_shows(workspace: Path) -> None:
    git("init", "--quiet")
    for version in ("v1.0.0", "v1.1.0"):
        git("commit", "--quiet", "--allow-empty", "--message", version)
        git("tag", "--annotate", "--message", "as `gto register` makes it", f"movie-rating@{version}")
    old, new = commit_of("movie-rating@v1.0.0"), commit_of("movie-rating@v1.1.0")

    def follows(expected: str | None) -> None:
        shown = show(str(workspace), "movie-rating#prod")
        assert [version["commit_hexsha"] for version in shown] == ([expected] if expected else [])
        for rev in ("prod", "movie-rating#prod"):
            if expected:
                assert revisions.resolve(rev) == expected
            else:
                with pytest.raises(UserError, match=r"^movie-rating#prod: no version is assigned to this stage now"):
                    revisions.resolve(rev)

    with pytest.raises(
        UserError, match=r"no tag movie-rating@prod, stage prod or experiment prod .movie-rating has no"
    ):
        revisions.resolve("prod")
    assign("v1.1.0", "prod", "--simple", "true")  # a tag without a number, which git resolves too
    follows(new)
    assign("v1.0.0", "staging")
    assign("v1.0.0", "prod")  # a rollback: the newest assignment counts, not the highest version
    follows(old)
    assert commit_of("movie-rating#prod") == new
    gto("deprecate", "movie-rating", "v1.0.0", "prod")  # once its assignment has ended, the one before it holds again
    follows(new)
    assert revisions.resolve("staging") == old
    gto("deprecate", "movie-rating", "v1.1.0", "prod")
    follows(None)
    git("tag", "movie-rating#prod#10", old)  # neither a time nor an author: no event
    follows(None)
    assign("v1.1.0", "prod")
    follows(new)
    gto("deprecate", "movie-rating", "v1.1.0")  # the version is no longer registered
    follows(None)
    with pytest.raises(
        UserError, match=r"^live: .* stage live or experiment live .stages here: prod, staging; `git fe"
    ):
        revisions.resolve("live")
    with pytest.raises(
        UserError, match=r"^movie-rating#live: no such revision of this git repository, and no stage live"
    ):
        revisions.resolve("movie-rating#live")


def test_the_model_of_a_stage_and_a_branch_of_the_same_name(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    git("init", "--quiet")
    dvc("init", "--quiet")
    commit_model("model")
    gto("assign", "movie-rating", "HEAD", "--stage", "prod")
    promoted = Classifier.load().version
    alter(trained)
    commit_model("another model")
    current = Classifier.load().version
    head = commit_of("HEAD")
    git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/prod", head)  # an experiment comes after a stage

    assert Classifier.load(rev="prod").version == promoted != current
    assert predict.main(["--title", "Film", "--rev", "prod"]) == 0
    assert not caplog.messages
    git("branch", "prod")
    assert Classifier.load(rev="prod").version == current
    (warning,) = caplog.messages
    assert warning.startswith("prod: both a revision of git and a stage of movie-rating. The revision is taken")
    assert Classifier.load(rev="movie-rating#prod").version == promoted

    # What a prediction needs once its model has been fetched: GTO alone, and only for a stage.
    code = "import sys; from movie_ratings import Classifier; Classifier.load(rev=sys.argv[1]); print(*sys.modules)"
    for rev, expected in {"HEAD": set[str](), "movie-rating#prod": {"gto"}}.items():
        done = subprocess.run(
            [sys.executable, "-c", code, rev],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        )
        assert {"gto", "dvc"} & set(done.stdout.split()) == expected
