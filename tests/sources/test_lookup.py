"""Looking up one movie at TMDB: against a server of our own, over real HTTP."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.text import FIELDS
from movie_ratings.movies.validation import validated
from movie_ratings.sources import selected
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.tmdb import lookup
from movie_ratings.sources.tmdb.credentials import Credentials
from movie_ratings.sources.tmdb.lookup import Tmdb
from tests.support.builders import ROOT
from tests.support.tmdb import KEY, Server

Serve = Callable[..., Server]
# What TMDB has of a film that nobody has seen yet.
UPCOMING: dict[str, Any] = {
    "title": "The Long Harbour", "original_title": "The Long Harbour", "release_date": "2027-02-03", "runtime": 0,
    "budget": 0, "vote_average": 0.0, "vote_count": 0, "status": "In Production",
}  # fmt: skip


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start servers that end with the test."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Server(**settings))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits between attempts, and no waits between requests."""
    monkeypatch.setattr(lookup, "FIRST_DELAY", 0.002)
    monkeypatch.setattr(lookup, "PER_SECOND", 1_000.0)
    monkeypatch.setattr(lookup, "TIMEOUT", 0.5)


def asking(server: Server, **changes: Any) -> Tmdb:
    return Tmdb(Credentials(query={"api_key": KEY}), f"{server.url}/3", **changes)


