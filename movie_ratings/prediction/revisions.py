"""The served model of any git revision, from DVC's cache or, if the cache lacks it, from a remote."""

import subprocess
import tempfile
from pathlib import Path
from typing import Final

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line

ARTIFACT: Final = "movie-rating"


def fetch(rev: str, path: str) -> Path:
    """A folder with the files that ``path`` held at ``rev``, kept in the store under the commit's hash.

    ``rev`` is anything that git resolves (a commit, a branch, a tag such as GTO's ``movie-rating@v1.2.0``), or only the
    version of a GTO tag (``v1.2.0``).

    Raises:
        UserError: there is no such revision, it has no model, or the model is neither in the cache nor on a remote.
    """
    commit = _commit(rev) or _commit(f"{ARTIFACT}@{rev}")
    if commit is None:
        raise UserError(f"{rev}: no such revision of this git repository, and no tag {ARTIFACT}@{rev}")
    target = storage.store() / "models" / commit
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Several processes may fetch the same revision at once: each fetches a copy, and the first complete one stays.
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-", suffix=".tmp") as scratch:
            _copy(commit, rev, path, Path(scratch, "model"))
            try:
                Path(scratch, "model").rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    return target


def _copy(commit: str, rev: str, path: str, target: Path) -> None:
    from dvc.api import DVCFileSystem  # takes seconds to import

    fs = DVCFileSystem(".", rev=commit)
    if not fs.exists(path):
        raise UserError(f"{rev}: has no {path}; the export stage was added later, or its output was not committed")
    try:
        fs.get(path, str(target), recursive=True)
    # A remote's library raises errors of its own (no remote, no key, no such object); the model is missing each time.
    except Exception as error:
        raise UserError(
            f"{rev}: its model is neither in the DVC cache nor on a remote that answers "
            f"({first_line(error)}); `dvc push` on a machine that has the model would share it"
        ) from None
    if not (target.is_dir() and any(target.iterdir())):
        raise UserError(
            f"{rev}: its model is neither in the DVC cache nor on a remote; "
            "`dvc push` on a machine that has the model would share it"
        )


def _commit(rev: str) -> str | None:
    if rev.startswith("-"):
        return None
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("git: no such command; --rev needs git to find the revision") from None
    return done.stdout.strip() or None
