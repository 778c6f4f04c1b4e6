"""Compare the served model with the original classifier and transformers.pipeline, and measure it over HTTP.

Each way predicts the same 1,000 movies, those of the test split and then of the validation split, in a process of its
own and in turns within one run: ours (`Classifier`), transformers.pipeline with batches of 32, and the original's
recipe (transformers, every row padded to 512 tokens, batches of 8). Then the benchmark measures one movie from the
command line, 64 clients with one movie a request, ten times more requests than the service can answer, and the memory
of the service during ten minutes of load. Writes benchmarks/results/serving.json. Requires the pipeline's outputs (dvc
repro).
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import _processor, _results
from movie_ratings.core.command import exit_code
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import MODEL
from movie_ratings.model import checkpoint, linear
from movie_ratings.model.decision import facts_known
from movie_ratings.movies import splits, text
from movie_ratings.movies.labels import CLASSES
from movie_ratings.prediction.classifier import Classifier

CHECKPOINT: Final = "models/checkpoint"
WAYS: Final = ("ours", "pipeline", "original")
PARTS: Final = ("batch", "command_line", "http")  # those that are not measured stay as they were
PADDED: Final = 512
CLIENTS: Final = 64
OVERLOAD: Final = 10


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--movies", type=int, default=1_000, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the comparison (default: %(default)s)")
    parser.add_argument(
        "--soak", type=float, default=600.0, help="seconds of load while memory is measured (default: %(default)s)"
    )
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; repeat for several (default: all)")
    options = parser.parse_args()
    if options.way:
        print(json.dumps(answer(options.way, movies(options.movies))))
        return
    before, here = _results.read("serving"), _processor.described()
    if options.part and _kind(before.get("processor")) != _kind(here):
        raise UserError("--part: the other parts were measured on another processor; measure all of them")
    found = before | {"movies": options.movies, "threads": os.cpu_count()}
    parts = options.part or PARTS
    if "batch" in parts:
        found["batch"] = compare_batches(options.movies, options.rounds)
    if "command_line" in parts:
        found["command_line"] = time_command_line()
    if "http" in parts:
        found |= measure_http(options)
    found["elsewhere"] = elsewhere(before, here)
    _results.write("serving", found)
    print(f"serving: {found['batch']['times_the_original']['median']:.1f} times the original's classifier")


def measure_http(options: argparse.Namespace) -> dict[str, Any]:
    """A service under load, under overload, and its memory."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        lines = Path(scratch, "movies.jsonl")
        lines.write_text("".join(json.dumps(request(movie)) + "\n" for movie in movies(options.movies)))
        with served() as (url, process):
            load(url, lines, "--seconds", "5")
            calm = load(url, lines, "--seconds", "20")
            # The throughput in one process, measured a moment later on the same machine.
            alone = run_way("ours", options.movies)["movies_per_second"]
            over = load(url, lines, "--rate", str(OVERLOAD * alone), "--seconds", "8")
            after = load(url, lines, "--seconds", "3", "--clients", "1")
            found["http"] = calm | {
                "clients": CLIENTS,
                "share_of_batch_throughput": calm["answered_a_second"] / alone,
                "p99_over_clients_by_throughput": calm["answered"]["p99_seconds"] * calm["answered_a_second"] / CLIENTS,
            }
            found["overload"] = over | {"requests_over_capacity": OVERLOAD, "one_client_right_after": after["answered"]}
            found["memory"] = soak(url, lines, process, options.soak)
    return found


