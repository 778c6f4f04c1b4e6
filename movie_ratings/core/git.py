"""What git prints, for the commands that read the repository around the working directory."""

import subprocess

from movie_ratings.core.errors import UserError


def output(*arguments: str) -> str | None:
    """What a git command prints, without blanks at its ends; None if the command fails or prints nothing.

    Raises:
        UserError: git is not installed.
    """
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise UserError("git: no such command; --rev needs git to find the revision") from None
    return (done.returncode == 0 and done.stdout.strip()) or None
