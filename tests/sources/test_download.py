"""Downloading a file: from a server of our own, over real HTTP, with faults and kills."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.sources import download as module
from movie_ratings.sources.download import Origin, download
from tests.support.builders import ROOT
from tests.support.downloads import File, FileServer

BODY = random.Random(0).randbytes(300_000)
LATER = random.Random(1).randbytes(300_000)
LONGEST = 1_000_000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server with one file; the waits between attempts are short."""
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with FileServer() as server:
        server.files["a.gz"] = File(BODY)
        yield server


def left(folder: Path) -> set[str]:
    """The files in a folder, but for locks."""
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_file_is_downloaded_once_and_its_version_is_known(server: FileServer, tmp_path: Path) -> None:
    target, url = tmp_path / "store" / "a.gz", f"{server.url}/a.gz"
    origin = download(url, target, longest=LONGEST)
    assert target.read_bytes() == BODY
    assert origin == Origin(url, '"1"', "Thu, 26 Nov 2026 00:00:00 GMT", len(BODY))
    server.files.clear()
    assert download(url, target, longest=LONGEST) == origin
    assert server.requests == [("a.gz", None)]
    assert left(target.parent) == {"a.gz", ".a.gz.origin"}


def test_what_the_server_calls_an_encoding_is_stored_as_it_is_sent(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].content_encoding = "gzip"
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY


def test_a_file_of_unknown_length_is_downloaded(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].sends_length = False
    assert download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST).length is None
    assert (tmp_path / "a.gz").read_bytes() == BODY


def test_a_busy_server_is_asked_again_when_it_says(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].faults = [(503, {"Retry-After": "1"}), (500, {})]
    start = time.monotonic()
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert time.monotonic() - start >= 1
    assert (tmp_path / "a.gz").read_bytes() == BODY


def test_a_connection_that_is_cut_goes_on_where_it_was(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].faults = [200_000, 50_000]
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY
    spans = [int((span or "bytes=0-").removeprefix("bytes=").removesuffix("-")) for _, span in server.requests]
    assert len(spans) == 3
    assert 0 == spans[0] < spans[1] <= spans[2] <= 250_000
    assert spans[1] > 100_000


