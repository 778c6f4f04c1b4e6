"""The slates of a folder: which are listed, what is read of them, and what a foreign file may hold."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.prediction.slates import SLATE, ranked
from serving import slates as module
from serving.slates import Slates
from tests.support import slates
from tests.support.slates import film


def changed(name: str, values: pa.Array) -> pa.Table:
    """A slate of one film with another column of the same type."""
    return pa.Table.from_pylist([film(1)], SLATE).set_column(SLATE.get_field_index(name), SLATE.field(name), values)


def test_the_newest_slate_is_the_first_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("2026-12-01", "2026-12-01-083000", "2026-11-30", "2026-12-01-083000-2", "films", "2026-12-01b"):
        (tmp_path / f"{name}.parquet").touch()
    (tmp_path / "2026-12-02.csv").touch()
    names = ["2026-12-01-083000-2", "2026-12-01-083000", "2026-12-01", "2026-11-30"]
    assert Slates(tmp_path).names() == names
    assert Slates(tmp_path / "none").names() == []


def test_a_slate_has_the_films_in_the_order_of_the_list(tmp_path: Path) -> None:
    films = [
        film(3),
        film(1, title=None),
        film(2, genres=["Drama", "War"], directors=["A"]),
        film(4, predicted_rating=9),
    ]
    path = slates.write(tmp_path / "2026-12-01.parquet", *films)
    found = Slates(tmp_path).read("2026-12-01")
    assert found.films == ranked(pq.read_table(path))
    assert [row["tmdb_id"] for row in found.films] == [4, 1, 2, 3]
    assert (found.total, found.version, found.asked) == (4, "0123456789ab", datetime(2026, 12, 1, 8, 30, tzinfo=UTC))


def test_of_a_long_slate_the_best_films_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTED", 3)
    slates.write(tmp_path / "2026-12-01.parquet", *(film(number) for number in range(9, 0, -1)))
    found = Slates(tmp_path).read("2026-12-01")
    assert (found.total, [row["tmdb_id"] for row in found.films]) == (9, [1, 2, 3])


def test_a_slate_is_read_once_until_its_file_changes(tmp_path: Path) -> None:
    read = Slates(tmp_path)
    path = slates.write(tmp_path / "2026-12-01.parquet", film(1))
    first = read.read("2026-12-01")
    assert read.read("2026-12-01") is first
    slates.write(path, film(1), film(2))
    os.utime(path, ns=(1, 1))
    assert read.read("2026-12-01").total == 2
    for day in ("02", "03", "04"):
        read.read(slates.write(tmp_path / f"2026-12-{day}.parquet", film(1)).stem)
    assert len(read._kept) == module.KEPT


@pytest.mark.parametrize(
    "films",
    [
        pa.table({"title": ["A"]}),
        pa.table({"title": ["A"], **{name: [1] for name in SLATE.names[3:]}}),
        pa.Table.from_pylist([film(1, predicted_rating=None)], SLATE),
        pa.Table.from_pylist([film(1), film(2, model_version=None)], SLATE),
        changed("release_date", pa.array([10**8], "int32").view("date32")),
        changed("title", pa.array([b"\xff"]).view("string")),
        b"no Parquet",
        b"",
        b"PAR1" + b"\0" * 100 + b"PAR1",
    ],
)
def test_whatever_is_no_slate_is_one_line_without_a_path(tmp_path: Path, films: Any) -> None:
    path = tmp_path / "2026-12-01.parquet"
    path.write_bytes(films) if isinstance(films, bytes) else pq.write_table(films, path)
    read = Slates(tmp_path)
    for _ in range(2):  # from the disk, and from memory
        with pytest.raises(UserError, match=r"^2026-12-01\.parquet: no slate that can be read$"):
            read.read("2026-12-01")


def test_a_file_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = slates.write(tmp_path / "2026-12-01.parquet", film(1), film(2))
    with monkeypatch.context() as patch:
        patch.setattr(module, "BYTES", path.stat().st_size - 1)
        with pytest.raises(UserError, match="larger than"):
            Slates(tmp_path).read("2026-12-01")
    monkeypatch.setattr(module, "FILMS", 1)
    with pytest.raises(UserError, match="more than 1 films"):
        Slates(tmp_path).read("2026-12-01")
    slates.write(path)
    with pytest.raises(UserError, match="a slate without films"):
        Slates(tmp_path).read("2026-12-01")


@pytest.mark.parametrize(
    "name", ["", "../2026-12-01", "2026-12-01.parquet", "/etc/passwd", "2026-12-01\n", "2026-12-02"]
)
def test_only_a_slate_of_the_folder_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "slates").mkdir()
    for folder in (tmp_path, tmp_path / "slates"):
        slates.write(folder / "2026-12-01.parquet", film(1))
    with pytest.raises(UserError, match=r"no such slate|no longer in the folder") as refused:
        Slates(tmp_path / "slates").read(name)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slates", "none"], "--slates none: no such folder"),
        (["--slates", ".", "--no-page"], "--slates: needs the page"),
    ],
)
def test_slates_that_no_page_could_show_are_refused_at_the_start(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from serving.__main__ import main

    assert main(arguments) == 2
    assert message in capsys.readouterr().err