def headline(found: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run that a reader compares with those of another processor."""
    batch, http = found["batch"], found["http"]
    return {
        "processor": found.get("processor"),
        "precision": batch.get("precision", batch["variant"]),
        "movies_per_second": batch["movies_per_second"]["ours"]["median"],
        "times_the_original": batch["times_the_original"]["median"],
        "times_the_pipeline": batch["times_the_pipeline"]["median"],
        "http_per_second": http["answered_a_second"],
        "http_p99_seconds": http["answered"]["p99_seconds"],
        "command_line_seconds": found["command_line"]["seconds"]["median"],
    }


def elsewhere(before: dict[str, Any], here: dict[str, Any]) -> list[dict[str, Any]]:
    """The headlines of the last run on each other processor, which a run on this processor does not replace."""
    runs = [headline(before), *before.get("elsewhere", [])] if before else []
    kept: dict[str, dict[str, Any]] = {}
    for run in runs:
        kept.setdefault(_kind(run["processor"]), run)
    kept.pop(_kind(here), None)
    return list(kept.values())


def _kind(processor: dict[str, Any] | None) -> str:
    return f"{processor['model']} {processor['cores']}" if processor else ""


def movies(count: int) -> list[dict[str, Any]]:
    tables = [splits.read(split) for split in ("test", "validation")]
    return [movie for table in tables for movie in table.to_pylist()][:count]


def request(movie: dict[str, Any]) -> dict[str, Any]:
    """The movie as a client sends it, with the same facts as the movie of a batch has."""
    plain = {name: movie[name] or "" for name in ("title", "summary")}
    numbers = {name: text.number(movie, name) for name in text.NUMBERS}
    return plain | numbers | {name: text.names(movie, name) for name in text.NAMES}


def answer(way: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Predict ``rows`` in one way: movies a second after a warm-up, and the labels by the checkpoint's decision."""
    import numpy as np

    metadata = checkpoint.read(CHECKPOINT)
    if way == "ours":
        classifier = Classifier.load(MODEL, precision="auto")

        def answers(some: Sequence[dict[str, Any]]) -> Any:
            return classifier.answer(some)[1]

    else:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

        tokenizer = AutoTokenizer.from_pretrained(CHECKPOINT)
        model = AutoModelForSequenceClassification.from_pretrained(CHECKPOINT, dtype=torch.float32).eval()
        # Both must read exactly the tokens that ours reads.
        limit = {"truncation": True, "max_length": metadata.text.max_length}
        classify = pipeline(
            "text-classification", model=model, tokenizer=tokenizer, top_k=None, function_to_apply="none"
        )

        def answers(some: Sequence[dict[str, Any]]) -> Any:
            texts = [text.compose(movie, metadata.text.fields) for movie in some]
            if way == "pipeline":
                outputs = classify(texts, batch_size=32, **limit)
                logits = np.array(
                    [[{s["label"]: s["score"] for s in scores}[name] for name in CLASSES] for scores in outputs]
                )
            else:
                batches = []
                with torch.inference_mode():
                    for start in range(0, len(texts), 8):
                        rows = tokenizer(texts[start : start + 8], **limit)
                        batch = tokenizer.pad(rows, padding="max_length", max_length=PADDED, return_tensors="pt")
                        batches.append(model(**batch).logits.numpy()[:, : len(CLASSES)])
                logits = np.concatenate(batches).astype(float)
            parts = [logits, linear.read(CHECKPOINT).logits(some)] if metadata.has_linear else [logits]
            return metadata.answerings.answer(np.stack(parts), facts_known(some, metadata.text.fields))[1]

    answers(rows[:16])
    started = time.perf_counter()
    found = answers(rows)
    seconds = time.perf_counter() - started
    return {"movies_per_second": len(rows) / seconds, "labels": found.tolist()}


def run_way(way: str, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.serving", "--way", way, "--movies", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare_batches(count: int, rounds: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(run_way(way, count))
    speeds = {way: [one["movies_per_second"] for one in found[way]] for way in WAYS}
    ours = found["ours"][0]["labels"]
    return {
        "variant": Classifier.load(MODEL).variant,
        "precision": Classifier.load(MODEL, precision="auto").precision,
        "movies_per_second": {way: spread(values) for way, values in speeds.items()},
        "times_the_original": spread([a / b for a, b in zip(speeds["ours"], speeds["original"], strict=True)]),
        "times_the_pipeline": spread([a / b for a, b in zip(speeds["ours"], speeds["pipeline"], strict=True)]),
        "labels_that_agree": {
            way: statistics.fmean(a == b for a, b in zip(ours, found[way][0]["labels"], strict=True))
            for way in WAYS[1:]
        },
    }


def time_command_line(runs: int = 7) -> dict[str, Any]:
    """Seconds from process start to exit and peak memory of one prediction; seconds to import transformers alone."""
    command = [sys.executable, "-m", "stages.predict", "--title", "A Film", "--summary", "A pilot guides a ship home."]
    seconds, megabytes, imports = [], [], []
    for _ in range(runs):
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        seconds.append(time.perf_counter() - started)
        megabytes.append(usage.ru_maxrss / 1024)
    for _ in range(3):
        started = time.perf_counter()
        code = "from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline"
        subprocess.run([sys.executable, "-c", code], check=True)
        imports.append(time.perf_counter() - started)
    return {
        "seconds": spread(seconds),
        "peak_megabytes": max(megabytes),
        "importing_transformers_seconds": spread(imports),
    }


@contextmanager
def served(*arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A service whose cache is off: the load repeats its movies, and a response from the cache measures no model."""
    command = [sys.executable, "-m", "serving", "--no-page", "--port", "0", "--log-level", "info", "--cache", "0"]
    command += arguments
    with tempfile.NamedTemporaryFile("w+") as log, subprocess.Popen(command, stderr=log, text=True) as process:
        while "serving" not in (line := Path(log.name).read_text().partition("\n")[0]):
            time.sleep(0.1)
            assert process.poll() is None
        try:
            yield f"http://127.0.0.1:{json.loads(line)['address'][1]}", process
        finally:
            process.send_signal(signal.SIGTERM)


def load(url: str, lines: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks._load", url, str(lines), *arguments]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def soak(url: str, lines: Path, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
    """Resident memory of the service in megabytes, measured ten times during ``seconds`` of load."""
    megabytes = []
    for _ in range(10):
        load(url, lines, "--seconds", str(seconds / 10))
        status = Path(f"/proc/{process.pid}/status").read_text()
        megabytes.append(int(status.split("VmRSS:")[1].split()[0]) / 1024)
    with urllib.request.urlopen(f"{url}/readyz") as ready:
        assert ready.status == 200
    return {"seconds": seconds, "resident_megabytes": megabytes}


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


if __name__ == "__main__":
    sys.exit(exit_code(main))
