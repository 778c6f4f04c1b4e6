"""Publish: the model with its card, as a folder for the Hugging Face hub; pushes it there unless --dry-run.

The folder holds the checkpoint (safetensors, for transformers), the graph that is served (ONNX, for stages.predict) and
a model card made of metrics/. The hub's token is HF_TOKEN in the environment.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jinja2

from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import BASELINE_DETAILS, CHECKPOINT, EVALUATE_DETAILS, FETCH_DETAILS, MODEL, SPLIT_DETAILS
from movie_ratings.model import checkpoint
from movie_ratings.movies.text import FORMAT
from movie_ratings.prediction import served
from movie_ratings.reports import figures

PAGES: Final = Path(figures.__file__).parent / "pages"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="on the hub; made if it is not there")
    parser.add_argument("--private", action="store_true", help="make it private, if it is made")
    parser.add_argument("--dry-run", action="store_true", help="write the folder and push nothing")
    parser.add_argument("--folder", type=Path, default=Path("data/publish"), help="of --dry-run (default: %(default)s)")
    options = parser.parse_args(arguments)
    return exit_code(lambda: publish(options))


def publish(options: argparse.Namespace) -> None:
    """Make the folder, then push it or tell where it is.

    Raises:
        UserError: the pipeline's outputs are not there or not of one run, or the hub refuses.
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
    loader = jinja2.FileSystemLoader(PAGES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.get_template("model_card.md.j2")
    return (
        template.render(repository=repository, model=model, metadata=model.metadata, text_format=FORMAT, **figures)
        + "\n"
    )


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
