"""Train: fine-tune the model of model.name on data/split/train.parquet → models/checkpoint.

The epoch with the best balanced accuracy on the validation split is kept; the probabilities' calibration and the
decision rule are fitted on that split too. A killed run started again with the same parameters and data continues
from its last save, which is in data/train-state.
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

from stages import checkpoint, frozen, params, parquet, pretrained, storage
from stages.batches import pad
from stages.calibration import fit_calibration, fit_decision, prior_corrected
from stages.command import run_stage
from stages.decision import Floats, Ints
from stages.errors import UserError
from stages.inference import classifier_logits
from stages.labels import CLASSES, Thresholds, class_indices, class_shares
from stages.losses import RatingLoss
from stages.params import Params
from stages.schema import LABELLED
from stages.text import TextFormat, encode

TRAIN = "data/split/train.parquet"
VALIDATION = "data/split/validation.parquet"
THRESHOLDS = "data/split/thresholds.json"
CHECKPOINT = "models/checkpoint"
METRICS = "metrics/train.json"
CURVES = "metrics/curves"
STATE = "data/train-state"
# A model whose training diverged answers every movie alike; one that learns leaves the class shares far behind.
LEARNT = 0.99


def train_stage() -> None:
    options = params.load()
    train, validation = (parquet.read_table(path, LABELLED) for path in (TRAIN, VALIDATION))
    thresholds = Thresholds(**storage.read_json(THRESHOLDS))
    data = {path: storage.sha256(path) for path in (TRAIN, VALIDATION, THRESHOLDS)}
    metrics = fine_tune(train, validation, thresholds, data, options, Path(STATE), Path(CHECKPOINT), Path(CURVES))
    storage.write_json(METRICS, metrics)
    print(f"train: best epoch {metrics['best_epoch']} of {metrics['epochs']}, {CHECKPOINT} written")


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
    model = pretrained.load_model(options.model.name, options.train.seed)
    text = TextFormat(tuple(options.text.fields), _max_length(options, model))
    rows = Rows(train, validation, tokenizer, text)
    if options.train.freeze_layers:
        frozen.freeze(model, options.train.freeze_layers)

    state = states / _key(options, data, pretrained.fingerprint(options.model.name, model))
    state.mkdir(parents=True, exist_ok=True)
    best = _run_trainer(model, tokenizer, rows, thresholds, options, state)

    labels = class_indices(rows.ratings[rows.validation], thresholds)
    shares = class_shares(rows.ratings[rows.train], thresholds)
    logits = classifier_logits(model, int(tokenizer.pad_token_id), rows.input_ids[len(train) :])
    calibration = fit_calibration(logits, labels)
    probabilities = calibration.probabilities(logits)
    decision = fit_decision(options.decision.rule, probabilities, shares)
    metadata = checkpoint.Metadata(
        thresholds=thresholds,
        text=text,
        calibration=calibration,
        decision=decision,
        origin={
            "model": options.model.name,
            "train": options.train.model_dump(),
            "data": data,
            "git": checkpoint.git_revision(),
        },
    )
    with storage.whole(output) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        checkpoint.write(temporary, metadata)
    if curves:
        with storage.whole(curves) as temporary:
            shutil.copytree(state / "live" / "plots" / "metrics", temporary)
    storage.remove(state)
    return best | {
        "validation": _surprise(labels, probabilities)
        | {
            "balanced_accuracy": float(balanced_accuracy_score(labels, decision.classes(probabilities))),
            "macro_f1": float(f1_score(labels, decision.classes(probabilities), average="macro")),
            "temperature": calibration.temperature,
            "decision_strength": decision.strength,
        }
    }


class Rows(torch.utils.data.Dataset):
    """The rows of both splits as token ids and ratings, those of the training split first."""

    def __init__(self, train: pa.Table, validation: pa.Table, tokenizer: PreTrainedTokenizerBase, text: TextFormat):
        movies = [movie for table in (train, validation) for movie in table.select(text.fields).to_pylist()]
        self.input_ids = encode(tokenizer.backend_tokenizer, movies, text)
        self.ratings = np.concatenate([table["rating"].to_numpy() for table in (train, validation)])
        self.train, self.validation = range(train.num_rows), range(train.num_rows, len(movies))

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"row": row, "input_ids": self.input_ids[row], "labels": self.ratings[row]}


class Collator:
    """Pads a batch to its longest row: token ids, or in their place what the frozen layers made of them."""

    def __init__(self, pad_id: int, features: frozen.Features | None):
        self.pad_id, self.features = pad_id, features

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = pad([row["input_ids"] for row in rows], self.pad_id)
        batch = {
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.tensor([row["labels"] for row in rows], dtype=torch.float64),
        }
        if self.features is None:
            return batch | {"input_ids": torch.from_numpy(ids)}
        states = [self.features[row["row"]] for row in rows]
        hidden = np.zeros((*ids.shape, states[0].shape[1]), dtype=np.float32)
        for place, state in zip(hidden, states, strict=True):
            place[: len(state)] = state
        return batch | {"inputs_embeds": torch.from_numpy(hidden)}


class _Curves(TrainerCallback):
    """Logs what the Trainer logs with DVCLive, by step; a resumed run starts with the curves of its first part."""

    def __init__(self, folder: Path):
        self._folder = folder

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._live = Live(dir=str(self._folder), dvcyaml=None, save_dvc_exp=False)
        for entry in state.log_history:
            self._log(entry, entry["step"])

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        self._log(logs or {}, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._live.end()

    def _log(self, entry: dict[str, Any], step: int) -> None:
        names = {"loss": "train_loss", "eval_loss": "validation_loss", "learning_rate": "learning_rate"}
        names |= {"eval_balanced_accuracy": "validation_balanced_accuracy"}
        self._live.step = step
        for key in names.keys() & entry.keys():
            self._live.log_metric(names[key], float(entry[key]))


class _SaveEvery(TrainerCallback):
    """Saves when so many minutes have passed since the last save, besides at the end of each epoch."""

    def __init__(self, minutes: float):
        self._seconds, self._last = minutes * 60, time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_save |= time.monotonic() - self._last > self._seconds

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
    thresholds: Thresholds,
    options: Params,
    state: Path,
) -> dict[str, Any]:
    """Train ``model`` in place, from the last complete save in ``state`` if there is one, to its best epoch."""
    layers = options.train.freeze_layers
    pad_id = int(tokenizer.pad_token_id)
    features = None
    if layers:
        features = frozen.compute_features(model, layers, rows.input_ids, pad_id, state / "features.npy")
        _require_parity(model, layers, Collator(pad_id, features), rows)
    resume = _last_save(state)
    if resume:
        print(f"train: continuing from step {resume.rpartition('-')[2]} of an interrupted run", file=sys.stderr)
    logging.getLogger("dvclive").setLevel(logging.ERROR)
    trainer = Trainer(
        model=model,
        args=_arguments(options, len(rows.train), state),
        data_collator=Collator(pad_id, features),
        train_dataset=torch.utils.data.Subset(rows, rows.train),
        eval_dataset=torch.utils.data.Subset(rows, rows.validation),
        processing_class=tokenizer,
        compute_loss_func=_loss(rows.ratings[rows.train], thresholds, options),
        compute_metrics=_selection_score(rows.ratings[rows.train], thresholds),
        callbacks=[
            EarlyStoppingCallback(options.train.early_stopping),
            _SaveEvery(options.train.save_minutes),
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
    few = range(min(8, len(rows)))
    batch = collator([rows[row] for row in few])
    batch.pop("labels")
    model.eval()
    with frozen.upper_part(model, layers), torch.inference_mode():
        found = model(**{name: value.to(model.device) for name, value in batch.items()}).logits.float().cpu().numpy()
    if not np.allclose(found, classifier_logits(model, collator.pad_id, rows.input_ids[: len(few)]), atol=1e-2):
        raise UserError(f"train.freeze_layers: {type(model).__name__} cannot be run in two parts; set it to 0")


def _arguments(options: Params, rows: int, state: Path) -> TrainingArguments:
    train = options.train
    half = train.precision == "auto" and torch.cuda.is_available()
    bf16 = half and torch.cuda.is_bf16_supported()
    steps = math.ceil(math.ceil(rows / train.batch_size) / train.gradient_accumulation)
    return TrainingArguments(
        output_dir=str(state),
        num_train_epochs=train.epochs,
        learning_rate=train.learning_rate,
        per_device_train_batch_size=train.batch_size,
        per_device_eval_batch_size=4 * train.batch_size,
        gradient_accumulation_steps=train.gradient_accumulation,
        warmup_steps=round(train.warmup * steps * train.epochs),
        weight_decay=train.weight_decay,
        train_sampling_strategy="group_by_length",
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


def _loss(ratings: Floats, thresholds: Thresholds, options: Params) -> RatingLoss:
    train = options.train
    weights = np.ones(len(CLASSES))
    if train.class_weights == "balanced":
        weights = 1 / (len(CLASSES) * class_shares(ratings, thresholds))
    return RatingLoss(
        thresholds,
        spread=train.soft_labels * float(ratings.std()),
        gamma=train.focal_gamma if train.loss == "focal" else 0.0,
        weights=torch.tensor(weights, dtype=torch.float32),
    )


def _selection_score(train_ratings: Floats, thresholds: Thresholds) -> Callable[[EvalPrediction], dict[str, float]]:
    """Balanced accuracy on the validation split of calibrated, fully prior-corrected probabilities.

    An unweighted loss answers "average" to nearly everything until late; corrected, every loss is judged alike.
    """
    shares = class_shares(train_ratings, thresholds)

    def score(evaluation: EvalPrediction) -> dict[str, float]:
        # The Trainer groups evaluation rows by length too: labels come with it, in its order.
        labels = class_indices(np.asarray(evaluation.label_ids), thresholds)
        logits = np.asarray(evaluation.predictions, dtype=np.float64)
        probabilities = fit_calibration(logits, labels).probabilities(logits)
        predicted = prior_corrected(1.0, shares).classes(probabilities)
        return {"balanced_accuracy": float(balanced_accuracy_score(labels, predicted))}

    return score


def _surprise(labels: Ints, probabilities: Floats) -> dict[str, float]:
    """Log-loss on the validation split, beside that of its class shares; a line on stderr if they hardly differ."""
    shares = np.bincount(labels, minlength=len(CLASSES)) / len(labels)
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


if __name__ == "__main__":
    run_stage(train_stage, [CHECKPOINT, METRICS, CURVES])
