"""Fine-tuning: the transformer trained, the linear part fitted beside it, both calibrated, one checkpoint folder.

The epoch with the best expected balanced accuracy on the validation split is kept; the linear part's strength, the
calibration of the probabilities and the decision rule are fitted on that split too. A killed run started again with the
same parameters and data continues from its last save.
"""

import contextlib
import hashlib
import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from dvclive import Live
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from transformers import (
    EarlyStoppingCallback,
    EvalPrediction,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_utils import get_last_checkpoint

from movie_ratings.core import processes, storage
from movie_ratings.core.arrays import Floats, Ints
from movie_ratings.core.errors import UserError
from movie_ratings.core.rounding import rounded
from movie_ratings.model import checkpoint
from movie_ratings.model.decision import Answerings, prior_corrected
from movie_ratings.model.head import OUTPUTS, Head
from movie_ratings.model.linear import LinearPart
from movie_ratings.model.linear import write as write_linear
from movie_ratings.movies.labels import CLASSES, Thresholds, class_indices, class_shares, label_shares
from movie_ratings.movies.text import TextFormat, facts_among, without
from movie_ratings.params import Params
from movie_ratings.training import frozen, pretrained
from movie_ratings.training.calibration import expected_scores, fit_answering, fit_calibration
from movie_ratings.training.dataset import Collator, Rows, known_fields
from movie_ratings.training.inference import ClassLogits
from movie_ratings.training.objectives import RatingLoss, class_logits
from movie_ratings.training.ridge import Rated, fit_part

CHUNK = 5_000  # validation movies that are answered at a time
# A model whose training diverged answers every movie alike; one that learns leaves the class shares far behind.
LEARNT = 0.99


def fine_tune(
    train: pa.Table,
    validation: pa.Table,
    thresholds: Thresholds,
    data: dict[str, str],
    options: Params,
    states: Path,
    output: Path,
    curves: Path | None = None,
) -> dict[str, Any]:
    """Fine-tune on ``train``, choose on ``validation``, write the checkpoint folder ``output``; return its metrics.

    ``data`` names the rows' origin by hash: with the parameters, it is the key under which an interrupted run is kept
    in ``states``. ``curves`` is where the curves that DVCLive logged go.

    Raises:
        UserError: a split is empty, or the model cannot be loaded or trained with these parameters.
    """
    for name, table in (("train", train), ("validation", validation)):
        if table.num_rows == 0:
            raise UserError(f"the {name} split has no rows")
    tokenizer = pretrained.load_tokenizer(options.model.name)
    model = pretrained.load_model(options.model.name, options.train.seed, OUTPUTS[options.train.objective])
    fields = known_fields(train, options.text.fields)
    if unknown := [field for field in options.text.fields if field not in fields]:
        print(f"train: no training movie has {', '.join(unknown)}: the model does not read them", file=sys.stderr)
    text = TextFormat(tuple(fields), _max_length(options, model))
    state = states / _key(options, data, pretrained.fingerprint(options.model.name, model))
    state.mkdir(parents=True, exist_ok=True)
    # One process tokenises, the others find its work done.
    arguments = _arguments(options, train.num_rows, state)
    with arguments.main_process_first(local=True):
        rows = Rows(train, validation, tokenizer, text, options, state)
    known = rows.ratings[rows.train]
    head = Head(options.train.objective, float(known.mean()), float(known.std()))
    if options.train.freeze_layers:
        frozen.freeze(model, options.train.freeze_layers)

    best = _run_trainer(model, tokenizer, rows, head, thresholds, options, arguments, state)
    if not processes.is_first():
        return best

    linear, alphas = _fit_linear(rows, text, thresholds, options) if options.linear.use else (None, {})
    answerings, figures = _fit_answerings(model, tokenizer, rows, head, linear, text, thresholds, options)
    metadata = checkpoint.Metadata(
        thresholds=thresholds,
        text=text,
        head=head,
        answerings=answerings,
        origin={
            "model": options.model.name,
            "linear": options.linear.use,
            "train": options.train.model_dump(),
            "data": data,
            "git": checkpoint.git_revision(),
        },
    )
    with storage.whole(output) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        if linear:
            write_linear(temporary, linear)
        checkpoint.write(temporary, metadata)
    if curves:
        with storage.whole(curves) as temporary:
            shutil.copytree(state / "live" / "plots" / "metrics", temporary)
    storage.remove(state)
    return best | {"linear_alpha": alphas, "validation": figures}


def _fit_linear(
    rows: Rows, text: TextFormat, thresholds: Thresholds, options: Params
) -> tuple[LinearPart, dict[str, float]]:
    def rated(part: range) -> Rated:
        return Rated(rows.movies[part.start : part.stop], rows.ratings[part], rows.weights[part])

    return fit_part(rated(rows.train), rows.dropped, rated(rows.validation), text.fields, thresholds, options.linear)


def _fit_answerings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    head: Head,
    linear: LinearPart | None,
    text: TextFormat,
    thresholds: Thresholds,
    options: Params,
) -> tuple[Answerings, dict[str, Any]]:
    """Calibration and decision for movies with their facts and without, and what they give on validation."""
    labels = class_indices(rows.ratings[rows.validation], thresholds)
    shares = class_shares(rows.ratings[rows.train], thresholds)
    held = rows.movies[len(rows.train) :]
    transformer = ClassLogits(model, head, thresholds)

    def logits(left_out: Sequence[str]) -> Floats:
        found = []
        for first in range(0, len(held), CHUNK):
            movies = [without(movie, left_out) for movie in held[first : first + CHUNK]]
            parts = [transformer.of_movies(movies, tokenizer, text)]
            found.append(np.stack([*parts, linear.logits(movies)] if linear else parts))
        return np.concatenate(found, axis=1)

    facts = facts_among(text.fields)
    tables = {"facts": logits([])}
    tables["plot"] = logits(facts) if facts else tables["facts"]
    fitted = {
        kind: fit_answering(options.decision.rule, options.decision.metric, table, labels, shares)
        for kind, table in tables.items()
    }
    figures: dict[str, Any] = {}
    for kind, how in fitted.items():
        probabilities = how.calibration.probabilities(tables[kind])
        answers = how.decision.classes(probabilities)
        figures[kind] = {
            "balanced_accuracy": float(balanced_accuracy_score(labels, answers)),
            "macro_f1": float(f1_score(labels, answers, average="macro")),
            "log_loss": float(log_loss(labels, probabilities, labels=range(len(CLASSES)))),
            "scales": dict(zip(("transformer", "linear"), how.calibration.scales, strict=False)),
            "decision_strength": how.decision.strength,
        }
    alone = fit_calibration(tables["facts"][:1], labels).probabilities(tables["facts"][:1])
    figures["transformer_alone"] = _surprise(labels, alone)
    if not facts:
        del figures["facts"]  # there is nothing to tell them apart by
    return Answerings(**fitted), figures


