"""What would fail later is tried before the training: the length of texts, padding, export to ONNX, and precision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import torch
from transformers import PreTrainedModel, TrainingArguments

from movie_ratings.core import storage
from movie_ratings.core.arrays import Floats, softmax
from movie_ratings.core.errors import UserError, first_line
from movie_ratings.model.batches import Ids, pad
from movie_ratings.params import Train
from movie_ratings.training import graph, precision
from movie_ratings.training.transformer import Transformer

LARGEST_DIFFERENCE: Final = 1e-3  # of a probability: more is not rounding


def check(transformer: Transformer, row: Ids, options: Train, folder: Path) -> None:
    """Try what follows the training with the untrained model; ``row`` holds the token ids of any movie.

    The model is exported to ONNX as the export stage does; the graph stands in ``folder`` meanwhile. Graph and model
    then predict texts of several lengths, up to ``text.max_length``: a graph can hold on to the length that it was
    exported with, and padding can change a prediction. For the default model, this takes four to five seconds.

    Raises:
        UserError: the model cannot be trained with these parameters, or cannot be served.
    """
    model = transformer.model
    if options.gradient_checkpointing and not model.supports_gradient_checkpointing:
        raise UserError(f"train.gradient_checkpointing: {_kind(model)} has none; set it to false")
    longest = transformer.text.max_length
    texts = [np.resize(row, length) for length in (longest, max(1, longest // 3), len(row))]
    reference = _predict(transformer, texts)
    if _difference(reference, np.concatenate([_predict(transformer, [text]) for text in texts])) > LARGEST_DIFFERENCE:
        raise UserError(f"model.name: {_kind(model)} predicts otherwise when a text is padded: choose another model")
    if _difference(reference, _exported(transformer, texts, folder)) > LARGEST_DIFFERENCE:
        raise UserError(f"model.name: {_kind(model)} predicts otherwise as ONNX: choose another model")


def check_precision(transformer: Transformer, row: Ids, settings: TrainingArguments) -> None:
    """Try a forward pass in the precision of the training, on its device; ``row`` holds the token ids of any movie.

    Raises:
        UserError: the model cannot be computed in bf16 or fp16.
    """
    model, device = transformer.model, transformer.model.device
    ids, mask = (torch.from_numpy(table).to(settings.device) for table in pad([row, row[:1]], transformer.pad_id))
    try:
        model.to(settings.device)
        with precision.autocast(settings), torch.inference_mode():
            model(input_ids=ids, attention_mask=mask)
    except RuntimeError as error:
        raise UserError(
            f"train.precision: {_kind(model)} cannot be computed in {'bf16' if settings.bf16 else 'fp16'} "
            f"({first_line(error)}); set it to fp32"
        ) from None
    finally:
        model.to(device)


def _predict(transformer: Transformer, texts: Sequence[Ids]) -> Floats:
    """Class logits (texts, classes).

    Raises:
        UserError: the model does not read texts of this length.
    """
    ids, mask = (torch.from_numpy(table) for table in pad(texts, transformer.pad_id))
    transformer.eval()
    try:
        with torch.inference_mode():
            return transformer(ids, mask).double().numpy()
    except (IndexError, RuntimeError, ValueError) as error:
        raise UserError(
            f"text.max_length: {_kind(transformer.model)} cannot read {ids.shape[1]} tokens ({first_line(error)}); "
            "set a lower one"
        ) from None


def _exported(transformer: Transformer, texts: Sequence[Ids], folder: Path) -> Floats:
    """As `_predict`, by the graph that the export writes."""
    ids, mask = pad(texts, transformer.pad_id)
    onnxruntime.set_default_logger_severity(4)  # what goes wrong is raised
    try:
        with storage.scratch(folder / "graph") as scratch:
            path = scratch / "model.onnx"
            graph.export(transformer, path)
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            (logits,) = session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
    except UserError:  # the disk is full
        raise
    # An exporter can fail in as many ways as there are forward passes; each means that this model cannot be served.
    except Exception as error:
        raise UserError(
            f"model.name: {_kind(transformer.model)} cannot be exported to ONNX ({first_line(error)[:200]}): "
            "choose another model"
        ) from None
    return np.asarray(logits, dtype=np.float64)


def _difference(one: Floats, other: Floats) -> float:
    """The largest difference of a probability; infinite if a probability is not a number."""
    found = float(np.abs(softmax(one) - softmax(other)).max())
    return found if np.isfinite(found) else float("inf")


def _kind(model: PreTrainedModel) -> str:
    return type(model).__name__
