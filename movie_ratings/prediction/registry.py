"""The stages of the model, such as prod: which version is assigned to a stage is kept in git tags, which GTO makes.

GTO itself decides which version that is, so that ``--rev prod`` and ``gto show movie-rating#prod`` cannot differ. The
import of GTO takes half a second, and so does its answer where there are hundreds of tags: this module calls GTO only
for a stage that some tag names, and once for the same tags.
"""

import re
from functools import lru_cache
from typing import Final

from movie_ratings.core import git
from movie_ratings.core.errors import UserError, first_line

ARTIFACT: Final = "movie-rating"
# The tag of an assignment is movie-rating#prod#3, that of the end of an assignment movie-rating#prod!#4. The last
# number counts the tags of the artifact; `gto assign --simple true` leaves it out.
EVENT: Final = re.compile(rf"{ARTIFACT}#(?P<stage>[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?)!?(?:#[0-9]+)?")


Tags = tuple[tuple[str, str], ...]


def tags() -> Tags:
    """The names and the hashes of all tags that GTO may have made for the model."""
    form = "--format=%(objecttype) %(objectname) %(refname:strip=2)"
    lines = (git.output("for-each-ref", form, "refs/tags/") or "").splitlines()
    found = (line.split(" ", 2) for line in lines)
    # GTO reads annotated tags alone: they have a time and an author.
    return tuple((name, sha) for kind, sha, name in found if kind == "tag" and re.match(f"{ARTIFACT}[@#]", name))


def stages(tags: Tags) -> set[str]:
    """The stages that a version is assigned to, or was."""
    found = (EVENT.fullmatch(name) for name, _ in tags)
    return {match["stage"] for match in found if match}


def assigned(stage: str, root: str, tags: Tags) -> str:
    """The commit of the version that is assigned to ``stage`` in the git repository at ``root``, which has ``tags``.

    Raises:
        UserError: no version is assigned to the stage now, GTO is not installed, or GTO cannot read the tags.
    """
    commit = _assigned(f"{ARTIFACT}#{stage}", root, tags)
    if commit is None:
        raise UserError(
            f"{ARTIFACT}#{stage}: no version is assigned to this stage now, only earlier; "
            f"`gto assign {ARTIFACT} --version VERSION --stage {stage}` assigns one"
        )
    return commit


@lru_cache(maxsize=8)
def _assigned(name: str, root: str, tags: Tags) -> str | None:
    try:
        from gto.api import show
    except ModuleNotFoundError:
        raise UserError(f"{name}: only the package gto can tell which version this is; `pip install gto`") from None
    try:
        versions = show(root, name)
    # Its own errors, and those of its libraries for git; the tags are at fault each time.
    except Exception as error:
        raise UserError(f"{name}: gto cannot read the tags of this repository ({first_line(error)})") from None
    return str(versions[0]["commit_hexsha"]) if versions else None
