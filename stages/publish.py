"""Publish the model with its card to the Hugging Face hub; with --dry-run, only write the folder.

The folder holds the transformer for transformers.pipeline (safetensors), the served model for stages.predict (ONNX) and
a model card. The published transformer has an output layer of its own, which is fitted on the validation split to give
the classes that the served model predicts. How often both agree is measured on the test split. The hub's token is read
from HF_TOKEN in the environment.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.paths import BASELINE_DETAILS, CHECKPOINT, EVALUATE_DETAILS, FETCH_DETAILS, MODEL, SPLIT_DETAILS
from movie_ratings.model import checkpoint, confusion, linear, track_records
from movie_ratings.model.decision import facts_known
from movie_ratings.movies import splits
from movie_ratings.movies.labels import label_indices
from movie_ratings.movies.text import FORMAT
from movie_ratings.prediction import served
from movie_ratings.prediction.classifier import Classifier

CARD: Final = "README.md"
SERVED: Final = (
    served.GRAPH, served.WEIGHTS, served.TOKENIZER, linear.FILE, track_records.FILE, checkpoint.FILE,
)  # fmt: skip
# Every file that may be published. No other file of a folder is copied, replaced or uploaded.
FILES: Final = (
    CARD, "config.json", "model.safetensors", "tokenizer_config.json", "special_tokens_map.json", *SERVED,
)  # fmt: skip
FITTED: Final = 2_000  # validation movies, at most, that the output layer is fitted on
MEASURED: Final = 1_000  # test movies, at most, that transformers.pipeline predicts


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m stages.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("repository", metavar="OWNER/NAME", help="repository on the hub; created if it does not exist")
    parser.add_argument("--private", action="store_true", help="if the repository is created, create it private")
    parser.add_argument("--license", default="mit", help="of the weights, as the hub spells it (default: %(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="write the folder and upload nothing")
    parser.add_argument(
        "--folder", type=Path, default=Path("data/publish"), help="folder that --dry-run writes (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    return exit_code(lambda: publish(options))


def publish(options: argparse.Namespace) -> None:
    """Make the folder, then upload it; with --dry-run, list its files instead.

    Raises:
        UserError: the pipeline's outputs are missing or come from two runs, the folder holds files that this command
            did not write, or the hub refuses the upload.
    """
    if options.dry_run:
        require_published(options.folder)
        with storage.whole(options.folder) as temporary:
            make_folder(temporary, options.repository, options.license)
        for path in sorted(options.folder.iterdir()):
            print(f"{path.stat().st_size:>12,}  {path.name}")
        print(f"publish: {len(list(options.folder.iterdir()))} files in {options.folder}, nothing was pushed")
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        make_folder(folder, options.repository, options.license)
        push(folder, options.repository, options.private, served.read(MODEL).version)
    print(f"publish: {options.repository} has version {served.read(MODEL).version}")


def require_published(folder: Path) -> None:
    """Check that ``folder`` does not exist, is empty, or was written by this command.

    Raises:
        UserError: the folder holds something else.
    """
    storage.require_own(folder, FILES)
    found = list(folder.iterdir()) if folder.is_dir() else []
    if found and not all((folder / name).is_file() for name in (CARD, checkpoint.FILE, *(path.name for path in found))):
        raise UserError(f"{folder}: not a folder that this command wrote; give another folder")


def make_folder(folder: Path, repository: str, licence: str) -> None:
    """Fill ``folder`` with the transformer, the served files and the card.

    Raises:
        UserError: a file of the pipeline is missing, or checkpoint, served model and splits are of two runs.
    """
    from movie_ratings.training.transformer import Transformer  # torch: not for --help

    model, classifier = served.read(MODEL), Classifier.load(MODEL)
    if checkpoint.read(CHECKPOINT) != model.metadata:
        raise UserError(f"{CHECKPOINT} and {MODEL} are not of one training; `dvc repro` makes both")
    if splits.origin() != model.metadata.origin["data"]:
        raise UserError(
            f"{MODEL}: trained on other movies than those in data/; `dvc checkout` or `dvc repro` mends this"
        )
    transformer = Transformer.load(CHECKPOINT)
    folder.mkdir(parents=True)
    figures = write_transformer(folder, transformer, classifier)
    for name in SERVED:
        if (Path(MODEL) / name).exists():  # `served.read` has found what this model needs, and no other file
            shutil.copyfile(Path(MODEL) / name, folder / name)
    served.leave_out_comparables(folder)  # the terms of TMDB do not let its ratings be handed on
    (folder / CARD).write_text(card_text(repository, licence, model, figures), encoding="utf-8")
    for path in folder.iterdir():
        if path.name not in FILES:
            storage.remove(path)  # such as vocab.txt: tokenizer.json holds the vocabulary


def write_transformer(folder: Path, transformer: Any, classifier: Classifier) -> dict[str, Any]:
    """Save ``transformer`` with an output layer that gives the classes; return how it compares with ``classifier``."""
    from movie_ratings.training import publication

    text = classifier.metadata.text
    validation, test = splits.read("validation", FITTED).to_pylist(), splits.read("test", MEASURED)
    probabilities, _ = classifier.answer(validation)
    known = facts_known(validation, text.fields)
    targets = publication.decided(probabilities, classifier.metadata.answerings, known)
    model = publication.give_classes(transformer, validation, targets)
    model.save_pretrained(folder)
    transformer.tokenizer.model_max_length = text.max_length
    transformer.tokenizer.save_pretrained(folder)

    movies, labels = test.to_pylist(), label_indices(test["label"].to_pylist())
    found = publication.pipeline_classes(folder, movies, text)
    _, expected = classifier.answer(movies)
    agreement = float(np.mean(found == expected))
    return {"rows": len(movies), "agreement": agreement} | confusion.scores(confusion.matrix(labels, found))


def card_text(repository: str, licence: str, model: served.Served, pipeline: dict[str, Any]) -> str:
    """The model card, from the figures in metrics/ and those of `write_transformer`.

    Raises:
        UserError: a file of metrics/ is missing.
    """
    from movie_ratings.reports import model_card

    paths = {"test": EVALUATE_DETAILS, "baselines": BASELINE_DETAILS, "fetch": FETCH_DETAILS, "split": SPLIT_DETAILS}
    figures = {name: storage.read_json(path) for name, path in paths.items()}
    source = figures["fetch"]["source"]
    data_set = params.load().fetch.hub.name if source == "hub" else None
    return model_card.card(repository, licence, model, data_set, pipeline=pipeline, text_format=FORMAT, **figures)


def push(folder: Path, repository: str, private: bool, version: str) -> None:
    """Upload ``folder`` in one commit: the files of `FILES` alone.

    Raises:
        UserError: the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(
            folder_path=folder, repo_id=repository, commit_message=f"Version {version}", allow_patterns=list(FILES)
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise UserError(
            f"{repository}: the hub did not take it ({first_line(error)}); HF_TOKEN must allow writing"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
