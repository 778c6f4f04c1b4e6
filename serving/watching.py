"""--watch: when the model of a running service has to be loaded again.

A look costs little while nothing changes. For a folder it reads the names, times and sizes of the files; for a revision
it finds the commit that the name stands for. A folder is read once it is the same in two looks: `dvc checkout` writes
one file after another. Whether a folder or a commit brings another model is decided by the version of what is there,
which checks every file.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from movie_ratings.core.errors import UserError, first_line
from movie_ratings.prediction import served

LOG: Final = logging.getLogger("serving")
SECONDS: Final = 10.0  # between two looks, by default
SHORTEST: Final = 1.0  # seconds: a look may start git, and a file's time may be of whole seconds
LONGEST: Final = 86_400.0  # seconds
MOST_LOOKS: Final = 64  # between two tries to get a model that could not be got


class Source(Protocol):
    """Where the model of the service comes from."""

    def look(self, version: str) -> bool:
        """Whether a whole model other than ``version`` is there; True once for each change. Takes up to seconds.

        Raises:
            UserError: what is there is no whole model, or cannot be got.
        """


def source(path: str, rev: str | None) -> Source:
    """The folder ``path``, or that folder at the git revision ``rev``, whatever commit that is at the moment."""
    return Folder(path) if rev is None else Revision(path, rev)


async def watch(source: Source, version: Callable[[], str], changed: Callable[[], None], seconds: float) -> None:
    """Look at ``source`` every so many ``seconds``, and call ``changed`` when it has another model than ``version``.

    What is wrong with the source becomes one line in the log for each change of it.
    """
    logged = ""
    while True:
        await asyncio.sleep(seconds)
        try:
            if await asyncio.to_thread(source.look, version()):
                changed()
            logged = ""
        # Also what git or a library raises unexpectedly: the service goes on with its model, and goes on looking.
        except Exception as error:
            if (reason := first_line(error)) != logged:
                LOG.error("the old model goes on", extra={"details": {"reason": reason}})
            logged = reason


class Folder:
    """A served folder, which other programs write to; see `Source`."""

    def __init__(self, path: str):
        self._path = path
        self._last: Any = None  # the files at the last look
        self._done: Any = None  # the files that were decided on

    def look(self, version: str) -> bool:
        """See `Source.look`; it raises an error once for each change."""
        files = fingerprint(self._path)
        settled, self._last = files == self._last, files
        if not settled or files == self._done:
            return False
        self._done = files
        return served.read(self._path).version != version


class Revision:
    """A served folder at what a branch, a tag or a stage stands for; see `Source`.

    A model that cannot be got is tried again after 1, 2, 4 … looks: perhaps it is pushed later than the tag, or the
    remote does not answer.
    """

    def __init__(self, path: str, rev: str):
        self._path, self._rev = path, rev
        self._done = ""  # the commit that was decided on
        self._failed: tuple[str, UserError] | None = None  # the commit whose model could not be got, and why
        self._pause = self._looks = 0  # looks without a try: at first, and those that are left

    def look(self, version: str) -> bool:
        """See `Source.look`; it raises an error in each look until the model could be got."""
        from movie_ratings.prediction import revisions

        commit = revisions.resolve(self._rev)
        if commit == self._done:
            self._failed = None
            return False
        if self._failed and self._failed[0] == commit and self._looks:
            self._looks -= 1
            raise self._failed[1]
        try:
            folder = revisions.fetch(commit, self._path)
        except UserError as error:
            again = self._failed is not None and self._failed[0] == commit
            self._looks = self._pause = min(2 * self._pause, MOST_LOOKS) if again else 1
            self._failed = commit, UserError(f"{self._rev}: {error}")
            raise self._failed[1] from None
        self._done, self._failed = commit, None
        return served.read(folder).version != version


def fingerprint(folder: str | Path) -> Any:
    """What changes when a file of ``folder`` is written or replaced: names, times, sizes, inodes. No file is read."""
    try:
        with os.scandir(folder) as entries:
            states = ((entry.name, entry.stat()) for entry in entries)
            return sorted((name, state.st_mtime_ns, state.st_size, state.st_ino) for name, state in states)
    except OSError as error:  # the folder is missing, or a file went away
        return str(error)