class _Curves(TrainerCallback):
    """Logs what the Trainer logs with DVCLive, by step; a resumed run starts with the curves of its first part."""

    def __init__(self, folder: Path):
        self._folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if not processes.is_first():
            return
        self._live = Live(dir=str(self._folder), dvcyaml=None, save_dvc_exp=False)
        for entry in state.log_history:
            self._log(entry, entry["step"])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if processes.is_first():
            self._log(logs or {}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if processes.is_first():
            self._live.end()

    def _log(self, entry: dict[str, Any], step: int) -> None:
        names = {"loss": "train_loss", "eval_loss": "validation_loss"}
        names |= {"eval_balanced_accuracy": "validation_balanced_accuracy"}
        self._live.step = step
        for key in names.keys() & entry.keys():
            self._live.log_metric(names[key], rounded(float(entry[key])))


class _Epochs(TrainerCallback):
    """Tells the rows which epoch it is."""

    def __init__(self, rows: Rows):
        self._rows = rows

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._rows.set_epoch(int(state.epoch))


class _SaveEvery(TrainerCallback):
    """Saves when so many minutes have passed since the last save, besides at the end of each epoch."""

    def __init__(self, minutes: float):
        self._seconds, self._last = minutes * 60, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save |= processes.agreed(time.monotonic() - self._last > self._seconds)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._last = time.monotonic()


class _Progress(ProgressCallback):
    """The Trainer's progress bar without a line of its own for each entry of the log."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if self.training_bar is not None and logs and "loss" in logs:
            self.training_bar.set_postfix(epoch=f"{state.epoch:.1f}", loss=f"{logs['loss']:.3f}")


def _run_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Rows,
    head: Head,
    thresholds: Thresholds,
    options: Params,
    arguments: TrainingArguments,
    state: Path,
) -> dict[str, Any]:
    """Train ``model`` in place, from the last complete save in ``state`` if there is one, to its best epoch."""
    layers = options.train.freeze_layers
    pad_id = int(tokenizer.pad_token_id)
    features = None
    # One process computes, the others find its work done.
    with arguments.main_process_first(local=True):
        if layers:
            features = frozen.compute_features(model, layers, rows.input_ids, pad_id, state / "features.npy")
            _require_parity(model, layers, Collator(pad_id, features), rows)
        resume = _last_save(state)
    if resume:
        print(f"train: continuing from step {resume.rpartition('-')[2]} of an interrupted run", file=sys.stderr)
    logging.getLogger("dvclive").setLevel(logging.ERROR)
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=Collator(pad_id, features),
        train_dataset=torch.utils.data.Subset(rows, rows.train),
        eval_dataset=torch.utils.data.Subset(rows, rows.validation),
        processing_class=tokenizer,
        compute_loss_func=_loss(rows.ratings[rows.train], head, thresholds, options),
        compute_metrics=_selection_score(rows.ratings[rows.train], head, thresholds),
        callbacks=[
            EarlyStoppingCallback(options.train.early_stopping),
            _SaveEvery(options.train.save_minutes),
            _Epochs(rows),
            _Curves(state / "live"),
        ],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_Progress)
    with frozen.upper_part(model, layers) if layers else contextlib.nullcontext():
        trainer.train(resume_from_checkpoint=resume)
    epochs = [entry for entry in trainer.state.log_history if "eval_balanced_accuracy" in entry]
    best = max(epochs, key=lambda entry: entry["eval_balanced_accuracy"])
    return {
        "epochs": len(epochs),
        "best_epoch": round(best["epoch"]),
        "selection_score": best["eval_balanced_accuracy"],
    }


def _require_parity(model: PreTrainedModel, layers: int, collator: Collator, rows: Rows) -> None:
    """Check that the layers above the frozen ones say of their features what the whole model says of the text."""
    few = [rows[row] for row in range(min(8, len(rows)))]

    def outputs(batch: dict[str, torch.Tensor]) -> Floats:
        with torch.inference_mode():
            tensors = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
            found: Floats = model(**tensors).logits.float().cpu().numpy()
        return found

    model.eval()
    with frozen.upper_part(model, layers):
        found = outputs(collator(few))
    if not np.allclose(found, outputs(Collator(collator.pad_id, None)(few)), atol=1e-2):
        raise UserError(f"train.freeze_layers: {type(model).__name__} cannot be run in two parts; set it to 0")


def _arguments(options: Params, rows: int, state: Path) -> TrainingArguments:
    train = options.train
    half = train.precision == "auto" and torch.cuda.is_available()
    bf16 = half and torch.cuda.is_bf16_supported()
    steps = math.ceil(math.ceil(rows / train.batch_size) / train.gradient_accumulation)
    share, rest = divmod(train.batch_size, processes.count())
    if rest:
        raise UserError(f"train.batch_size: {train.batch_size} cannot be shared by {processes.count()} processes")
    return TrainingArguments(
        output_dir=str(state),
        num_train_epochs=train.epochs,
        learning_rate=train.learning_rate,
        per_device_train_batch_size=share,
        per_device_eval_batch_size=4 * share,
        ddp_backend=None if torch.cuda.is_available() or processes.count() == 1 else "gloo",
        ddp_find_unused_parameters=False,
        gradient_accumulation_steps=train.gradient_accumulation,
        warmup_steps=round(train.warmup * steps * train.epochs),
        weight_decay=train.weight_decay,
        train_sampling_strategy=train.sampling,
        activation_checkpointing=train.gradient_checkpointing,
        torch_compile=train.compile,
        bf16=bf16,
        fp16=half and not bf16,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="balanced_accuracy",
        greater_is_better=True,
        logging_steps=max(1, steps // 20),
        seed=train.seed,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        # Without this the library, told to be quiet, prints its log instead of a progress bar.
        disable_tqdm=False,
        report_to=[],
    )


def _loss(ratings: Floats, head: Head, thresholds: Thresholds, options: Params) -> RatingLoss:
    train = options.train
    weights = np.ones(len(CLASSES))
    if train.class_weights == "balanced":
        weights = 1 / (len(CLASSES) * class_shares(ratings, thresholds))
    return RatingLoss(
        head,
        thresholds,
        spread=train.soft_labels * head.std,
        gamma=train.focal_gamma,
        class_weights=torch.tensor(weights, dtype=torch.float32),
    )


def _selection_score(
    train_ratings: Floats, head: Head, thresholds: Thresholds
) -> Callable[[EvalPrediction], dict[str, float]]:
    """Expected balanced accuracy on the validation split of calibrated, fully prior-corrected probabilities.

    Corrected, because an unweighted loss answers "average" to nearly everything until late. Expected (each row counts
    for every class with its calibrated probability), because of a few hundred movies only a hundred are of a rare
    class: which epoch happens to hit more of these is mostly luck.
    """
    shares = class_shares(train_ratings, thresholds)

    def score(evaluation: EvalPrediction) -> dict[str, float]:
        # The Trainer groups evaluation rows by length too: labels come with it, in its order.
        labels = class_indices(np.asarray(evaluation.label_ids)[:, 0], thresholds)
        outputs = torch.from_numpy(np.asarray(evaluation.predictions)).double()
        logits = class_logits(outputs, head, thresholds).numpy()[None]
        probabilities = fit_calibration(logits, labels).probabilities(logits)
        return {"balanced_accuracy": expected_scores(prior_corrected(1.0, shares), probabilities)[0]}

    return score


def _surprise(labels: Ints, probabilities: Floats) -> dict[str, float]:
    """Log-loss on the validation split, beside that of its class shares; a line on stderr if they hardly differ."""
    shares = label_shares(labels)
    losses = {
        "log_loss": float(log_loss(labels, probabilities, labels=range(len(CLASSES)))),
        "class_shares_log_loss": float(log_loss(labels, np.tile(shares, (len(labels), 1)), labels=range(len(CLASSES)))),
    }
    if losses["log_loss"] > LEARNT * losses["class_shares_log_loss"]:
        print(
            f"train: warning: the model has learnt next to nothing: its validation log-loss is "
            f"{losses['log_loss']:.3f}, that of the class shares {losses['class_shares_log_loss']:.3f}. "
            "If its training loss stopped falling at once, lower train.learning_rate",
            file=sys.stderr,
        )
    return losses


def _max_length(options: Params, model: PreTrainedModel) -> int:
    longest = getattr(model.config, "max_position_embeddings", options.text.max_length)
    if options.text.max_length > longest:
        raise UserError(f"text.max_length: {options.text.max_length} tokens, but {options.model.name} reads {longest}")
    return options.text.max_length


def _key(options: Params, data: dict[str, str], model: str) -> str:
    relevant = {"train": options.train.model_dump(), "text": options.text.model_dump(), "data": data, "model": model}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def _last_save(state: Path) -> str | None:
    """The newest save that is whole: a kill in the middle of one leaves it without its trainer_state.json."""
    while (newest := get_last_checkpoint(str(state))) is not None:
        try:
            json.loads(Path(newest, "trainer_state.json").read_text())
            return newest
        except (FileNotFoundError, ValueError):
            storage.remove(Path(newest))
    return None
