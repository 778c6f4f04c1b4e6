"""Prediction as a user meets it: flags, files, and every way to get them wrong."""

import csv
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from movie_ratings.core.errors import UserError
from movie_ratings.movies.text import FIELDS, FORMAT
from movie_ratings.movies.validation import validated
from movie_ratings.prediction.bulk import BATCH
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.movie_table import MovieTable
from movie_ratings.prediction.served import leave_out_comparables
from movie_ratings.prediction.writer import Writer
from stages import predict
from tests.support.builders import EVERYTHING, last_line, reading


def test_one_movie_from_flags(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        predict.main(["--title", "Film", "--summary", "A dull noise.", "--genres", "Drama", "--genres", "Crime"]) == 0
    )
    classifier = Classifier.load(trained)
    (expected,) = classifier.predict([{"title": "Film", "summary": "A dull noise.", "genres": ["Drama", "Crime"]}])
    first, *bars = capsys.readouterr().out.splitlines()
    low, high = expected.interval_80
    rating = f"rating {expected.predicted_rating:.1f} of 10, 80% interval {low:.1f} to {high:.1f}"
    assert first == f"{expected.label}: {rating}"
    assert [line.split()[0] for line in bars[:3]] == ["bad", "average", "good"]
    assert sum(float(line.split()[1]) for line in bars[:3]) == pytest.approx(1, abs=2e-3)
    times = expected.probabilities["bad"] / classifier.base_rates["bad"]
    assert bars[0].endswith(f"{times:.1f} times the usual {classifier.base_rates['bad']:.0%}")


