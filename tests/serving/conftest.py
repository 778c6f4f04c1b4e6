"""The service with its page, and a browser for it. Modules that need other ones have fixtures of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support import slates
from tests.support import tmdb as fake
from tests.support.browser import WIDTHS, started
from tests.support.builders import ROOT
from tests.support.service import Server
from tests.support.slates import film
from tests.support.tmdb import KEY

MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    """A width of the page; a test that needs one width alone names it by parametrize."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    """A service with a tiny model, or with the model that MOVIE_RATINGS_PAGE_MODEL names."""
    with Server(Path(os.environ.get("MOVIE_RATINGS_PAGE_MODEL", served_model))) as running:
        yield running


@pytest.fixture(scope="module")
def log_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log of `full_server`."""
    return tmp_path_factory.mktemp("served") / "log"


@pytest.fixture(scope="module")
def slate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slates of `full_server`: the newest one has more films than the page shows, and titles with markup."""
    folder = tmp_path_factory.mktemp("slates")
    slates.write(folder / "2026-12-01.parquet", film(1), film(2))
    slates.write(
        folder / "2026-12-08.parquet",
        film(1, title=f"{MARKUP} of a title that is much longer than a telephone is wide, and goes on", label="good"),
        *(film(number, title=None if number == 3 else f"Film {number}") for number in range(2, 121)),
    )
    return folder


@pytest.fixture(scope="module")
def tmdb_source() -> Iterator[fake.Server]:
    """What stands where TMDB is, for `full_server`."""
    upcoming = {"title": "The Long Harbour", "release_date": "2027-02-03", "runtime": 0, "budget": 0}
    values = {"9": upcoming, "7": {"title": MARKUP}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        with fake.Server(movies=30, broken=[5], values=values) as running:
            yield running


@pytest.fixture(scope="module")
def full_server(served_model: Path, log_folder: Path, slate_folder: Path, tmdb_source: fake.Server) -> Iterator[Server]:
    """As `server`, with all that the page has only if the service was started so: search, feedback and slates."""
    options = ("--log", str(log_folder), "--slates", str(slate_folder))
    tmdb = {"TMDB_API_KEY": KEY, "TMDB_API_URL": f"{tmdb_source.url}/3", "NO_PROXY": "*"}
    with Server(served_model, *options, **tmdb) as running:
        yield running
    log = str(running.log)
    assert KEY not in log
    assert "the page failed" not in log


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with started() as running:
        yield running
