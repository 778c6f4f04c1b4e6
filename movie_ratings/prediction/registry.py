"""The stages of the model, such as prod: which version is assigned to a stage is kept in git tags, which GTO makes.

GTO itself decides which version that is, so that ``--rev prod`` and ``gto show movie-rating#prod`` cannot differ. The
import of GTO takes half a second: this module imports it only for a stage that some tag names.
"""

import re
from typing import Final

from movie_ratings.core import git
from movie_ratings.core.errors import UserError, first_line

ARTIFACT: Final = "movie-rating"
# The tag of an assignment is movie-rating#prod#3, that of the end of an assignment movie-rating#prod!#4. The last
# number counts the tags of the artifact; `gto assign --simple true` leaves it out.
EVENT: Final = re.compile(rf"{ARTIFACT}#(?P<stage>[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?)!?(?:#[0-9]+)?")


def stages() -> set[str]:
    """The stages that a version is assigned to, or was."""
    lines = (git.output("for-each-ref", "--format=%(objecttype) %(refname:strip=2)", "refs/tags/") or "").splitlines()
    tags = (line.split(" ", 1) for line in lines)
    # GTO reads annotated tags alone: they have a time and an author.
    found = (EVENT.fullmatch(name) for kind, name in tags if kind == "tag")
    return {match["stage"] for match in found if match}


def assigned(stage: str, root: str) -> str:
    """The commit of the version that is assigned to ``stage`` in the git repository at ``root``.

    Raises:
        UserError: no version is assigned to the stage now, GTO is not installed, or GTO cannot read the tags.
    """
    name = f"{ARTIFACT}#{stage}"
    try:
        from gto.api import show
    except ModuleNotFoundError:
        raise UserError(f"{name}: only the package gto can tell which version this is; `pip install gto`") from None
    try:
        versions = show(root, name)
    # Its own errors, and those of its libraries for git; the tags are at fault each time.
    except Exception as error:
        raise UserError(f"{name}: gto cannot read the tags of this repository ({first_line(error)})") from None
    if not versions:
        raise UserError(
            f"{name}: no version is assigned to this stage now, only earlier; "
            f"`gto assign {ARTIFACT} --version VERSION --stage {stage}` assigns one"
        )
    return str(versions[0]["commit_hexsha"])