def test_a_server_without_ranges_starts_again(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"] = File(BODY, honours_range=False, faults=[200_000])
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY


@pytest.mark.parametrize("honours_if_range", [True, False])
def test_parts_of_two_versions_are_not_joined(server: FileServer, tmp_path: Path, honours_if_range: bool) -> None:
    server.files["a.gz"].faults = [200_000] + 9 * [0]
    with pytest.raises(UserError, match=r"/a\.gz: .*, 5 times; run again to go on$"):
        download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert left(tmp_path) == {".a.gz.part", ".a.gz.origin"}
    server.files["a.gz"] = File(LATER, '"2"', "Fri, 27 Nov 2026 00:00:00 GMT", honours_if_range=honours_if_range)
    origin = download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == LATER
    assert origin.etag == '"2"'
    assert len(server.requests) == 5 + (1 if honours_if_range else 2)


def test_a_part_of_another_address_is_not_continued(server: FileServer, tmp_path: Path) -> None:
    server.files["b.gz"] = File(LATER)
    server.files["a.gz"].faults = [200_000] + 9 * [0]
    with pytest.raises(UserError):
        download(f"{server.url}/a.gz", tmp_path / "target", longest=LONGEST)
    assert download(f"{server.url}/b.gz", tmp_path / "target", longest=LONGEST).url == f"{server.url}/b.gz"
    assert (tmp_path / "target").read_bytes() == LATER


def test_without_a_version_nothing_is_continued(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"] = File(BODY, etag='W/"1"', last_modified=None, faults=[200_000])
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY
    assert server.requests == [("a.gz", None)] * 2


def test_a_part_that_is_longer_than_the_file_is_dropped(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].faults = [200_000] + 9 * [0]
    with pytest.raises(UserError):
        download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    server.files["a.gz"] = File(BODY[:1_000], honours_if_range=False)
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY[:1_000]


CODE = """
import sys
from pathlib import Path
from movie_ratings.sources.download import download
download(sys.argv[1], Path(sys.argv[2]), longest=10**9)
"""


@pytest.mark.slow
def test_a_killed_download_goes_on(server: FileServer, tmp_path: Path) -> None:
    body = random.Random(2).randbytes(50_000_000)
    server.files["a.gz"] = File(body)
    command = [sys.executable, "-c", CODE, f"{server.url}/a.gz", str(tmp_path / "a.gz")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    part = tmp_path / ".a.gz.part"
    while not part.exists() or part.stat().st_size < 1_000_000:
        time.sleep(0.001)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "a.gz").exists()
    subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=True)
    assert (tmp_path / "a.gz").read_bytes() == body
    assert int((server.requests[-1][1] or "").strip("bytes=-")) >= 1_000_000


def test_two_that_want_one_file_download_it_once(server: FileServer, tmp_path: Path) -> None:
    server.files["a.gz"].faults = [(503, {"Retry-After": "1"})]
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST), range(2))
    assert one == other
    assert len(server.requests) == 2
    assert (tmp_path / "a.gz").read_bytes() == BODY


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (None, r"HTTP 404$"),
        (File(BODY, faults=5 * [(503, {})]), r"HTTP 503, 5 times; run again later$"),
        (File(BODY, faults=[(403, {})]), r"HTTP 403$"),
        (
            File(b"<html>", content_type="text/html; charset=utf-8"),
            r"the server sent a web page \(text/html\) in place",
        ),
        (File(BODY * 4), r"longer than 1,000,000 bytes; not downloaded$"),
        (File(BODY * 4, sends_length=False), r"longer than 1,000,000 bytes; not downloaded$"),
        (File(BODY, faults=[(503, {"Retry-After": "soon"})]), r"no answer \(InvalidHeader\); run again to go on$"),
        (
            File(BODY, faults=[(302, {"Location": "/a.gz"})] * 40),
            r"no answer \(TooManyRedirects\); run again to go on$",
        ),
    ],
)
def test_what_is_no_file_leaves_none_and_is_named(
    server: FileServer, tmp_path: Path, file: File | None, message: str
) -> None:
    if file is None:
        server.files.clear()
    else:
        server.files["a.gz"] = file
    with pytest.raises(UserError, match=message) as error:
        download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert str(error.value).startswith(f"{server.url}/a.gz: ")
    assert "\n" not in str(error.value)
    assert not left(tmp_path) - {".a.gz.origin"}


@pytest.mark.parametrize(
    ("proxy", "url", "message"),
    [
        ("", "http://127.0.0.1:1/a.gz", "the host cannot be reached"),
        ("http://127.0.0.1:1", "http://example.org/a.gz", "the proxy cannot be reached, or refuses"),
        ("", "http://no-such-host.invalid/a.gz", "the name of the host cannot be resolved"),
    ],
)
def test_a_host_that_cannot_be_reached_is_named(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, url: str, message: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(UserError) as error:
        download(url, tmp_path / "a.gz", longest=LONGEST)
    assert str(error.value) == f"{url}: {message}; run again to go on"


def test_the_proxy_of_the_environment_is_used(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.files["http://files.invalid/a.gz"] = File(BODY)
    download("http://files.invalid/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY


def test_a_disk_without_room_is_named_before_the_download(
    server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(UserError, match=r"the disk has 0 MB free, a\.gz needs 0 MB$"):
        download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)


def test_a_disk_that_fills_up_is_named_and_the_part_is_kept(server: FileServer, tmp_path: Path) -> None:
    """The limit on the size of a file stands in for the end of a disk."""
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most))
    try:
        with pytest.raises(UserError) as error:
            download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    assert str(error.value) == f"{tmp_path}/.a.gz.part: File too large"
    download(f"{server.url}/a.gz", tmp_path / "a.gz", longest=LONGEST)
    assert (tmp_path / "a.gz").read_bytes() == BODY
    assert [span for _, span in server.requests] == [None, "bytes=100000-"]
