"""The model of another git revision: tags, GTO's tags, the cache, a remote, and one line where there is none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.prediction.classifier import Classifier
from stages import predict

pytestmark = pytest.mark.slow


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


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
    assert not list(Path("data/store/models").iterdir())
