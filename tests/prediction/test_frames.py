"""Predictions for a pandas DataFrame: those of the same rows in a file, whatever index and cells the frame has."""

import shutil
import warnings
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import FIELDS
from movie_ratings.prediction.bulk import BATCH, predict_table
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from tests.support.builders import EVERYTHING, last_line, reading

COLUMNS = [
    "label", "probability_bad", "probability_average", "probability_good",
    "predicted_rating", "predicted_rating_low", "predicted_rating_high",
]  # fmt: skip
# A table as people have it: names, dates, lists and runtimes in several spellings, and cells without a value.
TEXTS = pd.DataFrame({
    "Film": ["Harbour", "Winter", "300", None],
    "Overview": ["A pilot leaves home.", None, "A radiant vision.", "A dull noise."],
    "Genres": ["Drama|Romance", "['Crime' 'War']", '["Drama"]', None],
    "Year": ["12 December 2007", "(1994)", "N/A", "13/4/2005"],
    "Runtime": ["2h 22m", "95", None, "1:30"],
    "Budget": ["$1,000,000", "1.5 million", "0", None],
    "Star1": ["A B", "C D", None, "E F"],
    "Star2": [None, "G H", None, None],
    "Poster": ["a", "b", "c", "d"],
})  # fmt: skip
# The same kinds of values as a program has them.
OBJECTS = pd.DataFrame({
    "title": ["Harbour", "Winter", "Summer", "Spring"],
    "summary": ["A pilot leaves home.", None, "A radiant vision.", ""],
    "genres": [["Drama", "Romance"], ["Crime"], [], None],
    "release_date": pd.to_datetime(["2007-12-12", None, "1994-05-01", "2005-04-13"]),
    "runtime": [142.0, np.nan, 95.0, 0.0],
    "budget": pd.array([1_000_000, None, 0, 7], dtype="Int64"),
    "cast": [["A B", "C D"], None, ["E F"], []],
    "collection": pd.Series(["Seasons", None, "Seasons", "Seasons"], dtype="category"),
    "keywords": [[{"id": 1, "name": "ice"}], None, [], [{"id": 2, "name": "sea"}]],
})  # fmt: skip


