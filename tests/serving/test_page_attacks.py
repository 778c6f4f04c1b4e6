"""The page's routes under attack, over real HTTP: the classes of Gradio's advisories, uploads, the queue, the log."""

import asyncio
import base64
import contextlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from serving.page import INPUTS, MAX_UPLOAD, WAITING, link
from serving.page.what_if import VARIANTS
from serving.page_gate import PageGate, same_origin
from serving.upload_folder import FILES, QUOTA, FullError, UploadFolder
from tests.support.page_events import answered, join, movie, result
from tests.support.service import Server
from tests.support.workbooks import changed, xlsx

SECRET = "a-word-that-a-visitor-wrote"


@pytest.fixture(scope="module")
def server(served_model: Path) -> Iterator[Server]:
    with Server(served_model) as running:
        yield running
    assert SECRET not in json.dumps(running.log)


@pytest.fixture(scope="module")
def events(server: Server) -> dict[str, int]:
    """The numbers of the page's events."""
    _, config, _ = server.ask("GET", "/config")
    sizes = {(len(event["inputs"]), len(event["outputs"])): event["id"] for event in config["dependencies"]}
    fields = len(INPUTS)
    shown = 1 + 2 * VARIANTS  # the number of variants, their columns and their answers
    return {
        "movie": sizes[fields, 2],
        "table": sizes[1, 3],
        "link": sizes[1 + fields, 1],
        "open": sizes[0, 1 + fields],
        "add": sizes[1 + fields, shown + VARIANTS * fields],
        "remove": sizes[1, shown],
        "compare": sizes[1 + VARIANTS * fields, VARIANTS],
    }


def form(*contents: bytes, name: str = "movies.csv") -> tuple[bytes, dict[str, str]]:
    parts = [
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="' + name.encode() + b'"\r\n\r\n' + content
        for content in contents
    ]
    return b"\r\n".join([*parts, b"--edge--\r\n"]), {"Content-Type": "multipart/form-data; boundary=edge"}


def upload(server: Server, *contents: bytes, name: str = "movies.csv", **headers: str) -> tuple[int, Any]:
    body, kind = form(*contents, name=name)
    return server.ask("POST", "/gradio_api/upload", body, **(kind | headers))[:2]


@pytest.fixture
def folder(server: Server) -> Path:
    """The folder of the uploads."""
    _, (path,) = upload(server, b"title\nA\n")
    return Path(path).parents[1]


