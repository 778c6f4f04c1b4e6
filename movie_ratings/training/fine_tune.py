"""Fine-tuning: fit the linear part, train the transformer, calibrate both together, write one checkpoint folder.

Training keeps the epoch with the best expected balanced accuracy on the validation split. The linear part's
regularisation strength, the calibration and the decision rule are fitted on the validation split too. A run that was
killed continues from its last save when it is started again with the same parameters and data.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainingArguments

from movie_ratings.core import processes, storage
from movie_ratings.model import checkpoint, linear
from movie_ratings.model.head import OUTPUTS, Head
from movie_ratings.model.linear import LinearPart
from movie_ratings.movies.labels import class_indices, label_shares
from movie_ratings.movies.text import LATE, TextFormat
from movie_ratings.params import Params
from movie_ratings.training import frozen, precision, preflight, pretrained, trainer
from movie_ratings.training.answerings import fit_answerings
from movie_ratings.training.data import Data, known_fields
from movie_ratings.training.dataset import TrainingDataset
from movie_ratings.training.precision import Arithmetic
from movie_ratings.training.ridge import LinearData, Rated, Reads, fit_part
from movie_ratings.training.transformer import Transformer


def fine_tune(data: Data, options: Params, states: Path, output: Path, curves: Path | None = None) -> dict[str, Any]:
    """Train on ``data.train``, choose on ``data.validation``, write the checkpoint folder ``output``.

    Returns the metrics of the training. ``states`` is the folder where an interrupted run is kept, under a key made of
    parameters and data. The learning curves are written to the folder ``curves`` if it is given.

    Raises:
        UserError: the model cannot be loaded, trained with these parameters or served, no word or fact is frequent
            enough for the linear part, or a class has no training movie.
    """
    arithmetic = precision.choose(options.train.precision, precision.device())
    if arithmetic.remark and processes.is_first():
        print(arithmetic.remark, file=sys.stderr)
    name, outputs = options.model.name, OUTPUTS[options.train.objective]
    model, tokenizer = pretrained.load(name, options.text.max_length, options.train.seed, outputs)
    text = TextFormat(_known(data, options.text.fields), options.text.max_length)
    names = _known(data, options.linear.names) if options.linear.use else ()
    state = states / _key(data, options, arithmetic, model)
    state.mkdir(parents=True, exist_ok=True)
    arguments = TrainingArguments(**trainer.arguments(options.train, data.train.num_rows, state, arithmetic))
    # One process writes the token ids to the folder; the others find them there.
    with arguments.main_process_first(local=True):
        dataset = TrainingDataset(data, tokenizer, text, options, state, names)
    ratings = dataset.ratings[dataset.train]
    head = Head(options.train.objective, float(ratings.mean()), float(ratings.std()))
    transformer = Transformer(model, tokenizer, head, text, data.thresholds)
    if options.train.freeze_layers:
        frozen.freeze(model, options.train.freeze_layers)
    part: LinearPart | None = None
    alphas: dict[str, float] = {}
    # Before the training, which takes longest, comes everything else that can fail.
    with arguments.main_process_first(local=False):
        if processes.is_first():
            preflight.check(transformer, dataset.input_ids[0], options.train, state)
            if arithmetic.products != "fp32":
                preflight.check_precision(transformer, dataset.input_ids[0], arguments)
            if options.linear.use:
                reads = Reads(text.fields, names)
                part, alphas = fit_part(_linear_data(dataset, data), reads, options.linear)

    metrics = trainer.train(transformer, dataset, options.train, arguments)
    if not processes.is_first():
        return metrics
    answerings, figures = fit_answerings(transformer, part, dataset, options.decision)
    late = [field for field in (*text.fields, *names) if field in LATE]
    origin = {
        "model": options.model.name,
        "linear": options.linear.use,
        "train": options.train.model_dump(),
        "data": data.origin,
        "git": checkpoint.git_revision(),
    }
    records = part is not None and part.records is not None
    shares = tuple(float(share) for share in label_shares(class_indices(ratings, data.thresholds)))
    metadata = checkpoint.Metadata(data.thresholds, text, head, answerings, shares, origin, names, records)
    _write(output, transformer, part, metadata)
    if curves:
        with storage.whole(curves) as temporary:
            shutil.copytree(state / "live" / "plots" / "metrics", temporary)
    storage.remove(state)
    warnings = [f"{name} is written partly after a movie's release: it can tell its fame" for name in late]
    return metrics | {"linear_alpha": alphas, "validation": figures} | ({"warnings": warnings} if warnings else {})


def _known(data: Data, wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the fields that the training movies have."""
    fields = known_fields(data.train, wanted)
    if unknown := [field for field in wanted if field not in fields]:
        print(f"train: no training movie has {', '.join(unknown)}: the model does not read them", file=sys.stderr)
    return tuple(fields)


def _key(data: Data, options: Params, arithmetic: Arithmetic, model: PreTrainedModel) -> str:
    """A hash of everything that the training of the transformer depends on, besides the code."""
    relevant = {
        # What auto means depends on the device: a run continues in the arithmetic that it began with.
        "train": options.train.model_dump() | {"precision": arithmetic.products},
        "text": options.text.model_dump(),
        "data": data.origin,
        "model": pretrained.fingerprint(options.model.name, model),
    }
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def _linear_data(dataset: TrainingDataset, data: Data) -> LinearData:
    def rated(rows: range) -> Rated:
        return Rated(dataset.movies[rows.start : rows.stop], dataset.ratings[rows], dataset.weights[rows])

    train, validation = rated(dataset.train), rated(dataset.validation)
    return LinearData(train, dataset.dropped, validation, data.outside, data.thresholds)


def _write(output: Path, transformer: Transformer, part: LinearPart | None, metadata: checkpoint.Metadata) -> None:
    with storage.whole(output) as temporary:
        transformer.model.save_pretrained(temporary)
        transformer.tokenizer.save_pretrained(temporary)
        if part:
            linear.write(temporary, part)
        checkpoint.write(temporary, metadata)
