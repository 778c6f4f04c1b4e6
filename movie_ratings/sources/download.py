"""One file over HTTP: repeated after a fault, continued after a kill, complete or not there.

While a file arrives, two hidden files stand beside it: ``.NAME.part`` holds the bytes until now, and ``.NAME.origin``
the version of the file on the server, so that the bytes of two versions are never joined. The second one stays.
"""

import contextlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3 import Retry
from urllib3 import exceptions as faults

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.core.locks import locked
from movie_ratings.sources.network import reason

ATTEMPTS = 5  # requests in a row that bring no byte
FIRST_DELAY, LONGEST_DELAY = 1.0, 60.0  # seconds between two of them
LONGEST_PAUSE: Final = 900  # seconds; a longer Retry-After is cut to this
TIMEOUT: Final = (10.0, 60.0)  # seconds until a connection stands; seconds without a byte
BUSY: Final = (429, 500, 502, 503, 504)
CHUNK: Final = 1 << 16  # bytes
PAGES: Final = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True)
class Origin:
    """Which version of a file was downloaded, in the server's words; None where the server did not say."""

    url: str
    etag: str | None = None
    last_modified: str | None = None
    length: int | None = None  # bytes

    @property
    def validator(self) -> str | None:
        """What identifies this version in If-Range, where a weak ETag is not allowed."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified


class _InterruptedError(Exception):
    """A failed attempt after which another one may go on."""


def download(url: str, target: Path, *, longest: int, timeout: tuple[float, float] = TIMEOUT) -> Origin:
    """Download ``url`` to ``target`` unless ``target`` exists; return where its bytes came from.

    The bytes are stored as the server sends them, with redirects followed and the proxy of the environment honoured.
    One process downloads; others that want the same target wait. ``url`` appears in messages and must hold no secret.

    Args:
        url: an address of http or https.
        target: a path in a folder of the caller's own.
        longest: the most bytes that the file may have.
        timeout: the seconds until a connection stands, and the seconds without a byte.

    Raises:
        UserError: the host cannot be reached, the server refuses, sends a web page or more than ``longest`` bytes, or
            the disk is full. What arrived is kept for the next call, except where it is of no use.
    """
    with locked(target):
        if not target.exists():
            part = target.with_name(f".{target.name}.part")
            with requests.Session() as session:
                for scheme in ("http://", "https://"):
                    session.mount(scheme, HTTPAdapter(max_retries=_retries()))
                _Download(session, url, part, _note(target), target.name, longest, timeout).run()
            with storage.whole(target) as temporary:
                part.rename(temporary)
        return _read(_note(target)) or Origin(url)


def _note(target: Path) -> Path:
    return target.with_name(f".{target.name}.origin")


def _retries() -> Retry:
    """Repeats of a request that no answer came to, or that came at a bad time."""
    return Retry(
        total=ATTEMPTS - 1,
        status_forcelist=BUSY,
        allowed_methods={"GET"},
        backoff_factor=FIRST_DELAY,
        backoff_max=LONGEST_DELAY,
        backoff_jitter=FIRST_DELAY / 2,
        raise_on_status=False,  # the last answer is then judged like any other
        respect_retry_after_header=True,
        retry_after_max=LONGEST_PAUSE,
    )


@dataclass(frozen=True)
class _Download:
    """One file on its way to ``part``; ``note`` holds its `Origin`."""

    session: requests.Session
    url: str
    part: Path
    note: Path
    name: str
    longest: int
    timeout: tuple[float, float]

    def run(self) -> None:
        """Request the file, and what is missing of it, until ``part`` is complete."""
        failed = furthest = 0
        while True:
            try:
                return self._attempt()
            except _InterruptedError as fault:
                arrived = self._arrived()
                failed = 1 if arrived > furthest else failed + 1
                furthest = max(furthest, arrived)
                if failed == ATTEMPTS:
                    raise UserError(f"{self.url}: {fault}, {ATTEMPTS} times; run again to go on") from None
                time.sleep(min(LONGEST_DELAY, FIRST_DELAY * 2 ** (failed - 1)))

    def _attempt(self) -> None:
        known, arrived = _read(self.note), self._arrived()
        if known is None or known.url != self.url or known.validator is None:
            known, arrived = None, 0
        if known and arrived == known.length and self.part.exists():
            return  # a kill came before the file got its name
        headers = {"Accept-Encoding": "identity"}
        if known and arrived:
            headers |= {"Range": f"bytes={arrived}-", "If-Range": known.validator or ""}
        with self._answer(headers) as answer:
            self._check(answer)
            if answer.status_code == 206 and known and _continues(answer, known, arrived):
                self._save(answer, known, arrived)
            elif answer.status_code == 200:
                origin = _origin(self.url, answer)
                self._check_length(origin.length or 0, arrived=0)
                self.part.unlink(missing_ok=True)
                storage.write_json(self.note, asdict(origin))
                self._save(answer, origin, 0)
            else:  # a part of another version, or of nothing that the server has
                self.part.unlink(missing_ok=True)
                raise _InterruptedError("the file changed on the server")

    def _answer(self, headers: dict[str, str]) -> requests.Response:
        try:
            return self.session.get(self.url, headers=headers, stream=True, timeout=self.timeout)
        # Odd headers, such as a Retry-After in the year 99999, raise what the standard library raises for them.
        except (requests.RequestException, faults.HTTPError, ValueError, ArithmeticError) as error:
            raise UserError(f"{self.url}: {reason(error)}; run again to go on") from None

    def _check(self, answer: requests.Response) -> None:
        if answer.status_code not in (200, 206, 416):
            again = f", {ATTEMPTS} times; run again later" if answer.status_code in BUSY else ""
            raise UserError(f"{self.url}: HTTP {answer.status_code}{again}")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in PAGES and answer.status_code != 416:
            raise UserError(f"{self.url}: the server sent a web page ({kind}) in place of the file")

    def _check_length(self, length: int, arrived: int) -> None:
        if length > self.longest:
            self.part.unlink(missing_ok=True)
            raise UserError(f"{self.url}: longer than {self.longest:,} bytes; not downloaded")
        free = shutil.disk_usage(self.part.parent).free
        if length - arrived > free:
            raise UserError(
                f"{self.part.parent}: the disk has {free / 1e6:,.0f} MB free, {self.name} needs "
                f"{(length - arrived) / 1e6:,.0f} MB"
            )

    def _save(self, answer: requests.Response, origin: Origin, arrived: int) -> None:
        """Append the body to the ``arrived`` bytes."""
        self._check_length(origin.length or arrived, arrived)
        bar = tqdm(desc=self.name, total=origin.length, initial=arrived, unit="B", unit_scale=True)
        try:
            with self.part.open("ab") as file, bar:
                for chunk in _body(answer):
                    arrived += len(chunk)
                    if arrived > self.longest:
                        break
                    file.write(chunk)
                    bar.update(len(chunk))
        except OSError as error:  # a full disk; faults of the network are none here
            raise UserError(f"{self.part}: {error.strerror or first_line(error)}") from None
        if arrived > self.longest:
            self._check_length(arrived, arrived)
        if origin.length is not None and arrived != origin.length:
            raise _InterruptedError(f"{arrived:,} of {origin.length:,} bytes arrived")

    def _arrived(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0


def _body(answer: requests.Response) -> Iterator[bytes]:
    """The body as it is sent: a .gz that the server calls an encoding is not unpacked."""
    try:
        yield from answer.raw.stream(CHUNK, decode_content=False)
    except (faults.HTTPError, OSError) as error:
        raise _InterruptedError(f"the connection was lost ({type(error).__name__})") from None


def _continues(answer: requests.Response, known: Origin, arrived: int) -> bool:
    """Whether a partial answer continues the part: some servers honour Range and ignore If-Range."""
    span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if span is None or int(span[1]) != arrived:
        return False
    if known.length is not None and span[3] not in ("*", str(known.length)):
        return False
    found = _origin(known.url, answer)
    return all(
        before == now or now is None
        for before, now in ((known.etag, found.etag), (known.last_modified, found.last_modified))
    )


def _origin(url: str, answer: requests.Response) -> Origin:
    length = answer.headers.get("Content-Length", "")
    return Origin(
        url,
        answer.headers.get("ETag"),
        answer.headers.get("Last-Modified"),
        int(length) if length.isascii() and length.isdigit() else None,
    )


def _read(note: Path) -> Origin | None:
    """The origin in a file; None if there is none, or a damaged one."""
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return Origin(**json.loads(note.read_text(encoding="utf-8")))
    return None
