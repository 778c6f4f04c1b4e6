"""What monitors, load balancers, proxies and browsers expect of the service."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from serving.page import INPUTS
from tests.support.service import Server

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}
COLUMNS = {"title": ["Film 7"], "summary": ["A radiant vision."], "genres": [["Drama"]]}
ORIGIN = "https://movies.example"


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    options = ["--root-path", "/movies", "--cors-origin", ORIGIN, "--keep-alive", "1"]
    with Server(served_model, "--no-page", *options) as running:
        yield running


@pytest.fixture(scope="module")
def with_page(served_model: Path) -> Iterator[Server]:
    with Server(served_model, "--root-path", "/movies") as running:
        yield running


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/status", "/v1/model", "/metrics", "/docs"])
def test_monitors_may_ask_for_the_head_alone(server: Server, path: str) -> None:
    status, content, headers = server.ask("HEAD", path)
    assert (status, content) == (200, "")
    assert int(headers["content-length"]) > 0


@pytest.mark.parametrize("prefix", ["", "/movies"], ids=["the proxy removes the prefix", "the proxy keeps the prefix"])
def test_the_service_is_found_under_the_path_of_a_proxy(server: Server, prefix: str) -> None:
    assert server.ask("POST", f"{prefix}/v1/predict", {"movies": [MOVIE]})[0] == 200
    assert server.ask("POST", f"{prefix}/classifier_post", COLUMNS)[0] == 200
    assert server.ask("POST", f"{prefix}/classifier_post/", COLUMNS)[0] == 200
    assert server.ask("GET", f"{prefix}/healthz")[0] == 200
    page = server.ask("GET", f"{prefix}/docs")[1]
    assert "href='/movies/openapi.json'" in page
    assert "/movies/v1/predict" in page
    assert server.ask("GET", f"{prefix}/openapi.json")[1]["servers"] == [{"url": "/movies"}]
    assert server.ask("GET", "/moviesque/healthz")[0] == 404


def test_the_documentation_needs_no_other_host(server: Server) -> None:
    _, page, headers = server.ask("GET", "/docs")
    assert headers["content-type"].startswith("text/html")
    assert not re.search(r"<script|https?://|src=", page)
    for name in ("PredictRequest", "Movie", "Problem", "items ≤ 128", "characters ≤ 20,000"):
        assert name in page
    for path, command in re.findall(r"curl -X POST HOST(\S+) .*?-d &#x27;(.*?)&#x27;</pre>", page, re.DOTALL):
        assert server.ask("POST", path, json.loads(unescape(command)))[0] == 200
    assert page.count("curl -X POST") == 3


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/healthz", None), ("GET", "/nowhere", None), ("POST", "/v1/predict", {"movies": [{}]})],
)
def test_every_response_tells_browsers_what_not_to_do(server: Server, method: str, path: str, body: Any) -> None:
    _, _, headers = server.ask(method, path, body)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert headers["referrer-policy"] == "same-origin"


def test_pages_of_the_named_origins_alone_may_send_requests(server: Server) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-api-key"}
    status, _, headers = server.ask("OPTIONS", "/v1/predict", None, Origin=ORIGIN, **asked)
    assert (status, headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert server.ask("OPTIONS", "/v1/predict", None, Origin="https://other.example", **asked)[0] == 400
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://other.example", None)):
        for movie in (MOVIE, {}):
            _, _, headers = server.ask("POST", "/v1/predict", {"movies": [movie]}, Origin=origin)
            assert headers.get("access-control-allow-origin") == allowed


def test_a_connection_stays_open_as_long_as_it_was_set_to(server: Server) -> None:
    for pause, kept in ((0.5, True), (1.6, False)):
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        assert connection.sock is not None
        time.sleep(pause)
        connection.sock.settimeout(0.1)
        try:
            closed = connection.sock.recv(1) == b""
        except TimeoutError:
            closed = False
        assert closed is not kept
        connection.close()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--root-path", "movies"], "--root-path: must begin with a slash, found movies"),
        (["--cors-origin", "movies.example"], "--cors-origin: must be an origin"),
        (["--frame-ancestor", "https://a.example; script-src *"], "--frame-ancestor: must be an origin"),
        (["--connections", "0"], "--connections: at least 1, found 0"),
        (["--connections-per-client", "-1"], "--connections-per-client: at least 0, found -1"),
        (["--keep-alive", "nan"], "--keep-alive: at least 0, found nan"),
    ],
)
def test_a_wrong_option_is_one_line(
    served_model: Path, options: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from serving.__main__ import main

    assert main(["--model", str(served_model), "--no-page", *options]) == 2
    assert complaint in capsys.readouterr().err


def test_other_sites_may_show_the_page_where_they_are_named() -> None:
    from serving.api import Access

    headers = Access(frame_ancestors=["https://huggingface.co"]).headers
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self' https://huggingface.co"
    assert "X-Frame-Options" not in headers


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "/movies"])
def test_the_page_is_found_under_the_path_of_a_proxy(with_page: Server, prefix: str) -> None:
    status, page, headers = with_page.ask("GET", f"{prefix}/", **{"X-Forwarded-Host": "movies.example"})
    assert status == 200
    assert headers["x-frame-options"] == "SAMEORIGIN"
    _, config, _ = with_page.ask("GET", f"{prefix}/config", **{"X-Forwarded-Host": "movies.example"})
    assert config["root"] == "http://movies.example/movies"
    assets = set(re.findall(r'(?:src|href)="(\.?/?(?:movies/)?(?:assets|static)/[^"]+)"', page))
    assert assets
    for asset in assets:
        assert with_page.ask("GET", "/movies/" + asset.lstrip("./").removeprefix("movies/"))[0] == 200
    assert with_page.ask("HEAD", f"{prefix}/healthz")[0] == 200
    assert with_page.ask("HEAD", f"{prefix}/")[0] == 200
    assert with_page.ask("POST", f"{prefix}/classifier_post/", COLUMNS)[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classifier_post", "POST"),
        ("GET", "/classifier_post/", "POST"),
        ("HEAD", "/v1/predict", "POST"),
        ("DELETE", "/v1/predict", "POST"),
        ("POST", "/v1/model", "GET"),
        ("POST", "/docs", "GET"),
    ],
)
def test_the_page_hides_no_route_from_another_method(with_page: Server, method: str, path: str, allowed: str) -> None:
    status, _, headers = with_page.ask(method, path)
    assert (status, headers["allow"]) == (405, allowed)


def form(**values: Any) -> list[Any]:
    """What the page sends for a movie with these values."""
    return list((dict.fromkeys(INPUTS) | {"title": "A"} | values).values())


@pytest.mark.slow
@pytest.mark.parametrize("path", ["queue/join", "run/predict", "call/predict", "component_server", "cancel"])
def test_the_page_has_the_limits_of_the_api(with_page: Server, path: str) -> None:
    # vLLM CVE-2026-34756, for Gradio's routes: it checks the length of a text in the browser alone.
    body = {"data": form(summary="word " * 200_000), "fn_index": 0, "session_hash": "a"}
    status, answer, _ = with_page.ask("POST", f"/gradio_api/{path}", body)
    assert status == 413
    assert answer["detail"] == "the body has more than 131,072 bytes"


@pytest.mark.slow
def test_a_movie_of_the_page_is_one_of_the_api(with_page: Server) -> None:
    _, config, _ = with_page.ask("GET", "/config")
    (event, *_) = [found["id"] for found in config["dependencies"] if len(found["inputs"]) == len(INPUTS)]
    refused: list[tuple[list[Any], str]] = [
        (form(summary="word " * 5_000), "at most 20000 characters"),
        (form(genres=["c"] * 51), "at most 50 items"),
        (form(cast=", ".join("c" * 51)), "at most 50 items"),
        (form(spoken_languages="c" * 101), "at most 100 characters"),
        (form(collection="c" * 501), "at most 500 characters"),
        (form(budget=10**11), "from 0 to 10,000,000,000"),
    ]
    for number, (data, reason) in enumerate(refused):
        session = f"session{number}"
        body = {"data": data, "fn_index": event, "session_hash": session}
        assert with_page.ask("POST", "/gradio_api/queue/join", body)[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", with_page.port, timeout=30)
        connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        response = connection.getresponse()
        while b"process_completed" not in (line := response.readline()):
            assert line
        connection.close()
        assert reason in json.loads(line.partition(b":")[2])["output"]["error"]
    # Gradio would load it for the first event, which holds up every other request for seconds.
    assert "onnxruntime" in with_page.loaded
    assert "matplotlib" not in with_page.loaded
