"""Training throughput: our batches against the original's recipe, and frozen lower layers against full fine-tuning.

The same model, the same rows of the training split and the same batch size, forward, backward and optimizer step,
in turns within one run: every row padded to 512 tokens (the original's recipe); every batch padded to its longest row,
with the last layer computed for the first token alone, as train does, and for all tokens; and the first of these with
train.freeze_layers layers frozen, and with one more, without and with an epoch's share in computing the output of these
layers. Writes benchmarks/results/throughput.json: movies a second of each, and their ratios round by round.
--rows bounds the time that it takes (the original's recipe is the slow one).
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.trainer_pt_utils import LengthGroupedSampler

from benchmarks import _results
from movie_ratings import params
from movie_ratings.core.command import exit_code
from movie_ratings.model.batches import pad
from movie_ratings.movies import splits
from movie_ratings.movies.text import TextFormat, encode
from movie_ratings.params import Params
from movie_ratings.training import frozen, named_model, pretrained
from movie_ratings.training.first_token import keep_first_token

ROUNDS = 3
PADDED = 512


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rows", type=int, default=64, help="training rows in each round (default: %(default)s)")
    rows = parser.parse_args().rows
    options = params.load()
    movies = splits.read("train").slice(0, rows).to_pylist()
    seconds: dict[str, list[float]] = {}
    for turn in range(ROUNDS + 1):
        for name, took in one_round(movies, options).items():
            if turn:  # the first warms up
                seconds.setdefault(name, []).append(took)

    def ratio(slow: str, fast: str) -> dict[str, float]:
        found = [a / b for a, b in zip(seconds[slow], seconds[fast], strict=True)]
        return {"min": min(found), "median": statistics.median(found), "max": max(found)}

    default = options.train.freeze_layers
    _results.write(
        "throughput",
        {
            "rows": len(movies),
            "threads": torch.get_num_threads(),
            "movies_per_second": {name: len(movies) / statistics.median(took) for name, took in seconds.items()},
            "ratio": ratio("original", "full"),
            "first_token": ratio(f"frozen {default}, all tokens", f"frozen {default}"),
            "frozen": {
                str(layers): {
                    "ratio": ratio("full", f"frozen {layers}"),
                    "ratio_with_features": ratio("full", f"frozen {layers} with features"),
                }
                for layers in depths(options)
            },
        },
    )
    print(f"throughput: {ratio('original', 'full')['median']:.1f} times the original's recipe,", end=" ")
    print(f"with {default} frozen layers {ratio('full', f'frozen {default}')['median']:.1f} times full fine-tuning")


def depths(options: Params) -> tuple[int, int]:
    """How many layers are frozen: as many as the parameters say, and one more."""
    return options.train.freeze_layers, options.train.freeze_layers + 1


def one_round(movies: Sequence[dict[str, object]], options: Params) -> dict[str, float]:
    """Seconds for one epoch in each way."""
    tokenizer = named_model.load_tokenizer(options.model.name)
    text = TextFormat(tuple(options.text.fields), options.text.max_length)
    pad_id = int(tokenizer.pad_token_id)

    def fresh() -> PreTrainedModel:
        return pretrained.load_model(options.model.name, options.train.seed)

    ids = encode(tokenizer.backend_tokenizer, movies, text)
    long = encode(tokenizer.backend_tokenizer, movies, TextFormat(text.fields, PADDED))
    model = fresh()
    with keep_first_token(model):
        full = epoch(model, ids, options.train.batch_size, pad_id)
    found = {
        "full": full,
        "original": epoch(fresh(), long, options.train.batch_size, pad_id, PADDED),
    }
    for layers in depths(options):
        model = fresh()
        frozen.freeze(model, layers)
        with tempfile.TemporaryDirectory() as scratch:
            start = time.perf_counter()
            features = frozen.compute_features(model, layers, ids, pad_id, Path(scratch, "features.npy"))
            once = time.perf_counter() - start
            with keep_first_token(model), frozen.upper_part(model, layers):
                took = epoch(model, ids, options.train.batch_size, pad_id, features=features)
            if layers == options.train.freeze_layers:
                with frozen.upper_part(model, layers):
                    found[f"frozen {layers}, all tokens"] = epoch(
                        model, ids, options.train.batch_size, pad_id, features=features
                    )
        found |= {f"frozen {layers}": took, f"frozen {layers} with features": took + once / options.train.epochs}
    return found


def epoch(
    model: PreTrainedModel,
    ids: Sequence[list[int]],
    batch_size: int,
    pad_id: int,
    least: int = 0,
    features: frozen.Features | None = None,
) -> float:
    """Seconds for one pass of training over ``ids``, each batch padded to its longest row or to ``least`` tokens.

    The pass runs where ``model`` is, and in the arithmetic that the caller has set by `torch.autocast`.
    """
    lengths = [len(row) for row in ids]
    generator = torch.Generator().manual_seed(0)
    order = list(LengthGroupedSampler(batch_size, lengths=lengths, generator=generator))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    model.train()
    start = time.perf_counter()
    for first in range(0, len(order), batch_size):
        rows = order[first : first + batch_size]
        input_ids, mask = pad([ids[row] for row in rows], pad_id)
        missing = max(0, least - input_ids.shape[1])
        input_ids = np.pad(input_ids, ((0, 0), (0, missing)), constant_values=pad_id)
        mask = np.pad(mask, ((0, 0), (0, missing)))
        inputs = {"input_ids": torch.from_numpy(input_ids)}
        if features is not None:
            hidden = np.zeros((*input_ids.shape, model.config.hidden_size), dtype=np.float32)
            for place, row in zip(hidden, rows, strict=True):
                place[: lengths[row]] = features[row]
            inputs[frozen.FEATURES] = torch.from_numpy(hidden)
        inputs["attention_mask"] = torch.from_numpy(mask)
        logits = model(**{name: tensor.to(model.device) for name, tensor in inputs.items()}).logits
        functional.cross_entropy(logits, torch.ones(len(logits), dtype=torch.long, device=model.device)).backward()
        optimizer.step()
        optimizer.zero_grad()
    if model.device.type == "cuda":
        torch.cuda.synchronize()  # a GPU works on after the call that starts its work
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(exit_code(main))
