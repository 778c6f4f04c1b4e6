"""DeBERTaV3-base, the original's model, on this machine: movies a second in training and in serving, memory and size.

The weights are random, in the model's real shape: no speed depends on their values. The texts are those of the test
split in the tokens of the default model, because DeBERTa's tokenizer is on the hub; both make about as many tokens. On
a CPU this writes the part "cpu" of benchmarks/results/deberta.json, with --device cuda the part "cuda":

training  our batches, each padded to its longest row, the last layer computed for the first token alone, against the
          original's recipe, every row padded to 512 tokens, in turns; in fp32, and in bf16 where the device has it
serving   the exported graph on ONNX Runtime against transformers on torch (CPU alone)

Each way runs in a process of its own, whose peak of resident memory is in the results.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from benchmarks import _results
from benchmarks._memory import peak_megabytes
from movie_ratings import params
from movie_ratings.core import processor
from movie_ratings.core.command import exit_code

ROUNDS: Final = 2
LONGEST: Final = 256  # tokens: text.max_length of the recipe in docs/training.md
PADDED: Final = 512  # tokens: the original's recipe
BATCH: Final = 8
# microsoft/deberta-v3-base's config.json.
SHAPE: Final[dict[str, Any]] = {
    "vocab_size": 128_100, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3_072, "max_position_embeddings": 512, "type_vocab_size": 0, "relative_attention": True,
    "max_relative_positions": -1, "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "layer_norm_eps": 1e-7, "pooler_hidden_size": 768,
    "pooler_hidden_act": "gelu", "pooler_dropout": 0,
}  # fmt: skip

Rows = Sequence[list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deberta", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(default: %(default)s)")
    parser.add_argument("--rows", type=int, help="movies in each round (default: 16 on a CPU, 512 on a GPU)")
    options = parser.parse_args()
    rows = options.rows or (16 if options.device == "cpu" else 512)
    found = _results.read("deberta")
    found[options.device] = measured(options.device, token_ids(rows))
    _results.write("deberta", found)
    print(f"deberta: {found[options.device]}")


def token_ids(rows: int) -> Rows:
    """The token ids of test movies, for a model that reads up to `LONGEST` tokens."""
    from movie_ratings.movies import splits
    from movie_ratings.movies.text import TextFormat, encode
    from movie_ratings.training import named_model

    options = params.load()
    tokenizer = named_model.load_tokenizer(options.model.name)
    text = TextFormat(tuple(options.text.fields), LONGEST)
    return encode(tokenizer.backend_tokenizer, splits.read("test").slice(0, rows).to_pylist(), text)


def measured(device: str, ids: Rows) -> dict[str, Any]:
    """Every way in turns: movies a second, peak memory, and the ratios round by round."""
    ways: dict[str, tuple[Callable[..., dict[str, float]], tuple[Any, ...]]] = {
        "training, ours": (train, (device, ids, 0, "fp32")),
        "training, original": (train, (device, ids, PADDED, "fp32")),
    }
    if device == "cuda" or "bf16" in processor.present():
        ways["training, ours in bf16"] = (train, (device, ids, 0, "bf16"))
    if device == "cpu":
        ways |= {"serving, ours": (serve, (ids,)), "serving, transformers": (forward, (ids,))}
    rounds: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, (measure, arguments) in ways.items():
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                rounds[way].append(alone.submit(measure, *arguments).result())

    def ratio(fast: str, slow: str) -> float:
        pairs = zip(rounds[fast], rounds[slow], strict=True)
        return statistics.median(a["movies_per_second"] / b["movies_per_second"] for a, b in pairs)

    ratios = {"training": ratio("training, ours", "training, original")}
    ratios |= {"serving": ratio("serving, ours", "serving, transformers")} if device == "cpu" else {}
    return {
        "rows": len(ids),
        "tokens": statistics.fmean(map(len, ids)),
        "batch": BATCH,
        "ways": {
            way: {name: statistics.median(each[name] for each in found) for name in found[0]}
            for way, found in rounds.items()
        },
        "ratio": ratios,
    }


def train(device: str, ids: Rows, least: int, precision: str) -> dict[str, float]:
    """One pass of training over ``ids``; see `benchmarks.throughput.epoch`."""
    import torch

    from benchmarks.throughput import epoch
    from movie_ratings.training.first_token import keep_first_token

    loaded = model().to(device)
    bf16 = torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext()
    with nullcontext() if least else keep_first_token(loaded), bf16:
        epoch(loaded, ids[:BATCH], BATCH, 0, least)  # warms up
        seconds = epoch(loaded, ids, BATCH, 0, least)
    found = {"movies_per_second": len(ids) / seconds, "megabytes": peak_megabytes()}
    if device == "cuda":
        found["gpu_megabytes"] = torch.cuda.max_memory_allocated() / 1e6
    return found


def serve(ids: Rows) -> dict[str, float]:
    """Predictions of the exported graph, with its size and the memory of a process that has the graph alone."""
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, get_context("spawn")) as other:
        path = Path(folder, "model.onnx")
        other.submit(export, path).result()
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = predicted(
            ids, lambda batch, mask: session.run(["logits"], {"input_ids": batch, "attention_mask": mask})
        )
        return found | {"onnx_megabytes": path.stat().st_size / 1e6}


def export(path: Path) -> None:
    """Write the graph of the model, as the export stage does."""
    from movie_ratings.model.head import Head
    from movie_ratings.movies.labels import Thresholds
    from movie_ratings.movies.text import PLOT, TextFormat
    from movie_ratings.training import graph
    from movie_ratings.training.transformer import Transformer

    text, thresholds = TextFormat(PLOT, LONGEST), Thresholds(5.5, 7.0)
    graph.export(Transformer(model(), None, Head("cross_entropy", 6.0, 1.0), text, thresholds), path)


def forward(ids: Rows) -> dict[str, float]:
    """Predictions of transformers' model on torch, in the same batches."""
    import torch

    loaded = model().eval()
    with torch.inference_mode():
        return predicted(
            ids,
            lambda batch, mask: loaded(input_ids=torch.from_numpy(batch), attention_mask=torch.from_numpy(mask)),
        )


def predicted(ids: Rows, predict: Callable[[Any, Any], Any]) -> dict[str, float]:
    """Movies a second in batches, seconds of one movie by itself, and the peak of memory."""
    from movie_ratings.model.batches import by_length, pad

    batches = [pad([ids[row] for row in batch], 0) for batch in by_length([len(row) for row in ids], BATCH * LONGEST)]
    predict(*batches[-1])  # warms up
    start = time.perf_counter()
    for batch in batches:
        predict(*batch)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    predict(*pad([ids[0]], 0))
    one = time.perf_counter() - start
    return {"movies_per_second": len(ids) / seconds, "one_movie_seconds": one, "megabytes": peak_megabytes()}


def model() -> Any:
    """The classifier with random weights."""
    from transformers import DebertaV2Config, DebertaV2ForSequenceClassification, set_seed

    set_seed(0)
    return DebertaV2ForSequenceClassification(DebertaV2Config(**SHAPE, num_labels=3))


if __name__ == "__main__":
    sys.exit(exit_code(main))
