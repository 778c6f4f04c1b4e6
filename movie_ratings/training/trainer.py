"""Training the transformer with Hugging Face's Trainer: arguments, frozen layers, resuming, and the best epoch."""

import contextlib
import json
import logging
import math
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, Trainer, TrainingArguments
from transformers.trainer_callback import ProgressCallback
from transformers.trainer_pt_utils import LengthGroupedSampler
from transformers.trainer_utils import get_last_checkpoint

from movie_ratings.core import processes, storage
from movie_ratings.core.errors import UserError
from movie_ratings.params import Train
from movie_ratings.training import frozen, precision
from movie_ratings.training.callbacks import Curves, Epochs, Progress, SaveEvery
from movie_ratings.training.dataset import Collator, TrainingDataset
from movie_ratings.training.first_token import keep_first_token
from movie_ratings.training.objectives import RatingLoss
from movie_ratings.training.precision import Arithmetic
from movie_ratings.training.selection import selection_score
from movie_ratings.training.transformer import Transformer


def train(
    transformer: Transformer, dataset: TrainingDataset, options: Train, settings: TrainingArguments
) -> dict[str, Any]:
    """Train ``transformer`` in place to its best epoch; return the number of epochs, the best one and its score.

    The folder ``settings.output_dir`` holds what an interrupted run needs to continue: the saves, the hidden states of
    the frozen layers and the logged curves. Training continues from the last complete save in this folder.

    Raises:
        UserError: the model cannot be trained with these parameters.
    """
    model, state = transformer.model, Path(settings.output_dir)
    model.to(settings.device)
    features = None
    # One process computes the hidden states and writes them to the folder; the others find them there.
    with settings.main_process_first(local=True):
        if layers := options.freeze_layers:
            path = state / "features.npy"
            with precision.autocast(settings):
                features = frozen.compute_features(model, layers, dataset.input_ids, transformer.pad_id, path)
        resume = last_save(state)
    if resume:
        print(f"train: continuing from step {resume.rpartition('-')[2]} of an interrupted run", file=sys.stderr)
    logging.getLogger("dvclive").setLevel(logging.ERROR)
    ratings = dataset.ratings[dataset.train]
    trainer = SharedBatches(
        model=model,
        args=settings,
        data_collator=Collator(transformer.pad_id, features),
        train_dataset=torch.utils.data.Subset(dataset, dataset.train),
        eval_dataset=torch.utils.data.Subset(dataset, dataset.validation),
        processing_class=transformer.tokenizer,
        compute_loss_func=RatingLoss.of(options, transformer.head, transformer.thresholds, ratings),
        compute_metrics=selection_score(transformer, ratings),
        callbacks=[
            EarlyStoppingCallback(options.early_stopping),
            SaveEvery(options.save_minutes),
            Epochs(dataset),
            Curves(state / "live"),
        ],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(Progress)
    with contextlib.ExitStack() as stack:
        stack.enter_context(storage.writing(state))
        stack.enter_context(precision.own_forward(model))
        stack.enter_context(keep_first_token(model))
        if layers:
            stack.enter_context(frozen.upper_part(model, layers))
        trainer.train(resume_from_checkpoint=resume)
    epochs = [entry for entry in trainer.state.log_history if "eval_balanced_accuracy" in entry]
    best = max(epochs, key=lambda entry: entry["eval_balanced_accuracy"])
    return {
        "epochs": len(epochs),
        "best_epoch": round(best["epoch"]),
        "selection_score": best["eval_balanced_accuracy"],
    }


class SharedBatches(Trainer):
    """A `Trainer` whose processes share the batches that one process would train on.

    The groups of similar length are as long as the whole batch. `Trainer` makes them as long as the share of one
    process, so that two processes train on other batches than one process does.
    """

    def _get_train_sampler(self, train_dataset: Any = None) -> torch.utils.data.Sampler[int] | None:
        sampler = super()._get_train_sampler(train_dataset)
        if isinstance(sampler, LengthGroupedSampler):
            sampler.batch_size *= processes.count()
        return sampler


def arguments(options: Train, movies: int, state: Path, arithmetic: Arithmetic) -> dict[str, Any]:
    """The keywords of `TrainingArguments` for ``movies`` training movies; ``state`` is the folder for its saves.

    Raises:
        UserError: the batch size is not a multiple of the number of processes.
    """
    gpu, products = arithmetic.device.gpu, arithmetic.products
    steps = math.ceil(math.ceil(movies / options.batch_size) / options.gradient_accumulation)
    share, rest = divmod(options.batch_size, processes.count())
    if rest:
        raise UserError(f"train.batch_size: {options.batch_size} cannot be shared by {processes.count()} processes")
    return {
        "output_dir": str(state),
        "num_train_epochs": options.epochs,
        "learning_rate": options.learning_rate,
        "per_device_train_batch_size": share,
        "per_device_eval_batch_size": 4 * share,
        # Without use_cpu, accelerate does not see that several processes on CPUs are one training: each process then
        # evaluates and logs its own share of the movies, and stops early by itself. The Trainer also refuses bf16 on
        # a CPU without use_cpu.
        "use_cpu": not gpu and (processes.count() > 1 or products == "bf16"),
        "ddp_find_unused_parameters": False,
        "gradient_accumulation_steps": options.gradient_accumulation,
        "warmup_steps": round(options.warmup * steps * options.epochs),
        "weight_decay": options.weight_decay,
        "train_sampling_strategy": options.sampling,
        "activation_checkpointing": options.gradient_checkpointing,
        "torch_compile": options.compile,
        "bf16": products == "bf16",
        "fp16": products == "fp16",
        "eval_strategy": "epoch",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "load_best_model_at_end": True,
        "metric_for_best_model": "balanced_accuracy",
        "greater_is_better": True,
        "logging_steps": max(1, steps // 20),
        "seed": options.seed,
        "remove_unused_columns": False,
        "dataloader_pin_memory": gpu,
        # The log level of the library is "error", at which the Trainer shows no progress bar by default.
        "disable_tqdm": False,
        "report_to": [],
    }


def last_save(state: Path) -> str | None:
    """The newest complete save in the folder ``state``; removes the incomplete ones.

    A save that was killed half-way has no trainer_state.json, or only a part of one.
    """
    while (newest := get_last_checkpoint(str(state))) is not None:
        try:
            json.loads(Path(newest, "trainer_state.json").read_text())
            return newest
        except (FileNotFoundError, ValueError):
            storage.remove(Path(newest))
    return None
