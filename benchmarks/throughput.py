"""Training throughput: our batches against the original's recipe, every row padded to 512 tokens.

The same model with no frozen layers, the same rows of data/split/train.parquet, the same batch size, forward,
backward and optimizer step, in turns within one run. Writes benchmarks/throughput.json: movies a second of each, and
their ratio round by round. --rows bounds the time it takes (the original's recipe is the slow one).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.trainer_pt_utils import LengthGroupedSampler

from stages import params, parquet, pretrained, storage
from stages.batches import pad
from stages.command import exit_code
from stages.schema import LABELLED
from stages.text import TextFormat, encode

ROUNDS = 3
PADDED = 512


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--rows", type=int, default=48, help="training rows in each round (default: %(default)s)")
    rows = parser.parse_args().rows
    options = params.load()
    table = parquet.read_table("data/split/train.parquet", LABELLED).slice(0, rows)
    tokenizer = pretrained.load_tokenizer(options.model.name)
    text = TextFormat(tuple(options.text.fields), options.text.max_length)
    original = TextFormat(text.fields, PADDED)
    movies = table.to_pylist()
    seconds: dict[str, list[float]] = {"ours": [], "original": []}
    for turn in range(ROUNDS + 1):
        for name, form, least in (("ours", text, 0), ("original", original, PADDED)):
            ids = encode(tokenizer.backend_tokenizer, movies, form)
            model = pretrained.load_model(options.model.name, options.train.seed)
            took = epoch(model, ids, options.train.batch_size, int(tokenizer.pad_token_id), least)
            if turn:  # the first warms up
                seconds[name].append(took)
    ratios = [slow / fast for fast, slow in zip(seconds["ours"], seconds["original"], strict=True)]
    storage.write_json(
        "benchmarks/throughput.json",
        {
            "rows": len(movies),
            "threads": torch.get_num_threads(),
            "movies_per_second": {name: len(movies) / statistics.median(took) for name, took in seconds.items()},
            "ratio": {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)},
        },
    )
    print(f"throughput: {statistics.median(ratios):.1f} times the original's recipe")


def epoch(model: PreTrainedModel, ids: Sequence[list[int]], batch_size: int, pad_id: int, least: int) -> float:
    """Seconds for one pass of training over ``ids``, each batch padded to its longest row or to ``least`` tokens."""
    lengths = [len(row) for row in ids]
    generator = torch.Generator().manual_seed(0)
    order = list(LengthGroupedSampler(batch_size, lengths=lengths, generator=generator))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    model.train()
    start = time.perf_counter()
    for first in range(0, len(order), batch_size):
        input_ids, mask = pad([ids[row] for row in order[first : first + batch_size]], pad_id)
        missing = max(0, least - input_ids.shape[1])
        input_ids = np.pad(input_ids, ((0, 0), (0, missing)), constant_values=pad_id)
        mask = np.pad(mask, ((0, 0), (0, missing)))
        logits = model(input_ids=torch.from_numpy(input_ids), attention_mask=torch.from_numpy(mask)).logits
        functional.cross_entropy(logits, torch.ones(len(logits), dtype=torch.long)).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(exit_code(main))
