"""The service with its page, and a browser for it. Modules that need other ones have fixtures of their own."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import started
from tests.support.service import Server


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    """A service with a tiny model, or with the model that MOVIE_RATINGS_PAGE_MODEL names."""
    with Server(Path(os.environ.get("MOVIE_RATINGS_PAGE_MODEL", served_model))) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with started() as running:
        yield running
