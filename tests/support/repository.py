"""A git repository of a test, with DVC and GTO, as a person uses them: by their commands."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

# For GTO, which makes tags without the options of git.
IDENTITY: Final = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in {"NAME": "A", "EMAIL": "a@example.org"}.items()
}


def git(*arguments: str) -> str:
    """Run git with an identity; returns what it prints, without blanks at its ends."""
    return _run(["git", *arguments])


def dvc(*arguments: str) -> None:
    _run([sys.executable, "-m", "dvc", *arguments])


def gto(*arguments: str) -> None:
    """Run GTO in another second than the call before: the time of an event has no fraction of a second."""
    time.sleep(1 - time.time() % 1)
    _run([str(Path(sys.executable).with_name("gto")), *arguments])


def assign(version: str, stage: str, *arguments: str) -> None:
    gto("assign", "movie-rating", "--version", version, "--stage", stage, *arguments)


def commit_of(rev: str) -> str:
    return git("rev-parse", f"{rev}^{{commit}}")


def altered(folder: Path, name: str) -> Path:
    """A copy of a served folder whose content, and so whose version, is another one."""
    copy = Path(shutil.copytree(folder, name))
    metadata = json.loads((copy / "movie_ratings.json").read_text())
    metadata["answerings"]["plot"]["calibration"]["bias"][0] += 1
    (copy / "movie_ratings.json").write_text(json.dumps(metadata))
    return copy


def alter(folder: Path) -> None:
    """Make a served folder one of another content, and so of another version."""
    other = altered(folder, f"{folder}.new")
    shutil.rmtree(folder)
    other.rename(folder)


def commit_model(message: str) -> None:
    """Give the folder models/movie-rating to DVC, and commit it."""
    dvc("add", "--quiet", "models/movie-rating")
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def _run(command: list[str]) -> str:
    done = subprocess.run(command, env=os.environ | IDENTITY, check=True, capture_output=True, text=True)
    return done.stdout.strip()
