import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from movie_ratings.core import csv_files, parquet, storage
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.locks import lock_outputs, locked
from tests.support.builders import ROOT, largest_file

BATCH = pa.RecordBatch.from_pydict({"n": list(range(1000))})


def started(code: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process that runs ``code`` and has printed its first line."""
    command = [sys.executable, "-c", code, *arguments]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_crash_while_writing_leaves_the_old_file(workspace: Path) -> None:
    storage.write_json("metrics/a.json", {"old": 1})
    with pytest.raises(KeyboardInterrupt), storage.whole("metrics/a.json") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert storage.read_json("metrics/a.json") == {"old": 1}
    assert [path.name for path in Path("metrics").iterdir()] == ["a.json"]


TABLE = pa.table({"n": np.random.default_rng(0).random(10_000)})
WRITERS: dict[str, Callable[[str], Any]] = {
    "json": lambda path: storage.write_json(path, TABLE["n"].to_pylist()),
    "parquet": lambda path: parquet.write_table(path, TABLE),
    "csv": lambda path: csv_files.write_csv(path, pl.DataFrame(TABLE)),
    "folder": lambda path: csv_files.write_folder(path, {"a": pl.DataFrame({"n": [1]}), "n": pl.DataFrame(TABLE)}),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_a_disk_that_takes_no_more_is_one_line_that_names_the_file(workspace: Path, kind: str) -> None:
    WRITERS[kind]("out")
    before = {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()}
    named = "out" if kind != "folder" else r"\.out\.tmp/n\.csv"
    with largest_file(4096), pytest.raises(UserError, match=f"^{named}: File too large$"):
        WRITERS[kind]("out")
    assert {path: path.read_bytes() for path in workspace.rglob("*") if path.is_file()} == before
    assert [path.name for path in workspace.iterdir()] == ["out"]


def test_another_failure_while_writing_stays_what_it_is(workspace: Path) -> None:
    with pytest.raises(OSError, match="Connection refused"), storage.whole("out"):
        raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    with pytest.raises(UserError, match=r"^movies\.csv: No space left on device$"), storage.whole("out"):
        raise UserError("movies.csv: No space left on device")


def test_room_is_refused_before_the_work(workspace: Path) -> None:
    storage.require_room(Path("out"), 1_000_000)
    with largest_file(4096), pytest.raises(UserError, match=r"^out: File too large$"):
        storage.require_room(Path("out"), 1_000_000)
    assert not list(workspace.iterdir())


def test_a_kill_while_writing_leaves_no_file_and_the_next_run_recovers(workspace: Path) -> None:
    code = (
        "import time; from movie_ratings.core import storage\n"
        "with storage.whole('out') as t:\n  t.mkdir(); (t / 'part').write_text('x')\n"
        "  print('go', flush=True); time.sleep(60)"
    )
    process = started(code)
    process.kill()
    process.wait()
    assert not Path("out").exists()
    with storage.whole("out") as temporary:
        temporary.mkdir()
        (temporary / "whole").touch()
    assert [path.name for path in Path("out").iterdir()] == ["whole"]
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(workspace: Path) -> None:
    Path("old.csv").mkdir()
    Path("old.csv", "letters.txt").write_text("dear")
    with (
        pytest.raises(UserError, match=r"old\.csv: a folder of this name exists; a file does not replace it"),
        storage.whole("old.csv") as temporary,
    ):
        temporary.write_text("a,b")
    assert Path("old.csv", "letters.txt").read_text() == "dear"
    Path("model").write_text("a file")
    with (
        pytest.raises(UserError, match="model: a file of this name exists; a folder does not replace it"),
        storage.whole("model") as temporary,
    ):
        temporary.mkdir()
    assert Path("model").read_text() == "a file"
    assert sorted(path.name for path in Path().iterdir()) == ["model", "old.csv"]


def test_a_command_replaces_only_a_folder_that_it_made(workspace: Path) -> None:
    folder = Path("home")
    storage.require_own(folder, ["model.onnx"])
    folder.mkdir()
    (folder / "model.onnx").touch()
    storage.require_own(folder, ["model.onnx"])
    (folder / "letters.txt").touch()
    with pytest.raises(UserError, match=r"home: holds 'letters\.txt', which this command did not write"):
        storage.require_own(folder, ["model.onnx"])


SWAP = """
import os, sys
from pathlib import Path
from movie_ratings.core import storage
if sys.argv[1] == "renames":
    storage._exchange = lambda one, other: False
# The folder holds so many files that a replacement file by file would be seen half done.
while True:
    for kind in "ab":
        with storage.whole("out") as temporary:
            temporary.mkdir()
            for number in range(100):
                (temporary / f"{kind}{number}").touch()
        print("go", flush=True)
"""


@pytest.mark.parametrize("how", ["exchange", "renames"])
def test_a_kill_while_a_folder_is_replaced_leaves_a_complete_one(
    workspace: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(0)
    for _ in range(5):
        process = started(SWAP, how)
        time.sleep(generator.random() / 5)
        process.kill()
        process.wait()
        if how == "renames" and not Path("out").exists():  # the next writer puts it back
            with contextlib.suppress(KeyError), storage.whole("out"):
                raise KeyError
        names = {path.name for path in Path("out").iterdir()}
        assert names in ({f"a{n}" for n in range(100)}, {f"b{n}" for n in range(100)})


def test_a_second_process_waits_for_a_file_that_another_one_makes(workspace: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from movie_ratings.core.locks import locked\n"
        "with locked(Path('store/wheel')):\n  print('go', flush=True); time.sleep(1); Path('store/wheel').touch()"
    )
    process = started(code)
    with locked(Path("store/wheel")):
        assert Path("store/wheel").exists()
    assert process.wait() == 0


def test_writing_a_file_does_not_flush_its_neighbours(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(50):
        Path(f"neighbour-{n}").touch()
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    storage.write_json("a.json", {})
    assert len(flushed) == 2  # the file, and the folder that now names it


def test_batch_size_does_not_show_in_the_bytes(workspace: Path) -> None:
    parquet.write_batches("a.parquet", [BATCH] * 40, BATCH.schema)
    small = [BATCH.slice(start, 100) for _ in range(40) for start in range(0, 1000, 100)]
    assert parquet.write_batches("b.parquet", small, BATCH.schema) == 40_000
    parquet.write_table("c.parquet", pa.Table.from_batches([BATCH] * 40))
    assert storage.sha256("a.parquet") == storage.sha256("b.parquet") == storage.sha256("c.parquet")


def test_no_rows_are_still_a_file_with_columns(workspace: Path) -> None:
    assert parquet.write_batches("a.parquet", [], BATCH.schema) == 0
    assert parquet.read_table("a.parquet", BATCH.schema).num_rows == 0


def test_json_that_is_broken_or_missing_is_named(workspace: Path) -> None:
    Path("a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: not valid JSON"):
        storage.read_json("a.json")
    with pytest.raises(UserError, match=r"b\.json: no such file"):
        storage.read_json("b.json")


def test_a_second_writer_says_so_and_stops(workspace: Path) -> None:
    code = (
        "import sys, time; from movie_ratings.core.locks import lock_outputs\n"
        "with lock_outputs(['data/raw/movies.parquet']):\n  print('go', flush=True); time.sleep(60)"
    )
    process = started(code)
    with (
        pytest.raises(UserError, match=r"data/raw/movies\.parquet: another process is writing it"),
        lock_outputs(["data/raw/movies.parquet"]),
    ):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.05)
    with lock_outputs(["data/raw/movies.parquet"]):
        pass


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (UserError("x.csv line 3: broken"), 2, "error: x.csv line 3: broken\n"),
        (OSError(28, "No space left on device", "data/x"), 2, "error: data/x: No space left on device\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
def test_what_a_user_can_mend_is_one_line(
    failure: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise failure

    assert exit_code(command) == code
    assert capsys.readouterr().err == message
