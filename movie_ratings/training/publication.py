"""The transformer as `transformers.pipeline` loads it: with an output layer that gives the classes of the served model.

A checkpoint's outputs depend on its objective, and only the linear part, the calibration and the decision rule turn
them into the served prediction. `transformers.pipeline` knows none of these. The published model therefore has another
output layer: a linear map of the old outputs to a score of each class.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from scipy.optimize import minimize
from scipy.special import log_softmax
from torch import nn
from transformers import PreTrainedModel

from movie_ratings.core.arrays import Bools, Floats, Ints, softmax
from movie_ratings.core.errors import UserError
from movie_ratings.model.decision import Answerings
from movie_ratings.movies.labels import CLASSES, label_indices
from movie_ratings.movies.text import TextFormat, compose
from movie_ratings.training.transformer import Transformer

PENALTY = 1e-4  # keeps the weights finite where the outputs separate the classes perfectly


def decided(probabilities: Floats, answerings: Answerings, known: Bools) -> Floats:
    """Probabilities (movies, classes) whose largest one is that of the class that the decision rule chooses.

    ``probabilities`` are calibrated; ``known`` (movies,) comes from `model.decision.facts_known`.
    """
    offsets = np.where(known[:, None], answerings.facts.decision.offsets, answerings.plot.decision.offsets)
    return softmax(np.log(np.maximum(probabilities, 1e-12)) + offsets)


def fit_map(outputs: Floats, targets: Floats, has_bias: bool = True) -> tuple[Floats, Floats]:
    """The linear map of outputs to class scores whose softmax is closest to ``targets``: a matrix and a bias.

    ``outputs`` is (movies, outputs), ``targets`` (movies, classes); the matrix is (classes, outputs) and the bias
    (classes,), which is 0 without ``has_bias``. The loss is the cross-entropy, which is convex.
    """
    rows, width = outputs.shape
    columns = np.hstack([outputs, np.full((rows, 1), float(has_bias))])
    shape = (targets.shape[1], width + 1)

    def loss(parameters: Floats) -> tuple[float, Floats]:
        weights = parameters.reshape(shape)
        logs = log_softmax(columns @ weights.T, axis=1)
        value = -(targets * logs).sum(axis=1).mean() + PENALTY * np.square(parameters).sum()
        gradient = (np.exp(logs) - targets).T @ columns / rows + 2 * PENALTY * weights
        return float(value), gradient.ravel()

    found = minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B").x.reshape(shape)
    return found[:, :width], found[:, width]


def give_classes(transformer: Transformer, movies: Sequence[Mapping[str, Any]], targets: Floats) -> PreTrainedModel:
    """Replace the output layer of ``transformer`` by one that gives `CLASSES`, fitted to ``targets``; return its model.

    ``targets`` (movies, classes) are what the served model answers for ``movies``, as `decided` returns them.

    Raises:
        UserError: the model has no linear output layer.
    """
    model, before = transformer.model, transformer.outputs(movies)
    name, layer = _output_layer(model, before.shape[1])
    matrix, bias = fit_map(before, targets, layer.bias is not None)
    mapped = nn.Linear(layer.in_features, len(CLASSES), bias=layer.bias is not None)
    with torch.no_grad():
        mapped.weight.copy_(torch.from_numpy(matrix @ layer.weight.double().numpy()))
        if layer.bias is not None:
            mapped.bias.copy_(torch.from_numpy(matrix @ layer.bias.double().numpy() + bias))
    model.set_submodule(name, mapped)
    model.config.id2label = dict(enumerate(CLASSES))
    model.config.label2id = {label: index for index, label in enumerate(CLASSES)}
    model.config.problem_type = "single_label_classification"
    scores = before @ matrix.T + bias
    if not np.allclose(transformer.outputs(movies[:8]), scores[:8], rtol=1e-3, atol=1e-3):
        raise UserError(
            f"publish: {type(model).__name__} changes the outputs of its last layer; it cannot give classes"
        )
    return model


def pipeline_classes(folder: Path, movies: Sequence[Mapping[str, Any]], text: TextFormat) -> Ints:
    """The classes (movies,) that `transformers.pipeline` answers with the model of ``folder``."""
    pipeline = transformers.pipeline("text-classification", model=str(folder), truncation=True, device="cpu")
    texts = [compose(movie, text.fields) for movie in movies]
    rows = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # batches of similar length
    found = pipeline([texts[row] for row in rows], batch_size=16)
    classes = np.zeros(len(texts), dtype=np.int64)
    classes[rows] = label_indices([answer["label"] for answer in found])
    return classes


def _output_layer(model: PreTrainedModel, outputs: int) -> tuple[str, nn.Linear]:
    """The last linear layer with as many outputs as the model, and its name."""
    layers = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == outputs
    ]
    if not layers:
        raise _no_classes(model)
    return layers[-1]


def _no_classes(model: PreTrainedModel) -> UserError:
    return UserError(f"publish: {type(model).__name__} does not end in a linear layer, which could give the classes")