@pytest.fixture(scope="module")
def everything(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    """A model that reads every field."""
    folder = tmp_path_factory.mktemp("model") / "movie-rating"
    return Classifier.load(reading(Path(shutil.copytree(served_model, folder)), *FIELDS), threads=1)


def from_file(classifier: Classifier, path: Path, **mapping: Any) -> pd.DataFrame:
    """What predict writes for the rows of a file."""
    target = path.with_name("rated.parquet")
    predict_table(classifier, MovieTable(path, mapping=mapping), target, progress=False)
    return pq.read_table(target).to_pandas()[COLUMNS]


def silent(classifier: Classifier, frame: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """The predictions, of which none warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return classifier.predict_frame(frame, **options)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(found.columns) == COLUMNS
    assert found["label"].tolist() == expected["label"].tolist()
    np.testing.assert_array_equal(found[COLUMNS[1:]].to_numpy(), expected[COLUMNS[1:]].to_numpy())


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "t.parquet": lambda frame, path: frame.to_parquet(path),
    "t.json": lambda frame, path: frame.to_json(path, orient="records", date_format="iso"),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("frame", [TEXTS, OBJECTS], ids=["texts", "objects"])
def test_a_frame_gets_the_predictions_of_the_same_rows_in_a_file(
    everything: Classifier, tmp_path: Path, name: str, frame: pd.DataFrame
) -> None:
    WRITERS[name](frame, tmp_path / name)
    same(silent(everything, frame), from_file(everything, tmp_path / name))


def test_a_frame_gets_the_predictions_of_the_same_movies(everything: Classifier) -> None:
    found = silent(everything, pd.DataFrame([EVERYTHING], index=["x"]))
    (expected,) = everything.predict([EVERYTHING])
    assert found.loc["x"].tolist() == [
        expected.label, *expected.probabilities.values(), expected.predicted_rating, *expected.interval_80,
    ]  # fmt: skip


def test_a_frame_of_several_batches_is_predicted_in_its_order(everything: Classifier) -> None:
    count = 2 * BATCH + 7
    frame = pd.DataFrame({"title": [f"Film {n}" for n in range(count)], "year": [1950 + n % 70 for n in range(count)]})
    frame["genres"] = [["Drama"] if n % 2 else "Crime, War" for n in range(count)]
    found = silent(everything, frame.iloc[::-1])
    assert found.index.tolist() == list(range(count))[::-1]
    places = [0, BATCH - 1, BATCH, 2 * BATCH + 6]
    alone = pd.concat([silent(everything, frame.loc[[place]]) for place in places])
    pd.testing.assert_frame_equal(found.loc[places], alone, atol=1e-5)


INDEXES = {
    "numbers": pd.Index([7, 3, 5, 1], name="id"),
    "duplicated": pd.Index(["a", "a", "b", "a"]),
    "several levels": pd.MultiIndex.from_tuples([("x", 1), ("x", 1), ("y", 2), ("y", None)], names=["k", "n"]),
    "days": pd.date_range("2020-01-01", periods=4, tz="Europe/Berlin"),
    "missing": pd.Index([None, np.nan, "a", pd.NA], dtype=object),
    "categories": pd.CategoricalIndex(["p", "q", "p", "q"]),
}


@pytest.mark.parametrize("name", INDEXES)
def test_the_result_has_the_index_of_the_frame(everything: Classifier, name: str) -> None:
    frame = OBJECTS.set_axis(INDEXES[name])
    found = silent(everything, frame)
    pd.testing.assert_index_equal(found.index, INDEXES[name])
    same(found, silent(everything, OBJECTS))
    found.index.names = ["changed"] * frame.index.nlevels
    assert frame.index.names == INDEXES[name].names
    assert len(pd.concat([frame, found.set_axis(frame.index)], axis=1)) == 4


def test_a_frame_without_rows_has_a_result_without_rows(everything: Classifier) -> None:
    for index in (pd.Index([], name="id"), pd.MultiIndex.from_arrays([[], []], names=["a", "b"])):
        found = silent(everything, pd.DataFrame({"title": [], "year": []}, index=index))
        pd.testing.assert_index_equal(found.index, index)
        assert found.dtypes.to_dict() == silent(everything, OBJECTS).dtypes.to_dict()
        assert found.attrs == {"read": {"title": ["title"], "release_date": ["year"]}, "not_read": []}


def test_the_frame_is_not_changed(everything: Classifier) -> None:
    frame = OBJECTS.copy(deep=True)
    frame["genres"] = [np.array(["Drama"]), ["Crime", None], ("War",), pd.NA]
    before = [list(cell) if isinstance(cell, np.ndarray | list | tuple) else cell for cell in frame["genres"]]
    kinds = frame.dtypes.to_dict()
    silent(everything, frame)
    assert frame.dtypes.to_dict() == kinds
    pd.testing.assert_frame_equal(frame.drop(columns="genres"), OBJECTS.drop(columns="genres"))
    after = [list(cell) if isinstance(cell, np.ndarray | list | tuple) else cell for cell in frame["genres"]]
    assert after == before
    assert frame.attrs == {}


@pytest.mark.parametrize(
    ("field", "cells", "expected"),
    [
        ("genres", [["Drama", "War"], ("Drama", "War"), np.array(["Drama", "War"]), "Drama, War"], ["Drama", "War"]),
        ("genres", [["Drama", None], ["Drama", np.nan], ["Drama", pd.NA], np.array(["Drama", None])], ["Drama"]),
        ("genres", [{"Drama"}, frozenset({"Drama"}), pd.array(["Drama"]).tolist(), '["Drama"]'], ["Drama"]),
        ("genres", [[{"name": "Drama"}], [{"name": "Drama", "id": 7}], "[{'name': 'Drama'}]", ["Drama"]], ["Drama"]),
        ("genres", [None, np.nan, pd.NA, pd.NaT], None),
        ("genres", pd.Series([["Drama"]] * 4, dtype=pd.ArrowDtype(pa.list_(pa.string()))), ["Drama"]),
        ("genres", pd.Categorical(["Drama, War"] * 4), ["Drama", "War"]),
        ("year", [2007, 2007.0, "2007", np.int16(2007)], 2007),
        ("year", [2007.0, 2007.0, np.nan, 2007.0], (2007, 2007, None, 2007)),
        ("year", [pd.Timestamp("2007-05-01"), date(2007, 5, 1), np.datetime64("2007-05-01"), "5 May 2007"], 2007),
        ("year", pd.to_datetime(["2007-01-01 00:30"] * 4).tz_localize("Europe/Berlin"), 2007),
        ("year", pd.period_range("2007-01", periods=4, freq="M"), 2007),
        ("year", pd.Categorical([2007, None, 2007, 2007]), (2007, None, 2007, 2007)),
        ("year", pd.array([2007, None, 2007, 2007], dtype="Int16"), (2007, None, 2007, 2007)),
        ("year", pd.arrays.SparseArray([2007] * 4), 2007),
        ("year", pd.Series([2007] * 4, dtype="int64[pyarrow]"), 2007),
        ("runtime", [90, "90", "1h 30m", Decimal(90)], 90),
        ("runtime", pd.Series(["90 min"] * 4, dtype="string"), 90),
        ("title", [300, 300, 300, 300], "300"),
        ("title", ["300", 300, b"300", np.int64(300)], "300"),
        ("summary", [None, np.nan, pd.NA, ""], None),
        ("collection", [{"id": 1, "name": "Ice"}, "Ice", '{"name": "Ice"}', "Ice"], "Ice"),
    ],
)  # fmt: skip
def test_a_cell_is_read_whatever_object_holds_it(everything: Classifier, field: str, cells: Any, expected: Any) -> None:
    frame = pd.DataFrame({"title": ["Film"] * 4, "summary": ["A story."] * 4})
    frame = frame.assign(**{field: cells if isinstance(cells, pd.Series) else pd.Series(cells)})
    values = expected if isinstance(expected, tuple) else [expected] * 4
    movies = [{"title": "Film", "summary": "A story.", field: value} for value in values]
    found = silent(everything, frame)
    same(found, pd.DataFrame([row(prediction) for prediction in everything.predict(movies)]))


def row(prediction: Any) -> dict[str, Any]:
    values = [
        prediction.label,
        *prediction.probabilities.values(),
        prediction.predicted_rating,
        *prediction.interval_80,
    ]
    return dict(zip(COLUMNS, values, strict=True))


def test_columns_of_other_names_are_mapped(everything: Classifier) -> None:
    frame = pd.DataFrame({0: ["Harbour"], "Inhalt": ["A pilot."], "A1": ["B C"], "A2": ["D E"], "genres": ["Crime"]})
    mapping = {"title": 0, "summary": "Inhalt", "cast": ["A1", "A2"], "genres": None, "year": None}
    found = silent(everything, frame, mapping=mapping)
    expected = everything.predict([{"title": "Harbour", "summary": "A pilot.", "cast": ["B C", "D E"]}])
    assert found.iloc[0].to_dict() == row(expected[0])
    assert found.attrs == {
        "read": {"title": ["0"], "cast": ["A1 + A2"], "summary": ["Inhalt"]},
        "not_read": ["genres"],
    }


def test_the_label_follows_the_decision(everything: Classifier) -> None:
    found = silent(everything, TEXTS, decision="most_probable")
    probabilities = found[COLUMNS[1:4]].set_axis(["bad", "average", "good"], axis=1)
    assert found["label"].tolist() == probabilities.idxmax(axis=1).tolist()
    same(found.drop(columns="label").assign(label="")[COLUMNS], silent(everything, TEXTS).assign(label=""))


def test_a_value_that_cannot_be_read_is_not_known_and_a_warning_names_field_and_row(everything: Classifier) -> None:
    frame = pd.DataFrame({"title": ["A", "B", "C"], "Runtime": ["90", "long", "x"]}, index=["i", "j", "k"])
    with pytest.warns(UserWarning) as caught:
        found = everything.predict_frame(frame)
    assert [str(warning.message) for warning in caught] == [
        "runtime from Runtime: 2 values cannot be read and count as not known, the first in row 'j': 'long'"
    ]
    assert caught[0].filename == __file__
    same(found.iloc[1:], silent(everything, pd.DataFrame({"title": ["B", "C"]})))


SELF: list[Any] = []
SELF.append(SELF)


@pytest.mark.parametrize(
    ("columns", "index", "message"),
    [
        ({"work": ["A"]}, [0], r"the frame: no column for title or summary \(such as .*\); it has work; name the col"),
        ({}, [], "the frame: no column for title or summary .*; it has none"),
        ({"title": ["A", None]}, ["a", "b"], "row 'b': title and summary are both empty"),
        ({"title": ["A", " "]}, ["a", "a"], "row 'a' at position 1: title and summary are both empty"),
        ({"title": ["A", ""]}, pd.MultiIndex.from_tuples([("x", 1), ("x", 2)]), r"row \('x', 2\): title and summary"),
        ({"title": ["A", ""]}, pd.date_range("2020-01-01", periods=2), "row 2020-01-02 00:00:00: title and summary"),
        ({"title": ["A", ""]}, ["a", "b\nc"], r"row 'b\\nc': title and summary are both empty"),
        ({"title": ["A"], "year": [1600]}, [7], r"row 7: year must be a whole number from 1870 to 2,100, found 1600"),
        ({"title": [["A"], ["B"]]}, [7, 8], r"row 7: the title \['A'\] is no text"),
        ({"title": ["A", b"\xff"]}, [7, 8], "row 8: column 'title' cannot be read .'utf-8' codec"),
        ({"title": ["A", "B"], "genres": [["Drama"], SELF]}, [7, 8], "row 8: column 'genres' cannot be read .nested"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_column_or_the_row(
    everything: Classifier, columns: dict[str, Any], index: Any, message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}") as caught:
        everything.predict_frame(pd.DataFrame(columns, index=index))
    assert "\n" not in str(caught.value)


def test_a_column_of_a_name_that_two_columns_have_is_refused_if_it_is_needed(everything: Classifier) -> None:
    frame = pd.DataFrame([["A", "a", "b"]], columns=["title", "note", "note"])
    same(silent(everything, frame), silent(everything, frame[["title"]]))
    with pytest.raises(UserError, match=r"^the frame: 2 columns are called 'title'; rename all but one$"):
        everything.predict_frame(pd.DataFrame([["A", "B"]], columns=["title", "title"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frame": [{"title": "A"}]}, "predict_frame: expected a pandas DataFrame, found list"),
        ({"decision": "balance"}, "predict_frame: decision must be balanced or most_probable, found 'balance'"),
        ({"mapping": {"titel": "title"}}, "mapping: no field is called 'titel'; expected one of title, genres"),
        ({"mapping": {"title": "Name"}}, "the frame: mapping.title: no column 'Name'; it has title"),
    ],
)
def test_a_wrong_argument_is_one_line(everything: Classifier, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        everything.predict_frame(**({"frame": pd.DataFrame({"title": ["A"]})} | arguments))


CELL = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.binary(max_size=4),
    st.dates(), st.datetimes(), st.timedeltas(), st.decimals(), st.complex_numbers(),
    st.sampled_from([pd.NA, pd.NaT, np.datetime64("NaT"), np.float32("nan"), object, pd.Timestamp("2007", tz="UTC")]),
    st.lists(st.none() | st.text(max_size=5) | st.integers() | st.floats(), max_size=3),
    st.dictionaries(st.sampled_from(["name", "id"]), st.none() | st.text(max_size=5) | st.integers(), max_size=2),
)  # fmt: skip


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(cells=st.lists(CELL, min_size=1, max_size=4), field=st.sampled_from(sorted({*FIELDS, "release_date"})))
def test_no_odd_cell_is_a_stack_trace(everything: Classifier, cells: list[Any], field: str) -> None:
    odd = pd.Series(cells, dtype=object)
    frame = pd.DataFrame({"name": ["A"] * len(cells), field: odd})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert len(everything.predict_frame(frame)) == len(cells)
        except UserError as error:
            assert "\n" not in str(error)


def test_predicting_a_frame_says_what_to_install_where_pandas_is_missing(trained: Path) -> None:
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        "from movie_ratings import Classifier\n"
        "try:\n  Classifier.load().predict_frame([])\n"
        "except Exception as error:\n  print(type(error).__name__, error)"
    )
    assert last_line(code) == "UserError predict_frame: pandas is not installed; pip install pandas"
