"""Publish the model with its card to the Hugging Face hub; with --dry-run, only write the folder.

The folder holds the checkpoint (safetensors, for transformers), the served graph (ONNX, for stages.predict) and a model
card made from metrics/. The hub's token is read from HF_TOKEN in the environment.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import BASELINE_DETAILS, CHECKPOINT, EVALUATE_DETAILS, FETCH_DETAILS, MODEL, SPLIT_DETAILS
from movie_ratings.model import checkpoint
from movie_ratings.movies.text import FORMAT
from movie_ratings.prediction import served
from movie_ratings.reports import templates


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="repository on the hub; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="if the repository is created, create it private")
    parser.add_argument("--dry-run", action="store_true", help="write the folder and upload nothing")
    parser.add_argument(
        "--folder", type=Path, default=Path("data/publish"), help="folder that --dry-run writes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: publish(options))


def publish(options: argparse.Namespace) -> None:
    """Make the folder, then upload it; with --dry-run, list its files instead.

    Raises:
        UserError: the pipeline's outputs are missing or come from two runs, or the hub refuses the upload.
    """
    if options.dry_run:
        with storage.whole(options.folder) as temporary:
            make_folder(temporary, options.repository)
        files = [path for path in sorted(options.folder.rglob("*")) if path.is_file()]
        for path in files:
            print(f"{path.stat().st_size:>12,}  {path.relative_to(options.folder)}")
        print(f"publish: {len(files)} files in {options.folder}, nothing was pushed")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        make_folder(folder, options.repository)
        push(folder, options.repository, options.private, served.read(MODEL).version)
    print(f"publish: {options.repository} has version {served.read(MODEL).version}")


def make_folder(folder: Path, repository: str) -> None:
    """Fill ``folder`` with the checkpoint, the served files and the card."""
    model = served.read(MODEL)
    if checkpoint.read(CHECKPOINT) != model.metadata:
        raise UserError(f"{CHECKPOINT} and {MODEL} are not of one training; `dvc repro` makes both")
    shutil.copytree(CHECKPOINT, folder)
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    paths = {"test": EVALUATE_DETAILS, "baselines": BASELINE_DETAILS, "fetch": FETCH_DETAILS, "split": SPLIT_DETAILS}
    card = card_text(repository, model, {name: storage.read_json(path) for name, path in paths.items()})
    (folder / "README.md").write_text(card, encoding="utf-8")


def card_text(repository: str, model: served.Served, figures: dict[str, Any]) -> str:
    """The model card: data, thresholds, metrics with intervals, limits, intended use."""
    values = {"repository": repository, "model": model, "metadata": model.metadata, "text_format": FORMAT}
    return templates.render("model_card.md.j2", **values, **figures) + "\n"


def push(folder: Path, repository: str, private: bool, version: str) -> None:
    """Upload ``folder`` in one commit.

    Raises:
        UserError: the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(folder_path=folder, repo_id=repository, commit_message=f"Version {version}")
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise UserError(
            f"{repository}: the hub did not take it ({first_line(error)}); HF_TOKEN must allow writing"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