def test_a_label_that_is_not_the_most_probable_class_is_explained(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained / "movie_ratings.json"
    metadata = json.loads(path.read_text())
    for answering in metadata["answerings"].values():
        answering["decision"]["offsets"] = [0.0, -50.0, 0.0]  # never average
        answering["calibration"]["bias"] = [0.0, 9.0, 0.0]  # which is nearly sure
    path.write_text(json.dumps(metadata))
    movie = ["--title", "Film", "--genres", "Drama"]
    assert predict.main(movie) == 0
    *_, reason = capsys.readouterr().out.splitlines()
    assert reason.startswith("The most probable class is average (")
    assert reason.endswith("For the most probable class: --decision most_probable.")
    assert predict.main([*movie, "--decision", "most_probable"]) == 0
    first, *bars = capsys.readouterr().out.splitlines()
    assert first.startswith("average: ")
    assert len(bars) == 3
    Path("in.csv").write_text("title,genres\nFilm,Drama\n")
    for decision, labels in (("balanced", {"bad", "good"}), ("most_probable", {"average"})):
        assert predict.main(["--input", "in.csv", "--output", "out.csv", "--decision", decision]) == 0
        (row,) = csv.DictReader(Path("out.csv").read_text().splitlines())
        assert row["label"] in labels


def test_the_comparable_films_of_a_movie_are_printed_on_request(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie: dict[str, Any] = {"title": "Film", "genres": ["Drama"]}
    flags = ["--title", "Film", "--genres", "Drama"]
    assert predict.main([*flags, "--comparables"]) == 0
    lines = capsys.readouterr().out.splitlines()
    films = Classifier.load(trained).comparables([validated(movie)])[0]
    place = lines.index("Movies that resemble it, and how they were rated:")
    assert [line.split(maxsplit=1)[1] for line in lines[place + 1 :]] == [film.title for film in films]
    assert predict.main([*flags, "--comparables", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["comparables"] == [film._asdict() for film in films]
    leave_out_comparables(trained)
    assert predict.main([*flags, "--comparables"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "This model has no comparable movies."


def test_one_movie_as_json(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert predict.main(["--title", "Film", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    classifier = Classifier.load(trained)
    (expected,) = classifier.predict([{"title": "Film"}])
    known = {"base_rates": classifier.base_rates, "version": classifier.version, "precision": "fp32"}
    assert found == {**expected._asdict(), "interval_80": list(expected.interval_80), **known}


def test_each_field_that_a_model_may_read_has_a_flag(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading(trained, *FIELDS)
    flags = [
        [f"--{field.replace('_', '-')}", str(value)]
        for field, values in EVERYTHING.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    assert predict.main([*(word for flag in flags for word in flag), "--json", "--explain"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [effect["field"] for effect in found["explanation"]["fields"]] == list(FIELDS)
    (expected,) = Classifier.load(trained).predict([EVERYTHING])
    assert found["probabilities"] == expected.probabilities


def test_a_table_with_every_field_gets_the_answer_of_the_same_movie(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reading(trained, *FIELDS)
    row = {name: ", ".join(value) if isinstance(value, list) else value for name, value in EVERYTHING.items()}
    row["budget"] = "$2,500,000"
    pl.DataFrame([row]).write_csv("a.csv")
    assert predict.main(["--input", "a.csv", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (expected,) = Classifier.load(trained).predict([EVERYTHING])
    assert found["probabilities"] == expected.probabilities


def test_the_order_of_the_movies_and_of_the_batch_does_not_matter(trained: Path) -> None:
    classifier = Classifier.load(trained)
    movies = [{"title": f"Film {n}", "summary": "A story. " * (n % 9)} for n in range(30)]
    together = classifier.predict(movies)
    for movie, prediction in zip(movies, together, strict=True):
        alone = classifier.predict([movie])[0]
        assert alone.probabilities == pytest.approx(prediction.probabilities, abs=1e-5)
    assert classifier.predict([]) == []


@pytest.mark.parametrize(
    "movie",
    [
        {"title": "", "summary": "A story."},
        {"title": "Film", "summary": "word " * 20_000},
        {"title": "\ud800 Film", "summary": "NUL\0", "genres": None},
        {"title": "فيلم 🎬", "summary": "", "genres": ["No Such Genre"]},
    ],
)
def test_odd_movies_get_an_answer(trained: Path, movie: dict[str, Any]) -> None:
    (prediction,) = Classifier.load(trained).predict([movie])
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("movie", "complaint"),
    [
        ({"title": " ", "summary": "\0"}, "title and summary are both empty"),
        ({"title": 7}, "title must be text, found 7"),
        ({"title": "A", "genres": "Drama"}, "genres must be a list of names"),
        ({"title": "A", "cast": ["B", 7]}, "cast must be a list of names"),
        ({"title": "A", "year": "1994"}, "year must be a whole number from 1870 to 2,100, found '1994'"),
        ({"title": "A", "year": 12}, "year must be a whole number"),
        ({"title": "A", "runtime": 1.5}, "runtime must be a whole number"),
    ],
)
def test_a_movie_that_cannot_be_read_is_refused(trained: Path, movie: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=f"movie 2: {complaint}"):
        Classifier.load(trained).predict([{"title": "A"}, movie])


def test_many_movies_without_an_output_are_printed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("movies.csv").write_text("title,summary\nFilm 1,A dull noise.\nFilm 2,A tender vision.\n")
    assert predict.main(["--input", "movies.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[-1] for line in lines] == ["Film 1", "Film 2"]
    assert predict.main(["--input", "movies.csv", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(movie["title"], movie["version"]) for movie in found] == [
        ("Film 1", Classifier.load(trained).version),
        ("Film 2", Classifier.load(trained).version),
    ]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_file_keeps_its_columns_and_gains_the_prediction(trained: Path, workspace: Path, suffix: str) -> None:
    movies = [
        {"id": str(n), "title": f"Film {n}", "summary": "Two\nlines", "genres": ["Drama", "Crime"], "label": "mine"}
        for n in range(5)
    ]
    source, target = workspace / f"in{suffix}", workspace / f"out{suffix}"
    if suffix == ".csv":
        pl.DataFrame(movies).with_columns(genres=pl.lit("Drama, Crime")).write_csv(source)
    elif suffix == ".jsonl":
        source.write_text("".join(json.dumps(movie) + "\n" for movie in movies) + "\n")
    else:
        pl.DataFrame(movies).write_parquet(source)
    assert predict.main(["--input", str(source), "--output", str(target)]) == 0
    if suffix == ".csv":
        found = list(csv.DictReader(target.open(newline="")))
    elif suffix == ".jsonl":
        found = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        found = pl.read_parquet(target).to_dicts()
    assert [row["id"] for row in found] == ["0", "1", "2", "3", "4"]
    assert list(found[0]) == [
        "id", "title", "summary", "genres", "true_label", "label",
        "probability_bad", "probability_average", "probability_good", "predicted_rating", "predicted_rating_low",
        "predicted_rating_high",
    ]  # fmt: skip
    assert {row["true_label"] for row in found} == {"mine"}
    one = Classifier.load(trained).predict(movies[:1])[0]
    assert float(found[0]["probability_bad"]) == pytest.approx(one.probabilities["bad"], abs=1e-6)


def test_a_parquet_file_has_few_row_groups_however_small_the_batches(tmp_path: Path) -> None:
    path = tmp_path / "answered.parquet"
    with Writer(path) as writer:
        for first in range(0, 20_000, 1_000):
            writer.write([{"id": n} for n in range(first, first + 1_000)])
    with pq.ParquetFile(path) as file:
        assert file.num_row_groups == 2
        assert file.read()["id"].to_pylist() == list(range(20_000))


def test_a_column_whose_first_value_comes_late_keeps_its_type(trained: Path, workspace: Path) -> None:
    notes = [None] * BATCH + ["late"]
    movies = pl.DataFrame({"title": ["Film"] * len(notes), "note": notes, "label": [1] * len(notes)})
    movies.write_parquet("in.parquet")
    assert predict.main(["--input", "in.parquet", "--output", "out.parquet"]) == 0
    found = pl.read_parquet("out.parquet")
    assert found["note"].to_list() == notes
    assert found["true_label"].dtype == pl.Int64


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", b"title,summary\nA,b\nB,c,d\n", "a.csv line 3: 3 cells, the header has 2"),
        ("a.csv", b'title,summary\nA,"b\nc"\n\xff,x\n' + 9 * b"\xc3\xa9,y\n", "a.csv line 4: bytes that are no text"),
        ("a.csv", b"", "a.csv: empty, expected a line of column names"),
        ("a.csv", b"work,story\nA,b\n", "a.csv: no column for title or summary"),
        ("a.csv", b"title,title\nA,b\n", "a.csv: 2 columns are called 'title'"),
        ("a.csv", b"title,summary\nA,b\n , \n", "a.csv line 3: title and summary are both empty"),
        ("a.csv", b"title,year\nA,1600\n", "a.csv line 2: year must be a whole number from 1870 to 2,100, found 1600"),
        ("a.csv", b"title,runtime\nA,20000\n", "a.csv line 2: runtime must be a whole number from 0 to 10,000, found"),
        ("a.csv", b"title,label,true_label\nA,1,2\n", "a.csv: both a label and a true_label"),
        ("a.jsonl", b'{"title": "A"}\n{"title": \n', "a.jsonl line 2: Expecting value"),
        ("a.jsonl", b'{"title": "A"}\n[1]\n', "a.jsonl line 2: expected an object, found list"),
        ("a.jsonl", b'{"title": ' + b"[" * 100_000, "a.jsonl line 1: nested too deeply"),
        ("a.jsonl", b'{"title": "A", "year": ' + b"9" * 5_000 + b"}", "a.jsonl line 1: Exceeds the limit"),
        ("a.parquet", b"PAR1", "a.parquet: not a readable file"),
        ("a.xlsx", b"", "a.xlsx: not a readable workbook"),
        ("a.doc", b"", "a.doc: expected a name that ends in .csv, .tsv"),
        ("gone.csv", None, "gone.csv: no such file"),
    ],
)
def test_a_broken_file_is_one_line_and_no_output(
    trained: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        Path(name).write_bytes(content)
    assert predict.main(["--input", name, "--output", "out.csv"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"error: {complaint}")
    assert not Path("out.csv").exists()
    assert not list(Path().glob(".*.tmp"))


def test_a_number_too_large_for_parquet_is_one_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.jsonl").write_text(json.dumps({"title": "A", "note": 10**30}))
    assert predict.main(["--input", "a.jsonl", "--output", "out.parquet"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: out.parquet: a column has values of different")


def test_a_missing_name_among_others_is_no_name(trained: Path) -> None:
    for name, genres in (("gaps", [[None, "Drama", None]]), ("none", [["Drama"]])):
        pl.DataFrame({"title": ["A"], "genres": genres}).write_parquet(f"{name}.parquet")
        assert predict.main(["--input", f"{name}.parquet", "--output", f"out-{name}.jsonl"]) == 0
    gaps, none = (json.loads(Path(f"out-{name}.jsonl").read_text()) for name in ("gaps", "none"))
    assert gaps["genres"] == [None, "Drama", None]
    assert {**gaps, "genres": ["Drama"]} == none


def test_a_day_of_a_year_beyond_the_calendar_is_one_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pa.table({"title": ["A"], "year": pa.array([10**13], pa.timestamp("s"))}), "a.parquet")
    assert predict.main(["--input", "a.parquet", "--output", "out.csv"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: a.parquet: a column that cannot be read")
    assert predict.main(["--input", "a.parquet"]) == 2


def test_half_of_a_surrogate_pair_is_written_as_text(trained: Path) -> None:
    Path("a.jsonl").write_text('{"title": "A", "genres": ["\\ud800"]}\n')
    assert predict.main(["--input", "a.jsonl", "--output", "out.csv"]) == 0
    (row,) = csv.DictReader(Path("out.csv").read_text().splitlines())
    assert json.loads(row["genres"]) == ["\ufffd"]


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("year", "soon", "'soon'"),
        ("year", "9" * 5_000, "'99"),
        ("genres", "[1", "'[1'"),
        ("genres", "[" * 100_000, "'[["),
        ("genres", "[[1]]", "'[[1]]'"),
        ("genres", "(5)", "'(5)'"),
        ("genres", "(1+2j)", "'(1+2j)'"),
        ("runtime", "-3", "'-3'"),
        ("runtime", "1e999", "'1e999'"),
    ],
)
def test_a_value_that_cannot_be_read_is_not_known_and_reported(
    trained: Path, field: str, value: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.csv").write_text(f"title,{field}\nA,\nB,{value}\n")
    Path("b.csv").write_text(f"title,{field}\nA,\nB,\n")
    for name in ("a", "b"):
        assert predict.main(["--input", f"{name}.csv", "--output", f"out-{name}.csv"]) == 0
    answers = [list(csv.DictReader(Path(f"out-{name}.csv").read_text().splitlines())) for name in ("a", "b")]
    assert [row.pop(field) for row in answers[0]] == ["", value]
    assert [{**row, field: ""} for row in answers[0]] == answers[1]
    assert f"1 value cannot be read, the first in line 3: {shown}" in capsys.readouterr().err


TABLE = (
    "Film,Overview,Genres,Year,Runtime\n"
    "Harbour,A pilot leaves home.,Drama|Romance,12 December 2007,2h 22m\n"
    "Winter,A letter is lost.,\"['Crime' 'War']\",(1994),N/A\n"
)
SAME = [
    {
        "title": "Harbour",
        "summary": "A pilot leaves home.",
        "genres": ["Drama", "Romance"],
        "year": 2007,
        "runtime": 142,
    },
    {"title": "Winter", "summary": "A letter is lost.", "genres": ["Crime", "War"], "year": 1994},
]


def test_a_table_as_people_have_it_gets_the_answers_of_the_same_movies(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.csv").write_text(TABLE.replace(",", ";"), encoding="utf-16")
    assert predict.main(["--input", "a.csv", "--output", "out.jsonl"]) == 0
    found = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    for row, prediction in zip(found, Classifier.load(trained).predict(SAME), strict=True):
        assert row["label"] == prediction.label
        assert row["probability_good"] == pytest.approx(prediction.probabilities["good"], abs=1e-6)
    assert found[0]["Runtime"] == "2h 22m"
    assert "release_date from Year (by its name)" in capsys.readouterr().err


def test_columns_of_other_names_are_chosen_on_the_command_line(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.csv").write_text("Werk,Inhalt,A1,A2,Genres\nHarbour,A pilot leaves home.,B C,D E,Crime\n")
    choice = ["title=Werk", "summary=Inhalt", "cast=", "cast=A1", "cast=A2", "genres="]
    assert predict.main(["--input", "a.csv", "--json", *(f"--column={each}" for each in choice)]) == 0
    movie = {"title": "Harbour", "summary": "A pilot leaves home.", "cast": ["B C", "D E"]}
    expected = Classifier.load(trained).predict([movie])[0]
    assert json.loads(capsys.readouterr().out)["probabilities"] == pytest.approx(expected.probabilities)
    assert predict.main(["--input", "a.csv", "--column", "tittle=Werk"]) == 2
    assert capsys.readouterr().err.startswith(
        "error: --column tittle=Werk: expected FIELD=COLUMN, where FIELD is one of"
    )


@pytest.mark.parametrize(
    "fill", [b"A" * 1_000_000, b"A," * 500_000, b'"\n"' * 250_000], ids=["one cell", "many cells", "many lines"]
)
@pytest.mark.parametrize("name", ["long.csv", "long.jsonl"])
def test_a_movie_without_end_is_refused_in_bounded_memory(trained: Path, name: str, fill: bytes) -> None:
    with Path(name).open("wb") as file:
        file.write(b'title,summary\nA,"' if name == "long.csv" else b'{"title": "A", "summary": "')
        for _ in range(150):
            file.write(fill.replace(b"\n", b"" if name == "long.jsonl" else b"\n"))
    code = (
        "import resource; from pathlib import Path; from movie_ratings.prediction.movie_table import MovieTable\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n  list(MovieTable(Path('%s')).batches(1_000))\n"
        "except Exception as error:\n"
        "  print(type(error).__name__, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error)"
    )
    kind, kilobytes, place, *_ = last_line(code % name).split(" ", 2)
    assert kind == "UserError"
    assert place.startswith(f"{name} line ")
    assert int(kilobytes) < 150_000


def test_few_long_movies_fill_a_batch_too(workspace: Path) -> None:
    Path("long.jsonl").write_text((json.dumps({"title": "A", "note": "x" * 7_000_000}) + "\n") * 12)
    assert [len(batch.movies) for batch in MovieTable(Path("long.jsonl")).batches(1_000)] == [1] * 12


# Bytes of a file that begin like one, and then go on as nobody expects.
ODD = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(FIELDS)), inner, max_size=5),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode()),
)


@pytest.mark.slow
@settings(max_examples=25, deadline=None, database=None, derandomize=True)
@given(head=st.sampled_from([b"title,genres,year\n", b'{"title": "A", "cast": ', b'{"title": "A"}\n', b""]), odd=ODD)
def test_no_odd_file_is_a_stack_trace(served_model: Path, head: bytes, odd: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".csv", ".jsonl", ".parquet"):
            source, target = Path(folder, f"odd{suffix}"), Path(folder, "rated.csv")
            source.write_bytes(head + odd)
            arguments = ["--input", str(source), "--output", str(target), "--model", str(served_model)]
            assert predict.main(arguments) in (0, 2)


def test_an_output_that_is_a_folder_is_refused_before_any_prediction(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("movies.csv").write_text("title\nA\n")
    Path("old.csv").mkdir()
    Path("old.csv", "letters.txt").write_text("dear")
    # There is not even a model: nothing was loaded.
    assert predict.main(["--input", "movies.csv", "--output", "old.csv"]) == 2
    expected = "error: old.csv: a folder of this name exists; a file does not replace it\n"
    assert capsys.readouterr().err == expected
    assert Path("old.csv", "letters.txt").read_text() == "dear"


def test_a_model_that_is_missing_or_of_another_format_is_named(trained: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such model"):
        Classifier.load("nowhere")
    path = trained / "movie_ratings.json"
    found = json.loads(path.read_text())
    path.write_text(json.dumps(found | {"text_format": 99}))
    with pytest.raises(UserError, match=f"text format 99, this code writes {FORMAT}"):
        Classifier.load(trained)
    path.write_text(json.dumps({"text_format": FORMAT}))
    with pytest.raises(UserError, match=r"movie_ratings\.json: not a checkpoint's metadata"):
        Classifier.load(trained)
    del found["served"]
    path.write_text(json.dumps(found))
    with pytest.raises(UserError, match=r"movie_ratings\.json: not the metadata of a served model"):
        Classifier.load(trained)


def test_the_version_is_that_of_the_content(trained: Path) -> None:
    version = Classifier.load(trained).version
    copy = Path(shutil.copytree(trained, "copy"))
    assert Classifier.load(copy).version == version
    found = json.loads((copy / "movie_ratings.json").read_text())
    found["answerings"]["plot"]["calibration"]["bias"][0] += 1
    (copy / "movie_ratings.json").write_text(json.dumps(found))
    assert Classifier.load(copy).version != version


def test_a_prediction_needs_no_training_library(trained: Path) -> None:
    code = (
        "import sys; from stages.predict import main; main(['--title', 'Film']); "
        "print({'torch', 'transformers', 'pandas', 'pyarrow', 'dvc', 'sklearn', 'scipy'} & set(sys.modules))"
    )
    assert last_line(code) == "set()"
