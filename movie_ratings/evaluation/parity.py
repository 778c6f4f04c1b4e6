"""The served variants of a checkpoint compared with the checkpoint in torch, and the choice of the variant to serve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from movie_ratings.core.arrays import Floats, Ints, softmax
from movie_ratings.core.errors import UserError
from movie_ratings.model import checkpoint, confusion, linear
from movie_ratings.model.decision import facts_known
from movie_ratings.movies.labels import label_indices
from movie_ratings.prediction import served
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.served import Variant
from movie_ratings.training.transformer import Transformer

LARGEST_DIFFERENCE: Final = 1e-3  # of a probability, between torch and fp32: more is not rounding
AGREEMENT: Final = 0.99  # least share of the movies for which int8, or bf16, and torch predict the same class
LOSS: Final = 0.005  # largest loss of balanced accuracy by int8 or bf16


class Parity:
    """What the checkpoint predicts in torch for the movies of a table, to compare a served folder with.

    Raises:
        UserError: the table has no rows.
    """

    def __init__(self, source: Path, transformer: Transformer, table: pa.Table):
        if table.num_rows == 0:
            raise UserError("export: the validation split has no rows to compare on")
        self._architecture = type(transformer.model).__name__
        self._movies: Sequence[Mapping[str, Any]] = table.to_pylist()
        self._labels: Ints = label_indices(table["label"].to_pylist())
        self._transformer: Floats = transformer.logits(self._movies)
        metadata = checkpoint.read(source)
        parts = [self._transformer]
        if metadata.has_linear:
            parts.append(linear.read(source).logits(self._movies))
        known = facts_known(self._movies, metadata.text.fields)
        self._probabilities, self._predicted = metadata.answerings.answer(np.stack(parts), known)

    def compare(self, folders: Mapping[str, Path]) -> dict[str, Any]:
        """The figures of torch and of each served folder, by variant.

        Raises:
            UserError: the probabilities of fp32 differ from those of torch by more than rounding.
        """
        found: dict[str, Any] = {
            "rows": len(self._movies),
            "torch": {"balanced_accuracy": self._scores(self._predicted)["balanced_accuracy"]},
        }
        found |= {variant: self._figures(folder) for variant, folder in folders.items()}
        difference = found["fp32"]["largest_probability_difference"]
        if not difference <= LARGEST_DIFFERENCE:
            raise UserError(
                f"export: {self._architecture} answers otherwise as ONNX: probabilities differ by up to "
                f"{difference:.3g}, at most {LARGEST_DIFFERENCE:g} is rounding"
            )
        return found

    def _figures(self, folder: Path) -> dict[str, float]:
        classifier = Classifier.load(folder)
        logits = classifier.logits(self._movies)
        probabilities, predicted = classifier.decide(self._movies, logits)
        # Of the transformer alone too: where its scale is small, a difference would not show in the whole model.
        differences = [probabilities - self._probabilities, softmax(logits[0]) - softmax(self._transformer)]
        return {
            "largest_probability_difference": float(np.abs(differences).max()),
            "label_agreement": float((predicted == self._predicted).mean()),
            **self._scores(predicted),
            "megabytes": sum(path.stat().st_size for path in folder.glob(f"{served.GRAPH}*")) / 1e6,
        }

    def _scores(self, predicted: Ints) -> dict[str, float]:
        found = confusion.scores(confusion.matrix(self._labels, predicted))
        return {name: found[name] for name in ("balanced_accuracy", "macro_f1")}


def choose(found: Mapping[str, Any]) -> Variant:
    """int8 if it predicts nearly as torch does by the figures of `Parity.compare`, else fp32."""
    return "int8" if predicts_nearly_the_same(found, "int8") else "fp32"


def predicts_nearly_the_same(found: Mapping[str, Any], name: str) -> bool:
    """Whether a graph predicts nearly as torch does by the figures of `Parity.compare`; False if it has none."""
    if name not in found:
        return False
    figures, reference = found[name], found["torch"]["balanced_accuracy"]
    return bool(figures["label_agreement"] >= AGREEMENT and figures["balanced_accuracy"] >= reference - LOSS)
