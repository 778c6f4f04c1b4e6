"""Scale: seconds, memory and disk of the stages at 10⁴, 10⁵ and 10⁶ invented movies.

Each stage is its own process, in a temporary folder with this repository's params.yaml. At the largest size clean and
split are compared, in turns, with a Polars script that does the same by hand. The making of train's file of tokens is
compared with the tokenizers library alone, which is handed texts that are ready. Writes benchmarks/scale.json.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from tqdm import tqdm

from benchmarks.generate import generate
from stages import params, pretrained, storage
from stages.command import exit_code
from stages.movies import Movies
from stages.rows import READ
from stages.schema import MOVIE
from stages.text import TextFormat, compose, tokenize
from stages.tokens import write_tokens

OUTPUT: Final = "benchmarks/scale.json"
STAGES: Final = ("clean", "split", "explore")
WRITES: Final = {"clean": "data/clean", "split": "data/split", "explore": "data/reports"}
SIZES: Final = (10_000, 100_000, 1_000_000)
ROUNDS: Final = 3
TOKENISED: Final = 30_000
ROOT: Final = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES, help="sizes to measure (default: %(default)s)")
    sizes = sorted(parser.parse_args().rows)
    found: dict[str, Any] = {"cores": os.cpu_count(), "stages": {}}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            shutil.copy(ROOT / "params.yaml", folder)
            raw = folder / "data/raw/movies.parquet"
            run(folder, "-m", "benchmarks.generate", str(rows), str(raw))
            measured = {stage: run(folder, "-m", f"stages.{stage}") for stage in STAGES}
            tqdm.write(f"scale: {rows:,} rows measured", file=sys.stderr)
            for stage, figures in measured.items():
                figures["disk_megabytes"] = size(folder / WRITES[stage])
            found["stages"][str(rows)] = {"raw_megabytes": size(raw)} | measured
            if rows == sizes[-1]:
                found["beside_a_script"] = beside_a_script(folder)
    if len(sizes) > 1:
        found["growth"] = growth(found["stages"], *sizes[-2:])
    with tempfile.TemporaryDirectory() as scratch:
        found["tokenising"] = tokenising(Path(scratch))
    storage.write_json(OUTPUT, found)
    print(f"scale: {OUTPUT} written")


def beside_a_script(folder: Path) -> dict[str, Any]:
    """clean and split against the script, in turns; the ratio is that of each round."""
    ours, script = [], []
    for _ in tqdm(range(ROUNDS), desc="beside a script"):
        ours.append([run(folder, "-m", f"stages.{stage}") for stage in ("clean", "split")])
        script.append(run(folder, "-m", "benchmarks._by_hand", "data/raw/movies.parquet", "."))
    ratios = [sum(s["seconds"] for s in own) / other["seconds"] for own, other in zip(ours, script, strict=True)]
    return {
        "times_as_long": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        "megabytes": {
            "ours": max(s["megabytes"] for own in ours for s in own),
            "script": max(other["megabytes"] for other in script),
        },
    }


def tokenising(folder: Path) -> dict[str, Any]:
    """Movies a second into a file of tokens, and what the library alone reaches with the same texts, in turns."""
    options = params.load()
    text = TextFormat(tuple(options.text.fields), options.text.max_length)
    tokenizer = pretrained.load_tokenizer(options.model.name).backend_tokenizer
    movies = Movies(pa.Table.from_batches(generate(TOKENISED, 0), MOVIE).select(READ))
    texts = [compose(movie, text.fields) for movie in movies]
    tokenize(tokenizer, texts[:1_000], text.max_length)
    ours, alone = [], []
    for turn in range(ROUNDS):
        start = time.perf_counter()
        write_tokens(folder / f"{turn}.arrow", movies, len(movies), tokenizer, text)
        ours.append(len(movies) / (time.perf_counter() - start))
        start = time.perf_counter()
        tokenizer.encode_batch_fast(texts)
        alone.append(len(movies) / (time.perf_counter() - start))
    shares = [own / other for own, other in zip(ours, alone, strict=True)]
    return {
        "movies_per_second": statistics.median(ours),
        "share_of_the_library_alone": {"min": min(shares), "median": statistics.median(shares), "max": max(shares)},
    }


def growth(stages: dict[str, Any], small: int, large: int) -> dict[str, float]:
    """How many times longer the larger of two sizes takes: each stage, and clean with split."""
    seconds = {rows: {stage: stages[str(rows)][stage]["seconds"] for stage in STAGES} for rows in (small, large)}
    grown = {stage: seconds[large][stage] / seconds[small][stage] for stage in STAGES}
    both = [sum(seconds[rows][stage] for stage in ("clean", "split")) for rows in (large, small)]
    return {"rows": large / small} | grown | {"clean_and_split": both[0] / both[1]}


def run(folder: Path, *arguments: str) -> dict[str, float]:
    """Seconds and the peak of resident memory of a Python process that must succeed.

    The peak is no less than that of this process, which is why movies are generated in one of their own.
    """
    start = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), arguments)
    return {"seconds": time.perf_counter() - start, "megabytes": usage.ru_maxrss / 1e3}


def size(place: Path) -> float:
    """Megabytes of a file, or of all files in a folder."""
    files: Sequence[Path] = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    sys.exit(exit_code(main))
