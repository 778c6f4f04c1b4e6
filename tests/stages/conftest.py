"""Fixtures of the commands that ask a server of TMDB's shapes."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from movie_ratings.sources.tmdb import client
from tests.support.builders import ROOT
from tests.support.tmdb import KEY, Server, Start


@pytest.fixture
def start(trained: Path, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a server of TMDB's shapes, which params.yaml of the working directory names from then on."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMDB_API_KEY", KEY)
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2026-11-26T12:00:00")
    monkeypatch.setattr(client, "FIRST_DELAY", 0.002)
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:

        def started(rate: float = 1000.0, **settings: Any) -> Server:
            server = stack.enter_context(Server(**settings))
            raw_params["evaluate"]["bootstrap"] = 100
            raw_params["fetch"]["tmdb"] |= {
                "api_url": f"{server.url}/3", "requests_per_second": rate, "timeout": 0.5,
            }  # fmt: skip
            with Path("params.yaml").open("w") as file:
                YAML().dump(raw_params, file)
            return server

        yield started
