"""The notebook: it runs from top to bottom, and its committed outputs are those of its code and of the metrics."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pyarrow as pa
import pytest

from benchmarks import notebook
from movie_ratings.core import parquet, storage
from movie_ratings.core.errors import UserError
from movie_ratings.movies.record import MOVIE, SPLIT_OF
from tests.support.builders import ROOT, learnable

COMMITTED = ROOT / notebook.NOTEBOOK
LARGEST = 600_000  # bytes: the hub of the repository still shows it
# A folder of some machine, and an address of an object in memory.
MACHINES = re.compile(r"(?<![\w.])/(home|root|tmp|work|usr|opt|Users|mnt)/|[A-Z]:\\\\|0x[0-9a-f]{6,}")


def read(path: Path) -> Any:
    return nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)


def code_cells(path: Path) -> list[Any]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def texts(path: Path) -> str:
    """All that the cells have printed, without the pictures."""
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    shown = [output.get("text", "") + "".join(map(str, output.get("data", {}).values())) for output in outputs]
    return "\n".join(text for text in shown if "image/png" not in text)


def test_the_committed_outputs_are_those_of_the_code() -> None:
    cells = code_cells(COMMITTED)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    stale = [n for n, cell in enumerate(cells, 1) if cell.metadata.executed != notebook.code_hash(cell.source)]
    assert stale == [], "run `make notebook`"


def test_no_committed_output_is_an_error_a_warning_or_a_place_on_a_machine() -> None:
    nbformat.validate(read(COMMITTED))
    for cell in code_cells(COMMITTED):
        for output in cell.outputs:
            assert output.output_type in ("stream", "display_data", "execute_result")
            assert output.get("name") != "stderr"
            plain = {kind: data for kind, data in output.get("data", {}).items() if kind != "image/png"}
            assert not MACHINES.search(json.dumps([output.get("text"), plain]))


def test_the_notebook_has_small_pictures() -> None:
    assert COMMITTED.stat().st_size < LARGEST
    pictures = [o for cell in code_cells(COMMITTED) for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 4


def test_the_notebook_shows_the_figures_of_the_committed_metrics() -> None:
    evaluated = json.loads((ROOT / "metrics/details/evaluate.json").read_text())
    shown = texts(COMMITTED)
    for name, value in (
        ("movies", evaluated["rows"]),
        ("balanced accuracy", evaluated["balanced_accuracy"]),
        ("log-loss", evaluated["log_loss"]),
    ):
        (found,) = re.findall(rf"^{name}: ([\d.]+)$", shown, re.MULTILINE)
        assert float(found) == pytest.approx(value, abs=1e-4), "run `make notebook`"


@pytest.fixture
def tiny(trained: Path, workspace: Path) -> Path:
    """A workspace in which the pipeline could have run, with the code of the repository and the notebook."""
    genres = [["Drama", "War"], ["Comedy"], None]
    films = [film | {"genres": genres[n % 3]} for n, film in enumerate(learnable(90))]
    movies = pa.Table.from_pylist(films, MOVIE)
    parquet.write_table("data/clean/movies.parquet", movies)
    names = [("train", "validation", "test")[n % 3] for n in range(len(movies))]
    parquet.write_table("data/split/splits.parquet", pa.table({"id": movies["id"], "split": names}).cast(SPLIT_OF))
    storage.write_json("data/split/thresholds.json", {"low": 5.0, "high": 7.0})
    shutil.copy(ROOT / "dvc.yaml", workspace)
    (workspace / "movie_ratings").symlink_to(ROOT / "movie_ratings")
    (workspace / "docs").mkdir()
    shutil.copy(COMMITTED, workspace / notebook.NOTEBOOK)
    return workspace


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tiny: Path) -> None:
    assert notebook.main([]) == 0
    path = tiny / notebook.NOTEBOOK
    assert not [cell for cell in code_cells(path) if notebook.is_failed(cell)]
    assert [cell.source for cell in code_cells(path)] == [cell.source for cell in code_cells(COMMITTED)]
    assert "movies: 30" in texts(path)


@pytest.mark.slow
def test_a_cell_that_fails_is_one_line_and_the_notebook_stays_as_it_was(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (tiny / notebook.NOTEBOOK).read_bytes()
    shutil.rmtree(tiny / "models")
    assert notebook.main([]) == 2
    number = next(n for n, cell in enumerate(read(COMMITTED).cells, 1) if "Classifier.load()" in cell.source)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: docs/notebook.ipynb cell {number}: UserError: models/movie-rating: ")
    assert (tiny / notebook.NOTEBOOK).read_bytes() == before


def test_a_notebook_that_is_missing_is_one_line(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"docs/notebook\.ipynb: no such file"):
        notebook.execute(notebook.NOTEBOOK)
