"""A slate of films that are not out yet: collected over real HTTP, predicted, kept."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from python_calamine import CalamineWorkbook

from movie_ratings.core import parquet
from movie_ratings.movies.record import MOVIE
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.slates import SLATE
from movie_ratings.sources.tmdb.details import Details, movie
from movie_ratings.sources.tmdb.lookup import Film
from stages import slate
from tests.support.builders import ROOT
from tests.support.tmdb import KEY, Settings, Start, details, most_in, with_values

RANGE = ["--from", "2026-12-01", "--to", "2027-02-28"]


def upcoming(count: int) -> dict[str, dict[str, Any]]:
    """Values of the movies 1 to ``count``: those of films of this winter, without votes."""
    return {
        str(n): {
            "release_date": f"2026-12-{1 + n % 31:02}" if n % 2 else f"2027-02-{1 + n % 28:02}",
            "vote_count": 0, "vote_average": 0.0, "runtime": 0, "budget": 0,
        }
        for n in range(1, count + 1)
    }  # fmt: skip


def records(settings: Settings, ids: Any) -> pa.Table:
    found = [with_values(details(n, settings), settings.values.get(str(n), {})) for n in ids]
    return pa.Table.from_pylist([movie(Details.model_validate(one), 10) for one in found], MOVIE)


def test_the_films_of_two_months_are_predicted_and_kept_with_what_was_known(
    start: Start, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = start(movies=90, values=upcoming(45), shifting=True)
    assert slate.main(RANGE) == 0
    table = parquet.read_table("data/slates/2026-11-26.parquet", SLATE)
    assert table.select(MOVIE.names).equals(records(server.settings, range(1, 46)))
    classifier = Classifier.load(trained)
    rows = table.to_pylist()
    for row, expected in zip(rows, classifier.predict([Film(row).facts for row in rows]), strict=True):
        assert row["label"] == expected.label
        assert row["probability_good"] == pytest.approx(expected.probabilities["good"], abs=1e-5)
        assert row["predicted_rating_low"] == pytest.approx(expected.interval_80[0], abs=1e-4)
        assert (row["model_version"], row["threshold_high"]) == (
            classifier.version,
            classifier.metadata.thresholds.high,
        )
        assert row["base_rate_bad"] == classifier.base_rates["bad"]
        assert row["asked"].isoformat() == "2026-11-26T12:00:00+00:00"
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 20 + 1
    assert printed[-1] == "slate: 45 films, data/slates/2026-11-26.parquet written"
    ratings = [float(line.split()[2]) for line in printed[:-1]]
    assert ratings == sorted(ratings, reverse=True)
    assert not Path("data/store/slates").exists()


def test_another_day_is_another_file_and_asks_again(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start(movies=9, values=upcoming(5))
    assert slate.main(RANGE) == 0
    first = Path("data/slates/2026-11-26.parquet").read_bytes()
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2026-11-26T18:30:05")
    for _ in range(2):
        assert slate.main(RANGE) == 0
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2026-11-27T01:00:00+02:00")  # the same day in UTC
    assert slate.main(RANGE) == 0
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2026-11-27T12:00:00")
    assert slate.main(RANGE) == 0
    assert {path.name for path in Path("data/slates").iterdir()} == {
        "2026-11-26.parquet", "2026-11-26-183005.parquet", "2026-11-26-183005-2.parquet", "2026-11-26-230000.parquet",
        "2026-11-27.parquet",
    }  # fmt: skip
    assert Path("data/slates/2026-11-26.parquet").read_bytes() == first
    assert server.statistics()["asked"]["1"] == 5


def test_weeks_are_counted_from_today_and_both_ends_belong_to_them(start: Start) -> None:
    days = ["2026-11-25", "2026-11-26", "2026-12-10", "2026-12-11"]
    start(movies=9, values={str(n): upcoming(9)[str(n)] | {"release_date": day} for n, day in enumerate(days, 1)})
    assert slate.main(["--weeks", "2"]) == 0
    assert pq.read_table("data/slates/2026-11-26.parquet")["id"].to_pylist() == [2, 3]


@pytest.mark.slow
def test_five_kills_and_faults_leave_a_whole_slate_within_the_rate(start: Start) -> None:
    server = start(rate=100.0, movies=600, values=upcoming(500), faults=0.1, latency=0.02)
    command = [sys.executable, "-m", "stages.slate", *RANGE, "--output", "slate.csv"]
    moments = random.Random(1)
    for _ in range(5):
        before = sum(server.statistics()["served"].values())
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = before + moments.randint(20, 40)
        # The server pays for each question. A slate that gave up by itself on a busy machine goes on as a killed one.
        while sum(server.statistics()["served"].values()) < until and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not Path("data/slates").exists() or not list(Path("data/slates").glob("*.parquet"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = Path("data/slates").glob("*.parquet")
    assert pq.read_table(path).select(MOVIE.names).equals(records(server.settings, range(1, 501)))
    with open("slate.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["tmdb_id"]) for row in rows) == list(range(1, 501))
    statistics = server.statistics()
    # A kill costs what came in the last quarter of a second; no other film was asked for again.
    assert sum(n - 1 for n in statistics["served"].values()) <= 5 * 0.25 * 100 * 1.2
    assert most_in(3.0, sorted(statistics["moments"])) <= 3 * 100 * 1.2
    assert KEY not in done.stdout + done.stderr
    assert not [file for file in Path().rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def test_the_films_of_a_list_of_ids(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    nameless = {"title": "", "original_title": "", "overview": ""}
    start(movies=9, values=upcoming(9) | {"4": nameless}, gone=[3])
    Path("ids.txt").write_text("5\n3\n4  # no title\n2\n5\n")
    assert slate.main(["--ids", "ids.txt"]) == 0
    assert pq.read_table("data/slates/2026-11-26.parquet")["id"].to_pylist() == [2, 5]
    errors = capsys.readouterr().err
    assert "slate: 1 films are no longer at TMDB" in errors
    assert "slate: 1 films left out: TMDB movie 4: title and summary are both empty" in errors


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".html", ".json"])
def test_the_list_is_ranked_in_each_format(start: Start, suffix: str) -> None:
    title = "<script>alert(1)</script> & Co"
    start(movies=9, values=upcoming(9) | {"7": upcoming(7)["7"] | {"title": title}})
    output = Path(f"list{suffix}")
    assert slate.main([*RANGE, "--output", str(output)]) == 0
    ranked = sorted(pq.read_table("data/slates/2026-11-26.parquet").to_pylist(), key=lambda f: -f["predicted_rating"])
    ids = [film["id"] for film in ranked]
    if suffix == ".csv":
        rows = list(csv.DictReader(output.read_text().splitlines()))
        assert [int(row["tmdb_id"]) for row in rows] == ids
        assert rows[0]["genres"] in ("Drama, Comédie", "")
    elif suffix == ".json":
        assert [row["tmdb_id"] for row in json.loads(output.read_text())] == ids
    elif suffix == ".xlsx":
        names, *cells = CalamineWorkbook.from_path(str(output)).get_sheet_by_index(0).to_python()
        assert [row[names.index("tmdb_id")] for row in cells] == ids
    else:
        page = output.read_text()
        places = [page.index(f'/movie/{n}"') for n in ids]
        assert places == sorted(places)
        assert title not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Co" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "2027-02-01", "--to", "2027-01-01"], "--from 2027-02-01: later than --to 2027-01-01"),
        ([*RANGE, "--output", "list.doc"], "list.doc: expected a name that ends in "),
        ([*RANGE, "--output", "models"], "models: expected a name that ends in "),
        (["--ids", "none.txt"], "none.txt: No such file"),
        (["--from", "1950-01-01", "--to", "1950-01-02"], "slate: TMDB lists no film that can be predicted"),
    ],
)
def test_what_is_no_slate_is_refused_in_one_line(
    start: Start, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    start(movies=3)
    assert slate.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")
    assert not Path("data/slates").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["--from", "2027-01-01"], [*RANGE, "--ids", "a"], ["--from", "soon"], [*RANGE, "--weeks", "1"],
        ["--weeks", "1", "--ids", "a"], ["--weeks", "1", "--to", "2027-01-01"], ["--weeks", "0"], ["--weeks", "-1"],
        ["--weeks", "521"], ["--weeks", "9" * 5000],
    ],
)  # fmt: skip
def test_either_days_or_weeks_or_ids_are_needed(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        slate.main(arguments)
    assert end.value.code == 2


def test_a_slate_needs_a_key_and_a_moment(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(movies=3)
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "soon")
    assert slate.main(RANGE) == 2
    assert "MOVIE_RATINGS_NOW: expected a moment such as" in capsys.readouterr().err
    monkeypatch.delenv("MOVIE_RATINGS_NOW")
    monkeypatch.delenv("TMDB_API_KEY")
    assert slate.main(RANGE) == 2
    assert "stages.slate needs TMDB_API_KEY or TMDB_ACCESS_TOKEN" in capsys.readouterr().err


def test_a_list_of_too_many_pages_is_read_in_parts(start: Start) -> None:
    server = start(movies=9, values=upcoming(9), pages=501)  # for more than one day
    assert slate.main(["--from", "2026-12-01", "--to", "2026-12-11"]) == 0
    found = pq.read_table("data/slates/2026-11-26.parquet")["id"].to_pylist()
    assert found == [n for n in range(1, 10) if n % 2 and 1 + n % 31 <= 11]
    assert server.statistics()["served"].keys() == {str(n) for n in found}


def test_slates_are_no_business_of_git_nor_dvc() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "check-ignore", "data/slates/2026-11-26.parquet"]
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True).returncode == 0
    assert "slates" not in (ROOT / "dvc.yaml").read_text()
