"""The folder of the tables that visitors upload, with the results beside them: bounded in bytes and in files."""

import asyncio
import contextlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

QUOTA: Final = 64 << 20  # bytes of all files together
FILES: Final = 128
LEFT: Final = 600  # seconds after which an upload that never ended is deleted


class FullError(Exception):
    """There is no room for another upload: others are arriving, or the disk is full."""


class UploadFolder:
    """A temporary folder of this process. The oldest files make room for new ones.

    Gradio writes an upload into a file of the folder itself, and moves a complete one into a folder in it.
    """

    def __init__(self, quota: int = QUOTA, files: int = FILES):
        self._quota, self._files, self._arriving = quota, files, 0
        self._trimming = threading.Lock()
        self._owner = tempfile.TemporaryDirectory(prefix="movie-ratings-page-", ignore_cleanup_errors=True)
        self.path = Path(self._owner.name).resolve()

    def holds(self, path: str) -> bool:
        """Whether ``path`` is a file of this folder."""
        return Path(os.path.realpath(path)).is_relative_to(self.path)

    @contextlib.asynccontextmanager
    async def upload(self, size: int) -> AsyncIterator[None]:
        """Keep room for an upload of at most ``size`` bytes while the block receives it.

        Raises:
            FullError: the uploads that arrive fill the folder, or the disk is full.
        """
        if (self._arriving + 1) * size > self._quota:
            raise FullError
        self._arriving += 1
        try:
            await asyncio.to_thread(self.trim, self._arriving * size)
            if shutil.disk_usage(self.path).free < self._arriving * size:
                raise FullError
            yield
        finally:
            self._arriving -= 1
            await asyncio.to_thread(self.trim)

    def trim(self, room: int = 0) -> None:
        """Delete the oldest files until ``room`` bytes are free in the quota, and what broken uploads have left."""
        with self._trimming:
            complete: list[tuple[float, int, Path]] = []
            left: list[tuple[float, int, Path]] = []
            for place in self.path.rglob("*"):
                with contextlib.suppress(OSError):  # deleted in the meantime
                    if place.is_file():
                        status = place.stat()
                        (left if place.parent == self.path else complete).append(
                            (status.st_mtime, status.st_size, place)
                        )
            for changed, size, place in left:
                if not size or not self._arriving or time.time() - changed > LEFT:
                    place.unlink(missing_ok=True)
            complete.sort()
            total = sum(size for _, size, _ in complete)
            for number, (_, size, place) in enumerate(complete):
                if total + room <= self._quota and len(complete) - number < self._files:
                    break
                place.unlink(missing_ok=True)
                total -= size
                with contextlib.suppress(OSError):  # the folder holds a result, too
                    place.parent.rmdir()
