"""From a slate to what came true, with the two commands over real HTTP."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages import outcome, slate
from tests.support.tmdb import Start

RANGE = ["--from", "2026-12-01", "--to", "2027-02-28"]
OUT = {"release_date": "2027-01-15", "vote_count": 0, "vote_average": 0.0}


def test_what_was_predicted_before_the_release_is_scored_after_it(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start(movies=40, values={str(n): OUT for n in range(1, 21)})
    assert slate.main(RANGE) == 0
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2027-01-10")
    assert slate.main(RANGE) == 0
    # A year later: eight films have votes, one has too few, one is gone.
    monkeypatch.setenv("MOVIE_RATINGS_NOW", "2028-01-10")
    rated = {str(n): OUT | {"vote_count": 100, "vote_average": float(n)} for n in range(1, 9)}
    few = {"9": OUT | {"vote_count": 3, "vote_average": 8.0}}
    start(movies=40, values={str(n): OUT for n in range(1, 21)} | rated | few, gone=[20])
    slates = sorted(map(str, Path("data/slates").glob("*.parquet")))
    before = [Path(path).read_bytes() for path in slates]
    assert outcome.main(slates) == 0
    assert [Path(path).read_bytes() for path in slates] == before
    found = json.loads(Path("data/reports/outcome.json").read_text())
    assert (found["rated"], found["min_votes"], found["slates"]) == ("2028-01-10 00:00 UTC", 10, slates)
    rows = {row["asked"]: row for row in found["rows"]}
    assert list(rows) == ["before the release", "4 to 12 weeks", "0 to 3 weeks"]
    for row in rows.values():
        assert [row[name] for name in ("films", "scored", "few_votes", "gone", "failed")] == [20, 8, 11, 1, 0]
    films = pq.read_table(slates[0]).to_pylist()[:8]
    errors = [abs(film["predicted_rating"] - film["id"]) for film in films]
    assert rows["4 to 12 weeks"]["mean_absolute_error"] == pytest.approx(sum(errors) / 8, abs=1e-4)
    page = Path("data/reports/outcome.html").read_text()
    assert "2028-01-10 00:00 UTC" in page
    assert films[0]["model_version"] in page
    assert "20 films, 8 of them scored, rating off by" in capsys.readouterr().out
    assert not Path("data/store/outcome").exists()


def test_a_slate_whose_films_have_no_votes_yet_is_counted(start: Start) -> None:
    start(movies=9, values={str(n): OUT for n in range(1, 6)})
    assert slate.main(RANGE) == 0
    assert outcome.main(["data/slates/2026-11-26.parquet"]) == 0
    (row, _) = json.loads(Path("data/reports/outcome.json").read_text())["rows"]
    assert (row["films"], row["scored"], row["few_votes"]) == (5, 0, 5)
    assert "No film has enough votes yet." in Path("data/reports/outcome.html").read_text()


def test_what_is_no_slate_is_refused_in_one_line(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    start(movies=3)
    Path("a.parquet").write_text("no Parquet")
    for path, message in (("b.parquet", "no such slate"), ("a.parquet", "not a readable Parquet file")):
        assert outcome.main([path]) == 2
        assert f"error: {path}: {message}" in capsys.readouterr().err
    assert not Path("data/reports").exists()
