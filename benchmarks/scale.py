"""Scale: seconds, memory and disk of every stage at 10⁴, 10⁵ and 10⁶ invented movies, and what a kill costs.

DVC runs the whole pipeline in a clone of the last commit, with this repository's params.yaml but for a tiny model of
random weights, so that what is measured is the pipeline's own work. Writes benchmarks/results/scale.json, a part at a
time:

stages       each stage through DVC, at each size; at the largest once more, with a kill (SIGKILL to DVC and all that it
             started) half-way through each stage: every output must have the bytes of the undisturbed run
script       clean and split at the largest size, in turns with a Polars script that does the same by hand
tokenising   the making of train's file of tokens, in turns with the tokenizers library alone, whose texts are ready
prediction   the command line on 10⁴ to 10⁶ movies
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from benchmarks import _results
from benchmarks._clone import ROOT, STAGES, Clone, run
from benchmarks.generate import generate
from movie_ratings import params
from movie_ratings.core import parquet
from movie_ratings.core.command import exit_code
from movie_ratings.movies.record import MOVIE
from movie_ratings.movies.text import FIELDS, TextFormat, compose, tokenize

OUTPUT: Final = str(_results.path("scale"))
SIZES: Final = (10_000, 100_000, 1_000_000)
PREDICTED: Final = (10_000, 100_000, 1_000_000)
ROUNDS: Final = 3
TOKENISED: Final = 100_000
PARTS: Final = ("stages", "script", "prediction", "tokenising")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes to measure (default: %(default)s)")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    options = parser.parse_args()
    found: dict[str, Any] = _results.read("scale")
    found["cores"] = os.cpu_count()
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "stages": lambda folder: stages(folder, sorted(options.rows)),
        "script": lambda folder: {"script": beside_a_script(folder, max(options.rows))},
        "prediction": lambda folder: {"prediction": prediction(folder)},
        "tokenising": lambda folder: {"tokenising": tokenising(folder)},
    }
    for part in (part for part in PARTS if part in (options.part or PARTS)):
        with tempfile.TemporaryDirectory() as folder:
            found |= parts[part](Path(folder))
        _results.write("scale", found)
        print(f"scale: {part} done, {OUTPUT} written", file=sys.stderr)


def stages(folder: Path, sizes: list[int]) -> dict[str, Any]:
    """Every stage through DVC at each size; then the largest size once more, with a kill in each stage."""
    found: dict[str, Any] = {}
    for rows in sizes:
        clone = Clone(folder / str(rows), rows)
        found[str(rows)] = {stage: clone.repro(stage) for stage in tqdm(STAGES, desc=f"{rows:,} movies")}
        if rows == sizes[-1]:
            kills = killed(clone, {stage: figures["seconds"] for stage, figures in found[str(rows)].items()})
        shutil.rmtree(clone.folder)
    return {"stages": found, "killed": {"rows": sizes[-1]} | kills}


def killed(clone: Clone, seconds: dict[str, float]) -> dict[str, Any]:
    """Run the pipeline anew, killing each stage half-way through its time; which outputs have other bytes then."""
    undisturbed = clone.results()
    clone.reset()
    stopped = []
    for stage in tqdm(STAGES, desc="killed half-way"):
        if clone.killed(stage, seconds[stage] / 2):
            stopped.append(stage)
        clone.repro(stage)
    repeated = clone.results()
    assert repeated.keys() == undisturbed.keys()
    return {
        "stages": stopped,
        "outputs": len(undisturbed),
        "different": sorted(name for name, digest in undisturbed.items() if repeated[name] != digest),
    }


def beside_a_script(folder: Path, rows: int) -> dict[str, Any]:
    """clean and split without DVC against the script, in turns; and against themselves with a tenth of the rows."""
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "small").mkdir()
    shutil.copy(ROOT / "params.yaml", folder / "small")
    for place, count in ((folder, rows), (folder / "small", rows // 10)):
        run(place, "-m", "benchmarks.generate", str(count), "data/raw/movies.parquet")
    ours, small, script = [], [], []
    for _ in tqdm(range(ROUNDS), desc="beside a script"):
        ours.append([run(folder, "-m", f"stages.{stage}") for stage in ("clean", "split")])
        small.append([run(folder / "small", "-m", f"stages.{stage}") for stage in ("clean", "split")])
        script.append(run(folder, "-m", "benchmarks._by_hand", "data/raw/movies.parquet", "."))
    seconds, few = ([sum(part["seconds"] for part in both) for both in times] for times in (ours, small))
    return {
        "rows": rows,
        "seconds": statistics.median(seconds),
        "times_as_long": ratios(seconds, [other["seconds"] for other in script]),
        "times_as_long_as_a_tenth_of_the_rows": ratios(seconds, few),
        "megabytes": {
            "ours": max(part["megabytes"] for both in ours for part in both),
            "script": max(other["megabytes"] for other in script),
        },
    }


def tokenising(folder: Path) -> dict[str, Any]:
    """Movies a second into a file of tokens, and what the library alone reaches with the same texts, in turns."""
    # Not above: the other parts measure processes, whose memory counts from that of this one.
    from movie_ratings.movies.release import add_year
    from movie_ratings.movies.rows import Movies
    from movie_ratings.training import named_model
    from movie_ratings.training.tokens import write_tokens

    options = params.load()
    text = TextFormat(tuple(options.text.fields), options.text.max_length)
    tokenizer = named_model.load_tokenizer(options.model.name).backend_tokenizer
    movies = Movies(add_year(pa.Table.from_batches(generate(TOKENISED, 0), MOVIE)).select(FIELDS))
    texts = [compose(movie, text.fields) for movie in movies]
    tokenize(tokenizer, texts[:1_000], text.max_length)
    ours, alone = [], []
    for turn in range(ROUNDS):
        start = time.perf_counter()
        write_tokens(folder / f"{turn}.arrow", movies, len(movies), tokenizer, text)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        tokenizer.encode_batch_fast(texts)
        alone.append(time.perf_counter() - start)
    return {
        "movies_per_second": len(movies) / statistics.median(ours),
        "share_of_the_library_alone": ratios(alone, ours),
    }


def prediction(folder: Path) -> dict[str, Any]:
    """Seconds and memory of the command line on small and large files, with the model of a small pipeline."""
    clone = Clone(folder / "clone", PREDICTED[0])
    for stage in STAGES[: STAGES.index("export") + 1]:
        clone.repro(stage)
    found = {}
    for rows in PREDICTED:
        parquet.write_batches(clone.folder / "asked.parquet", answerable(rows), MOVIE)
        found[str(rows)] = clone.run("-m", "stages.predict", "--input", "asked.parquet", "--output", "answered.parquet")
    return found


def answerable(rows: int) -> Iterator[pa.RecordBatch]:
    """So many invented movies that have a title or a summary."""
    for batch in generate(2 * rows, 1):
        some = batch.filter(pc.is_valid(batch["summary"])).slice(0, rows)
        yield some
        rows -= len(some)
        if not rows:
            return


def ratios(long: list[float], short: list[float]) -> dict[str, float]:
    """How many times as long, in each round."""
    found = [one / other for one, other in zip(long, short, strict=True)]
    return {"min": min(found), "median": statistics.median(found), "max": max(found)}


if __name__ == "__main__":
    sys.exit(exit_code(main))
