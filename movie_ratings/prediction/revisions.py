"""The served model of any git revision, from DVC's cache or, if the cache lacks it, from a remote."""

import hashlib
import logging
import os
from pathlib import Path
from typing import Final

from movie_ratings.core import git, storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.locks import locked
from movie_ratings.prediction import registry
from movie_ratings.prediction.registry import ARTIFACT

LOG: Final = logging.getLogger(__name__)
MARK: Final = f"{ARTIFACT}#"  # before the name of a stage


def fetch(rev: str, path: str) -> Path:
    """A folder with the files that ``path`` held at ``rev``, kept in the store under the commit's hash and the path.

    ``rev`` is what `resolve` takes; a warning is logged if it names a stage too, and something else is taken. ``path``
    may be of a DVC project in a subfolder of the git repository.

    Raises:
        UserError: there is no git repository or no such revision, the revision has no model at this path, or the model
            is neither in the cache nor on a remote.
    """
    commit, root = resolve(rev), _root(rev)
    _warn_of_the_stage(rev)
    place = Path(os.path.normpath(Path.cwd() / path))
    if not place.is_relative_to(root):
        raise UserError(f"{path}: outside of the git repository {root}, so {rev} cannot have it")
    inside = hashlib.sha256(place.relative_to(root).as_posix().encode()).hexdigest()[:12]
    target = storage.store() / "models" / f"{commit}-{inside}"
    if not target.is_dir():
        # Several processes may fetch the same revision at once: one fetches it, and the others wait.
        with locked(target):
            if not target.is_dir():
                with storage.whole(target) as temporary:
                    _copy(commit, rev, path, place, temporary)
    return target


def resolve(rev: str) -> str:
    """The hash of the commit that ``rev`` stands for now.

    The first of these that exists is taken: ``movie-rating#prod``, GTO's name of the stage prod; anything that git
    resolves (a commit, a branch, a tag such as GTO's ``movie-rating@v1.2.0``); the version of a GTO tag (``v1.2.0``); a
    stage (``prod``); the name of a DVC experiment.

    Raises:
        UserError: there is no git repository or no such revision, no version is assigned to the stage, or several
            experiments have the name.
    """
    root, tags, stage = _root(rev), registry.tags(), rev.removeprefix(MARK)
    stages = registry.stages(tags)
    # `gto assign --simple true` makes a tag of this name, which stays at its commit when another version is assigned.
    if stage != rev and stage in stages:
        return registry.assigned(stage, root, tags)
    if commit := _commit_or_version(rev):
        return commit
    if rev in stages:
        return registry.assigned(rev, root, tags)
    if stage == rev and (commit := _experiment(rev)):
        return commit
    sought = f"tag {ARTIFACT}@{rev}, stage {rev} or experiment {rev}" if stage == rev else f"stage {stage}"
    known = f"stages here: {', '.join(sorted(stages))}" if stages else f"{ARTIFACT} has no stages here"
    raise UserError(
        f"{rev}: no such revision of this git repository, and no {sought} ({known}; `git fetch --tags` brings new ones)"
    )


def _warn_of_the_stage(rev: str) -> None:
    if _commit_or_version(rev) and rev in registry.stages(registry.tags()):
        LOG.warning(
            f"{rev}: both a revision of git and a stage of {ARTIFACT}. The revision is taken, because {rev} names it "
            f"in every git command; --rev {MARK}{rev} takes the stage"
        )


def _root(rev: str) -> str:
    root = git.output("rev-parse", "--show-toplevel")
    if root is None:
        raise UserError(f"--rev {rev}: {Path.cwd()} is not in a git repository")
    return root


def _copy(commit: str, rev: str, path: str, place: Path, target: Path) -> None:
    try:
        from dvc.repo import Repo  # takes seconds to import
    except ModuleNotFoundError:
        raise UserError(f"{rev}: only the package dvc can get its model; `pip install dvc`") from None

    # The DVC project is the one around the path as it is now, with the cache and the remotes that it has now.
    start = next(parent for parent in place.parents if parent.is_dir())
    try:
        with Repo(str(start), uninitialized=True) as present:
            # A remote's path is relative to a file of the working tree, which a revision's own configuration lacks.
            config = {section: present.config[section] for section in ("core", "remote")}
        with Repo(str(start), uninitialized=True, config=config) as repo:
            name = place.relative_to(repo.root_dir).as_posix()
            with repo.switch(commit):
                found = repo.dvcfs.exists(name)
                if found:
                    repo.dvcfs.get(name, str(target), recursive=True)
    # A remote's library raises errors of its own (no remote, no key, no such object); the model is missing each time.
    except Exception as error:
        raise UserError(
            f"{rev}: its model is neither in the DVC cache nor on a remote that answers "
            f"({first_line(error)}); `dvc push` on a machine that has the model would share it"
        ) from None
    if not found:
        raise UserError(f"{rev}: has no {path}; the export stage was added later, or its output was not committed")
    if not (target.is_dir() and any(target.iterdir())):
        raise UserError(
            f"{rev}: its model is neither in the DVC cache nor on a remote; "
            "`dvc push` on a machine that has the model would share it"
        )


def _commit(rev: str) -> str | None:
    if rev.startswith("-"):
        return None
    return git.output("rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")


def _commit_or_version(rev: str) -> str | None:
    return _commit(rev) or _commit(f"{ARTIFACT}@{rev}")


def _experiment(name: str) -> str | None:
    """The commit of the DVC experiment ``name``; of several, the one that was made from the present commit.

    Raises:
        UserError: several experiments have the name, and none was made from the present commit.
    """
    lines = (git.output("for-each-ref", "--format=%(objectname) %(refname)", "refs/exps/") or "").splitlines()
    # DVC keeps an experiment as refs/exps/01/234abcd…/NAME, where 01234abcd… is the commit that it was made from.
    found = {}
    for commit, ref in (line.split(" ", 1) for line in lines):
        match ref.split("/"):
            case ["refs", "exps", first, rest, found_name] if len(first + rest) == 40 and found_name == name:
                found[first + rest] = commit
    if len(set(found.values())) <= 1:
        return next(iter(found.values()), None)
    head = _commit("HEAD")
    if head not in found:
        raise UserError(
            f"{name}: {len(found)} experiments have this name; give the commit that `dvc exp show --sha` shows"
        )
    return found[head]