def sizes(folder: Path) -> list[int]:
    """The sizes of the files in a folder from which the service may delete at the same time."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found.append(Path(parent, name).stat().st_size)
    return found


def soon(check: Callable[[], bool]) -> bool:
    """Whether ``check`` holds within five seconds: the service makes room after its response."""
    end = time.monotonic() + 5
    while not check() and time.monotonic() < end:
        time.sleep(0.05)
    return check()


class Listener:
    """A server on this machine that a request must not reach; counts the connections."""

    def __enter__(self) -> "Listener":
        self.count = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def _accept(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.count += 1

    def __exit__(self, *arguments: object) -> None:
        self._socket.close()


@pytest.mark.slow
@pytest.mark.parametrize("inside", ["{}", "[{}]", '{{"video": {}}}'])
def test_no_file_is_fetched_from_another_host(server: Server, events: dict[str, int], inside: str) -> None:
    """CVE-2024-47167."""
    with Listener() as listener:
        url = f"http://127.0.0.1:{listener.port}/{SECRET}.csv"
        value = inside.format(json.dumps({"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}))
        assert join(server, events["table"], [json.loads(value)])[0] == 200
        assert not result(server)["success"]
        for path in (f"file={url}", f"proxy={url}", f"file/{url}"):
            assert server.ask("GET", f"/gradio_api/{path}")[0] == 404
        time.sleep(0.2)
        assert listener.count == 0


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "/proc/self/environ", "serving/page.py"])
def test_no_file_of_the_machine_is_read(server: Server, events: dict[str, int], folder: Path, path: str) -> None:
    """CVE-2024-1728 and CVE-2023-51449; MLflow CVE-2024-3848 hides the path behind a fragment."""
    assert join(server, events["table"], [{"path": path, "meta": {"_type": "gradio.FileData"}}])[0] == 200
    found = result(server)
    assert not found["success"]
    assert path not in json.dumps(found)
    climbing = f"{folder}/../../../../../../..{path}"
    packed = climbing.replace("..", "%2e%2e")
    fragments = (f"#/../../../../..{path}", f"%23/../../../../..{path}", f"?#/../../../../..{path}", f"{folder}#{path}")
    for wanted in (path, climbing, packed, f"/{path}", f"file://{path}", f"\\{path}", *fragments):
        for route in (f"/gradio_api/file={wanted}", f"/file={wanted}", f"/static/{wanted}", f"/assets/{wanted}"):
            status, content, _ = server.ask("GET", route.replace(" ", "%20"))
            assert status in (400, 403, 404)
            assert "root:" not in str(content)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/component_server"),  # CVE-2024-1561
        ("POST", "/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/call/predict"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/vibe-edit"),
        ("GET", "/gradio_api/deep_link?session_hash=one"),
        ("GET", f"/gradio_api/custom_component/{SECRET}/client/component/index.js"),
        ("GET", "/monitoring"),
        ("PUT", "/gradio_api/upload"),
        ("GET", f"/{SECRET}"),
    ],
)
def test_routes_that_the_page_does_not_use_do_not_exist(server: Server, method: str, path: str) -> None:
    body = {"component_id": 1, "fn_name": "move_resource_to_block_cache", "data": "/etc/passwd", "session_hash": "one"}
    assert server.ask(method, path, body if method == "POST" else None)[0] == 404


@pytest.mark.slow
def test_what_the_service_was_not_started_for_is_not_in_the_page(server: Server, events: dict[str, int]) -> None:
    """Events of search, slates and feedback: without key, folder and log, there is none that could be sent."""
    _, config, _ = server.ask("GET", "/config")
    written = json.dumps(config)
    for name in ("Find a film at TMDB", "Fill the form", "Slate", "Make the list", "The label is right", "logs its"):
        assert name not in written
    assert "not endorsed or certified by" in written


@pytest.mark.slow
def test_no_event_goes_past_the_queue(server: Server, events: dict[str, int]) -> None:
    for event in events.values():
        body = {"data": movie(), "fn_index": event, "session_hash": "one"}
        assert server.ask("POST", "/gradio_api/run/predict", body)[0] == 404


@pytest.mark.slow
def test_another_sites_page_can_neither_upload_nor_ask_nor_read(
    server: Server, events: dict[str, int], folder: Path
) -> None:
    """CVE-2024-1727."""
    before = len(sizes(folder))
    foreign = [{"Origin": origin} for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://[")]
    foreign += [{"Sec-Fetch-Site": site, "Origin": server.url} for site in ("cross-site", "same-site")]
    for headers in foreign:
        assert upload(server, SECRET.encode(), **headers)[0] == 403
        assert join(server, events["movie"], movie(), **headers)[0] == 403
        assert server.ask("GET", "/config", **headers)[0] == 403
    asking = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    status, _, headers = server.ask("OPTIONS", "/gradio_api/upload", **asking)
    assert status == 403
    assert "access-control-allow-origin" not in headers
    assert len(sizes(folder)) == before
    for headers in ({"Origin": server.url}, {"Sec-Fetch-Site": "same-origin", "Origin": "https://public.example"}):
        assert upload(server, b"title\nA\n", **headers)[0] == 200
    # Who follows a link to the page is no other site.
    assert server.ask("GET", "/", **{"Sec-Fetch-Site": "cross-site"})[0] == 200


def test_a_proxy_may_pass_the_host_of_the_visitor() -> None:
    headers = {"origin": "https://movies.example", "host": "backend:8000"}
    assert not same_origin(headers, "POST")
    assert same_origin(headers | {"x-forwarded-host": "movies.example, inner"}, "POST")


@pytest.mark.slow
def test_uploads_are_bounded_together_and_the_oldest_make_room(server: Server, folder: Path) -> None:
    for number in range(QUOTA // MAX_UPLOAD + 4):
        content = f"{number:08}".encode() + b"x" * (MAX_UPLOAD - 8)
        status, (path,) = upload(server, content)
        assert status == 200
        assert Path(path).stat().st_size == MAX_UPLOAD
    assert soon(lambda: sum(sizes(folder)) <= QUOTA)
    for number in range(FILES + 10):
        assert upload(server, f"title\n{number}\n".encode())[0] == 200
    assert soon(lambda: len(sizes(folder)) <= FILES)


@pytest.mark.slow
def test_an_upload_that_is_too_large_is_refused_and_leaves_nothing(server: Server, folder: Path) -> None:
    assert upload(server, b"x" * (MAX_UPLOAD + 1))[0] == 413
    assert upload(server, *[b"x" * 1_000_000] * 5)[0] == 413
    body, headers = form(b"x" * (2 * MAX_UPLOAD))
    chunks = (body[first : first + 65_536] for first in range(0, len(body), 65_536))
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("POST", "/gradio_api/upload", chunks, headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    # One that breaks off.
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\nContent-Type: ")
        client.sendall(headers["Content-Type"].encode() + b"\r\n\r\n" + body[:1_000_000])
        time.sleep(0.3)
    assert soon(lambda: not [path for path in folder.iterdir() if path.is_file()])
    assert not {MAX_UPLOAD + 1, 1_000_000} & set(sizes(folder))


@pytest.mark.slow
def test_a_full_queue_refuses_at_once_and_nobody_waits_for_minutes(server: Server, events: dict[str, int]) -> None:
    statuses: list[int] = []

    def flood(first: int) -> None:
        for number in range(first, first + 50):
            words = " ".join(f"word{number}x{place}" for place in range(200))
            statuses.append(join(server, events["movie"], movie(summary=words), f"flood{number}")[0])

    threads = [threading.Thread(target=flood, args=(100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 503}
    assert statuses.count(503) > statuses.count(200) or statuses.count(200) < 8 * WAITING
    began = time.monotonic()
    while join(server, events["movie"], movie(), "honest")[0] == 503:
        time.sleep(0.2)
    assert result(server, "honest")["success"]
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_neither_log_nor_answer_holds_what_a_visitor_wrote(server: Server, events: dict[str, int]) -> None:
    wrong = [
        movie(7),
        movie(summary={"text": SECRET}),
        movie(genres=SECRET),
        movie(genres={SECRET: 1}),
        movie(genres=[[SECRET]]),
        movie(year=SECRET),
        movie(year=[SECRET]),
        movie(runtime={"a": SECRET}),
        [SECRET],
        [SECRET] * 20,
        [{"path": SECRET}],
        [[[[SECRET]]]],
        [{"path": f"/tmp/{SECRET}.csv", "meta": {"_type": "gradio.FileData"}}],
        [SECRET, *movie()],
        [SECRET, *movie(title=SECRET, budget=SECRET)],
        [{"a": SECRET}, *movie()],
        [0, *movie(genres=SECRET, year=f"{SECRET}")],
        [0, *movie(title=[SECRET])],
        [-1, *movie(SECRET)],
        [99, *movie(SECRET)],
        [1e300, *movie(SECRET)],
        [SECRET, *movie() * VARIANTS],
        [3, *movie(), *movie(title={SECRET: 1}), *movie(year=SECRET)],
        [2, *movie(), *movie(runtime=-1, cast=SECRET), *movie()],
        [7, *movie(SECRET) * VARIANTS],
        [None] * (1 + VARIANTS * len(INPUTS)),
        [None] * (1 + len(INPUTS)),
    ]
    for number, data in enumerate(wrong):
        for event in events.values():
            status, _ = join(server, event, data, f"wrong{number}x{event}")
            if status == 200:
                found = result(server, f"wrong{number}x{event}")
                if not found["success"]:
                    assert re.fullmatch(r"[A-Z][^\n]*\.", found["output"]["error"])
    # The fixture looks for the secret in the log, of which each line is JSON: no stack trace of Gradio is there.
    assert server.ask("GET", "/healthz")[0] == 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "packed",
    [
        "",
        "!",
        "A",
        "%00",
        "..%2f..%2fetc%2fpasswd",
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"7").decode(),
        base64.urlsafe_b64encode(b"[" * 5_900).decode(),
        base64.urlsafe_b64encode(b'{"a":' * 1_000).decode(),
        base64.urlsafe_b64encode(b'{"year":' + b"9" * 5_000 + b"}").decode(),
        base64.urlsafe_b64encode(b'{"title":"A","year":NaN}').decode(),
        base64.urlsafe_b64encode(json.dumps({"title": SECRET, SECRET: 1}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"title": [SECRET]}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"title": "A", "cast": SECRET}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"title": "A", "cast": ["a"] * 51}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"title": "A", "year": "1994"}).encode()).decode(),
        base64.urlsafe_b64encode(json.dumps({"title": "A" * 501}).encode()).decode(),
        base64.urlsafe_b64encode(b'{"title":"\\ud800"}').decode(),
        base64.urlsafe_b64encode(json.dumps({"summary": SECRET + "A" * 6_000}).encode()).decode(),
        base64.urlsafe_b64encode(b"{}").decode(),
    ],
)  # fmt: skip
def test_a_link_is_checked_as_every_other_input(server: Server, events: dict[str, int], packed: str) -> None:
    found = answered(server, events["open"], [], f"?movie={packed}")
    assert found["success"]
    message, *fields = found["output"]["data"]
    assert re.fullmatch(r'<p class="refused">The movie of this link cannot be shown\. [^\n]*</p>', message)
    assert all(field.get("__type__") == "update" and "value" not in field for field in fields)


@pytest.mark.slow
def test_a_link_longer_than_a_head_is_refused_before_it_is_read(server: Server) -> None:
    assert server.ask("GET", f"/?movie={'A' * 20_000}")[0] == 431
    assert server.ask("GET", f"/?movie={'A' * 9_000}")[0] == 200


@pytest.mark.slow
def test_the_page_holds_nothing_of_the_query_that_it_was_opened_with(server: Server) -> None:
    for query in (f"movie={SECRET}", f"movie=%3Cscript%3E{SECRET}", f"__theme={SECRET}", f"{SECRET}=1"):
        status, page, _ = server.ask("GET", f"/?{query}")
        assert status == 200
        assert SECRET not in page


@pytest.mark.slow
def test_a_link_is_made_for_what_can_be_opened_alone(server: Server, events: dict[str, int]) -> None:
    page = f"{server.url}/"
    found = answered(server, events["link"], [page, *movie()])
    address, _, packed = found["output"]["data"][0].partition("?movie=")
    assert address == page
    message, title, *_ = answered(server, events["open"], [], f"?movie={packed}")["output"]["data"]
    assert (message, title) == ("", "Film 7")
    # The title and the list are those of the API; the last movie is one of the API, and too long for a link.
    for data, reason in (
        (movie("A" * 501), "at most 500 characters"),
        (movie(cast=", ".join("c" * 51)), "at most 50 items"),
        (movie(summary="A" * 19_000), "too long for a link"),
    ):
        assert reason in answered(server, events["link"], [page, *data])["output"]["error"]
    for wrong in ("h" * 1_001, None):
        assert not answered(server, events["link"], [wrong, *movie()])["success"]


@pytest.mark.slow
def test_variants_have_the_limits_of_the_api(server: Server, events: dict[str, int]) -> None:
    long = movie(summary="A" * 20_000)
    assert answered(server, events["compare"], [3, *long * VARIANTS])["success"]
    for variant, wrong in enumerate((movie("A" * 501), movie(summary="A" * 20_001), movie(genres="g," * 51)), 1):
        data = [movie()] * VARIANTS
        data[variant - 1] = wrong
        found = answered(server, events["compare"], [3, *(value for one in data for value in one)])
        assert found["output"]["error"].startswith(f"Variant {variant}: ")
        assert "at most" in found["output"]["error"]
    assert join(server, events["compare"], [3, *movie(summary="A" * 60_000) * VARIANTS])[0] == 413
    assert answered(server, events["compare"], [0, *movie() * VARIANTS])["output"]["error"] == "Add a variant first."
    assert "3 variants already" in answered(server, events["add"], [3, *movie()])["output"]["error"]
    assert not answered(server, events["remove"], [0])["success"]


@pytest.mark.slow
def test_what_a_visitor_wrote_is_never_markup(server: Server, events: dict[str, int]) -> None:
    script = "<script>alert('1')</script>\"'><img src=x onerror=alert(2)>"
    fields = {"summary": f"{script} a {script}", "genres": [script], "cast": script, "collection": script}
    found = answered(server, events["movie"], movie(script, **fields))["output"]["data"]
    column = movie(script, **fields | {"genres": script})
    found += answered(server, events["compare"], [3, *movie(genres="Drama"), *column, *column])["output"]["data"]
    html = "".join(found)
    assert html.count("&lt;script&gt;") > 5
    assert not re.search(r"<script|<img|onerror=[^<]*>(?<!&gt;)", html)
    # Half a surrogate pair, which no encoding of a response has.
    assert answered(server, events["movie"], movie("\ud800 A"))["msg"] == "process_completed"
    assert answered(server, events["compare"], [1, *movie("\ud800 A") * 3])["msg"] == "process_completed"
    assert server.ask("GET", "/healthz")[0] == 200


@pytest.mark.slow
def test_a_workbook_with_a_cell_far_away_does_not_end_the_service(server: Server, events: dict[str, int]) -> None:
    far = changed(xlsx({"Films": [["title"], ["A"]]}), "sheet1.xml", 'r="A2"', 'r="XFD1048576"')
    _, (path,) = upload(server, far, name="far.xlsx")
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert answered(server, events["table"], [file])["output"]["error"].startswith("far.xlsx: no workbook that can be")
    assert server.ask("GET", "/healthz")[0] == 200


def test_the_longest_link_fits_into_the_head_of_a_request() -> None:
    assert link.LONGEST < 16_384 / 2


def test_room_is_kept_for_the_uploads_that_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UploadFolder(quota=100, files=3)

    def store(name: str, size: int) -> None:
        (folder.path / name).mkdir()
        (folder.path / name / "file").write_bytes(b"x" * size)
        time.sleep(0.01)

    def names() -> set[str]:
        return {path.parent.name for path in folder.path.glob("*/file")}

    async def scenario() -> None:
        store("a", 40)
        store("b", 40)
        async with folder.upload(40):
            assert names() == {"b"}
            (folder.path / "arriving").write_bytes(b"x")
            async with folder.upload(40):
                assert names() == set()
                assert (folder.path / "arriving").exists()
                with pytest.raises(FullError):
                    async with folder.upload(40):
                        pass
        assert not (folder.path / "arriving").exists()
        for name in "cdef":
            store(name, 1)
        folder.trim()
        assert len(names()) <= 3
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100, 99, 1))
        with pytest.raises(FullError):
            async with folder.upload(40):
                pass

    asyncio.run(scenario())


@pytest.mark.parametrize(("error", "status"), [(OSError(28, "No space left on device"), 507), (None, 200)])
def test_a_disk_that_is_full_is_an_answer(error: Exception | None, status: int) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        # What Starlette does with an error that nobody has caught.
        await send({"type": "http.response.start", "status": 500 if error else 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})
        if error:
            raise error

    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/gradio_api/upload", "headers": []}
    asyncio.run(PageGate(application, UploadFolder(), MAX_UPLOAD)(scope, receive, send))
    assert [message["status"] for message in sent if "status" in message] == [status]