def test_the_record_is_that_of_fetch(
    serve: Serve, workspace: Path, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(movies=12, values={"12": UPCOMING})
    monkeypatch.setenv("TMDB_API_KEY", KEY)
    Path("ids.txt").write_text("1\n4\n5\n6\n7\n8\n11\n12\n")
    raw_params["fetch"]["source"] = "tmdb"
    raw_params["fetch"]["tmdb"] |= {"api_url": f"{server.url}/3", "ids": "file", "ids_path": "ids.txt"}
    fetched = pa.Table.from_batches(selected.batches(params.parse(raw_params).fetch, FetchReport()), MOVIE)
    tmdb = asking(server)
    films = [tmdb.film(movie_id) for movie_id in fetched["id"].to_pylist()]
    assert pa.Table.from_pylist([film.record for film in films if film], MOVIE).equals(fetched)


def test_the_defaults_are_those_of_fetch() -> None:
    found = params.load(ROOT / "params.yaml").fetch.tmdb
    assert (found.api_url, found.language, found.cast_size) == (lookup.API_URL, lookup.LANGUAGE, lookup.CAST_SIZE)


def test_what_nobody_knows_yet_of_a_film_is_unknown_and_no_rating_is_a_fact(serve: Serve) -> None:
    film = asking(serve(movies=9, values={"9": UPCOMING})).film(9)
    assert film
    assert (film.record["vote_count"], film.record["runtime"], film.record["budget"]) == (0, None, None)
    facts = film.facts
    assert facts["year"] == 2027
    assert set(facts) <= set(FIELDS) - {"runtime", "budget"}
    assert not {"vote_average", "vote_count", "popularity", "id", "adult"} & set(facts)
    assert validated(facts)
    rated = asking(serve(movies=9, values={"9": UPCOMING | {"vote_average": 9.9, "vote_count": 10_000}})).film(9)
    assert rated and rated.facts == facts


def test_a_movie_that_tmdb_does_not_have_is_none(serve: Serve) -> None:
    assert asking(serve(movies=3, gone=[3])).film(3) is None
    assert asking(serve(movies=3, codes={"2": 34})).film(2) is None


def test_a_search_finds_by_title_and_year(serve: Serve) -> None:
    tmdb = asking(serve(movies=60, values={"7": UPCOMING}))
    (match,) = tmdb.search("  the long   HARBOUR ", 2027).results
    assert (match.id, match.title, str(match.released)) == (7, "The Long Harbour", "2027-02-03")
    assert tmdb.search("the long harbour", 2026).results == []
    many = tmdb.search("film")
    assert (len(many.results), many.total_results) == (20, 59)
    for title in ("", " ", "a" * 501):
        with pytest.raises(ValueError, match="a title of 1 to 500 characters"):
            tmdb.search(title)


def test_answers_arrive_through_faults_of_every_kind(serve: Serve) -> None:
    server = serve(movies=40, faults=0.3, stall=5.0)
    tmdb, found = asking(server), 0
    for movie_id in range(1, 41):
        with contextlib.suppress(UserError):  # the rare movie that fails four times
            found += tmdb.film(movie_id) is not None
    assert found >= 35


def test_requests_keep_the_rate_also_from_several_threads(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "PER_SECOND", 20.0)
    server = serve(movies=9)
    tmdb = asking(server)
    threads = [threading.Thread(target=tmdb.film, args=(movie_id,)) for movie_id in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments = server.statistics()["moments"]
    assert len(moments) == 8
    assert moments[-1] - moments[0] >= 0.3


class Answering(BaseHTTPRequestHandler):
    """Answers as the server's ``answers`` say, one after another, and keeps what was asked."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append((self.path, dict(self.headers)))
        status, headers, body = server.answers[min(len(server.seen), len(server.answers)) - 1]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...


@contextlib.contextmanager
def answering(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[Any]:
    """A server with these answers; the last one is repeated."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        found: Any = server
        found.answers, found.seen, found.url = answers, [], f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield found
        finally:
            server.shutdown()


def test_the_pause_that_tmdb_asks_for_is_kept() -> None:
    with answering((429, {"Retry-After": "1"}, b""), (200, {}, b'{"id": 5}')) as server:
        started = time.monotonic()
        film = Tmdb(Credentials(), server.url).film(5)
        assert film and film.record["id"] == 5
        assert time.monotonic() - started >= 1


def test_a_pause_beyond_the_time_for_an_answer_is_refused_at_once() -> None:
    with answering((429, {"Retry-After": "3600"}, b"")) as server:
        started = time.monotonic()
        with pytest.raises(UserError, match=r"^TMDB: no answer in time; it asks for a pause of 900 seconds; try again"):
            Tmdb(Credentials(), server.url, total=5.0).film(5)
        assert time.monotonic() - started < 3


def test_the_key_goes_to_no_other_host() -> None:
    with answering((200, {}, b'{"id": 5}')) as other:
        with answering((302, {"Location": f"{other.url}/3/movie/5?api_key={KEY}"}, b"")) as server:
            for credentials in (Credentials({"api_key": KEY}), Credentials(headers={"Authorization": f"Bearer {KEY}"})):
                with pytest.raises(UserError, match="HTTP 302, a redirect, which would take the key") as error:
                    Tmdb(credentials, server.url).film(5)
                assert KEY not in str(error.value)
        assert other.seen == []


def test_an_entry_of_netrc_does_not_stand_in_for_the_token(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("netrc").write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", "netrc")
    with answering((200, {}, b'{"id": 5}')) as server:
        Tmdb(Credentials(headers={"Authorization": f"Bearer {KEY}"}), server.url).film(5)
        assert server.seen[0][1]["Authorization"] == f"Bearer {KEY}"
        Tmdb(Credentials({"api_key": KEY}), server.url).film(5)
        assert "Authorization" not in server.seen[1][1]


FAILURES: dict[str, dict[str, Any]] = {
    "refused": {"codes": {"5": 7}},
    "broken": {"broken": [5]},
    "odd": {"odd": [5]},
    "bomb": {"bombs": [5]},
    "faults": {"faults": 1.0, "stall": 2.0},
    "ceiling": {"ceiling": 0},
    "redirect": {"redirect": "http://127.0.0.1:9/"},
}


@pytest.mark.parametrize("kind", [*FAILURES, "nobody", "no host", "a wrong key"])
@pytest.mark.parametrize("as_token", [True, False])
def test_no_failure_shows_the_key(
    serve: Serve,
    kind: str,
    as_token: bool,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    key = "wr0ng-and-secret" if kind == "a wrong key" else KEY
    credentials = Credentials(headers={"Authorization": f"Bearer {key}"}) if as_token else Credentials({"api_key": key})
    url = {"nobody": "http://127.0.0.1:9", "no host": "http://tmdb.invalid"}.get(kind)
    tmdb = Tmdb(credentials, url or f"{serve(movies=9, **FAILURES.get(kind, {})).url}/3", total=4.0)
    with caplog.at_level(logging.DEBUG):
        with pytest.raises(UserError, match=r"^TMDB") as error:
            for _ in range(5):  # one of the faults may be an answer after all
                tmdb.film(5)
        if kind not in ("nobody", "no host"):
            assert "/movie/5" in caplog.text  # the log was on
    assert "\n" not in str(error.value)
    chain: BaseException | None = error.value
    while chain is not None and not chain.__suppress_context__:
        assert key not in str(chain)
        chain = chain.__cause__ or chain.__context__
    assert key not in str(error.value) + repr(error.value) + repr(tmdb) + caplog.text + "".join(capfd.readouterr())


def test_an_answer_that_unpacks_to_too_much_is_refused_while_it_arrives(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TIMEOUT", 20.0)  # the server takes a while to pack so much
    with pytest.raises(UserError, match="longer than 8 MiB"):
        asking(serve(movies=5, bombs=[5])).film(5)


def test_an_answer_that_trickles_in_is_given_up() -> None:
    class Trickle(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b" ")
                    time.sleep(0.1)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(UserError, match="no whole answer in time"):
            Tmdb(Credentials(), f"http://127.0.0.1:{server.server_address[1]}", total=1.0).film(5)
        assert time.monotonic() - started < 4
        server.shutdown()


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(UserError, match=r"^TMDB: .* in time; try again later$"):
            Tmdb(Credentials(), f"http://127.0.0.1:{silent.getsockname()[1]}", total=2.0).film(5)
        assert time.monotonic() - started < 2.5


def written(raw_params: dict[str, Any], server: Server) -> None:
    """params.yaml of the working directory, which names the server."""
    raw_params["fetch"]["tmdb"]["api_url"] = f"{server.url}/3"
    with Path("params.yaml").open("w") as file:
        YAML().dump(raw_params, file)


@pytest.fixture
def predict(
    trained: Path, serve: Serve, raw_params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """The command, with a key and with movies of a server."""
    from stages import predict

    monkeypatch.setenv("TMDB_API_KEY", KEY)
    same = {"title": "Twin", "original_title": "Zwilling", "release_date": "2027-05-01"}
    nameless = {"title": "", "original_title": "", "overview": ""}
    values = {"9": UPCOMING, "1": same, "2": same | {"release_date": ""}, "3": nameless, "4": {"runtime": 20_000.0}}
    written(raw_params, serve(movies=40, values=values, gone=[8]))
    return lambda *flags: predict.main(list(flags))


def test_a_film_of_tmdb_is_predicted_like_the_same_film_from_flags(
    predict: Callable[..., int], serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    film = asking(serve(movies=9, values={"9": UPCOMING})).film(9)
    assert film
    flags = [
        (f"--{field.replace('_', '-')}", str(value))
        for field, values in film.facts.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    assert predict(*(word for flag in flags for word in flag), "--explain", "--comparables", "--json") == 0
    expected = json.loads(capsys.readouterr().out)
    for question in (["--tmdb", "9"], ["--find", "long harbour", "--year", "2027"]):
        assert predict(*question, "--explain", "--comparables", "--json") == 0
        printed = capsys.readouterr()
        assert json.loads(printed.out) == expected
        assert printed.err == "TMDB movie 9: The Long Harbour, 2027-02-03\n"
    assert predict("--tmdb", "9", "--decision", "most_probable") == 0
    assert "80% interval" in capsys.readouterr().out


def test_several_matches_are_listed_with_their_ids(
    predict: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("--find", "twin") == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "        1  Twin, 2027-05-01 (Zwilling)",
        "        2  Twin, no date of release (Zwilling)",
    ]
    assert printed.err == 'error: --find "twin": 2 movies match; choose one with --tmdb ID\n'
    assert predict("--find", "film", "--json") == 2
    printed = capsys.readouterr()
    found = json.loads(printed.out)["matches"]
    assert len(found) == 20
    assert set(found[0]) == {"id", "title", "original_title", "release_date"}
    assert ", of which the first 20 are listed; choose one" in printed.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tmdb", "8"], "--tmdb 8: TMDB has no movie of this id"),
        (["--tmdb", "0"], "--tmdb: expected an id above 0, found 0"),
        (["--tmdb", str(2**63)], f"--tmdb: expected an id above 0, found {2**63}"),
        (["--find", "nothing at all", "--year", "2027"], '--find "nothing at all" --year 2027: TMDB has no such movie'),
        (["--find", " "], "--find: expected a title of 1 to 500 characters, found 0"),
        (["--find", "x", "--year", "27"], "--year: expected a year from 1870 to 2100, found 27"),
        (["--tmdb", "3"], "TMDB movie 3: title and summary are both empty"),
        (["--tmdb", "4"], "TMDB movie 4: runtime must be a whole number from 0 to 10,000, found 20000"),
    ],
)
def test_what_cannot_be_found_or_read_is_one_line(
    predict: Callable[..., int], capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert predict(*flags) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


@pytest.mark.parametrize(
    "flags",
    [
        ["--tmdb", "9", "--title", "Film"],
        ["--tmdb", "9", "--year", "2027"],
        ["--find", "x", "--genres", "Drama"],
        ["--find", "x", "--tmdb", "9"],
        ["--tmdb", "9", "--input", "a.csv"],
        ["--tmdb", "soon"],
    ],
)
def test_a_film_of_tmdb_takes_no_other_facts(
    predict: Callable[..., int], capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        predict(*flags)
    assert end.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_look_up_needs_a_key(
    predict: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TMDB_API_KEY")
    assert predict("--tmdb", "9") == 2
    assert capsys.readouterr().err.startswith("error: --tmdb needs TMDB_API_KEY or TMDB_ACCESS_TOKEN in the env")
    Path(".env").write_text(f"TMDB_API_KEY={KEY}\n")
    assert predict("--tmdb", "9") == 0


def test_a_movie_of_flags_is_predicted_without_the_libraries_of_look_ups(trained: Path) -> None:
    code = """
import sys
from stages import predict
assert predict.main(["--title", "Film"]) == 0
assert not {"requests", "urllib3", "aiohttp", "dotenv", "pydantic"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_looking_up_loads_neither_the_collectors_libraries_nor_those_of_training() -> None:
    code = """
import sys
from movie_ratings.sources.tmdb import lookup
heavy = {"aiohttp", "polars", "pyarrow", "pandas", "torch", "dotenv", "ruamel"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
