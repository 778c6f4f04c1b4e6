"""Export: the checkpoint as ONNX, proven to answer like it; models/checkpoint → models/movie-rating.

Two variants are made, fp32 and int8 (weights quantised, activations on the fly), and both answer the validation split
the way they are served. fp32 must agree with torch to a thousandth, or the stage fails. export.variant auto serves int8
where it gives the same label to at least 99% of the movies and loses at most half a point of balanced accuracy.
metrics/export.json holds what was measured.
"""

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pyarrow as pa
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from sklearn.metrics import balanced_accuracy_score, f1_score

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.arrays import softmax
from movie_ratings.core.command import run_stage
from movie_ratings.core.errors import UserError
from movie_ratings.core.paths import CHECKPOINT, EXPORT_METRICS, MODEL
from movie_ratings.model import checkpoint, linear
from movie_ratings.model.decision import facts_known
from movie_ratings.movies import splits
from movie_ratings.movies.labels import label_indices
from movie_ratings.prediction import served
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.served import Variant
from movie_ratings.training import pretrained
from movie_ratings.training.graph import keep_first_token
from movie_ratings.training.inference import ClassLogits

LARGEST_DIFFERENCE: Final = 1e-3  # between the probabilities of torch and of fp32
AGREEMENT: Final = 0.99  # of the labels of int8 with those of torch
LOSS: Final = 0.005  # of balanced accuracy, by int8
COMPARED: Final = 5_000  # validation movies, at most, that both answer
OPSET: Final = 18
VARIANTS: Final[tuple[Variant, ...]] = ("fp32", "int8")


def export() -> None:
    options = params.load().export
    found = export_checkpoint(Path(CHECKPOINT), Path(MODEL), splits.read("validation", COMPARED), options.variant)
    storage.write_json(EXPORT_METRICS, found)
    figures = found[found["variant"]]
    print(
        f"export: {found['variant']}, {figures['megabytes']:.0f} MB, "
        f"labels agree with torch on {figures['label_agreement']:.1%} of {found['rows']:,} movies"
    )


def export_checkpoint(source: Path, output: Path, validation: pa.Table, variant: str) -> dict[str, Any]:
    """Write the served folder ``output``; return what was measured on ``validation``.

    Raises:
        UserError: the checkpoint cannot be loaded, or its export does not answer like it.
    """
    if validation.num_rows == 0:
        raise UserError("export: the validation split has no rows to compare on")
    movies, labels = validation.to_pylist(), label_indices(validation["label"].to_pylist())
    metadata = checkpoint.read(source)
    model, tokenizer = pretrained.load_checkpoint(source)
    torch_logits = ClassLogits(model, metadata.head, metadata.thresholds)
    parts = [torch_logits.of_movies(movies, tokenizer, metadata.text)]
    if metadata.has_linear:
        parts.append(linear.read(source).logits(movies))
    reference, answers = metadata.answerings.answer(np.stack(parts), facts_known(movies, metadata.text.fields))
    accuracy = float(balanced_accuracy_score(labels, answers))

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".export-", suffix=".tmp") as scratch:
        folders = build(torch_logits, int(tokenizer.pad_token_id), source, Path(scratch))
        found: dict[str, Any] = {"rows": len(movies), "torch": {"balanced_accuracy": accuracy}}
        for name, folder in folders.items():
            classifier = Classifier.load(folder)
            logits = classifier.logits(movies)
            probabilities, predicted = classifier.decide(movies, logits)
            # Of the transformer alone too: where it counts for little, the answers would not show that it differs.
            differences = [probabilities - reference, softmax(logits[0]) - softmax(parts[0])]
            found[name] = {
                "largest_probability_difference": float(np.abs(differences).max()),
                "label_agreement": float((predicted == answers).mean()),
                "balanced_accuracy": float(balanced_accuracy_score(labels, predicted)),
                "macro_f1": float(f1_score(labels, predicted, average="macro")),
                "megabytes": (folder / served.GRAPH).stat().st_size / 1e6,
            }
        difference = found["fp32"]["largest_probability_difference"]
        if not difference <= LARGEST_DIFFERENCE:
            raise UserError(
                f"export: {type(model).__name__} answers otherwise as ONNX: probabilities differ by up to "
                f"{difference:.3g}, at most {LARGEST_DIFFERENCE:g} is rounding"
            )
        chosen = choose(found) if variant == "auto" else variant
        with storage.whole(output) as temporary:
            shutil.copytree(folders[chosen], temporary)
            figures = {name: found[chosen][name] for name in ("balanced_accuracy", "macro_f1")}
            served.record_validation(temporary, {"rows": len(movies)} | figures)
    return {"variant": chosen, "version": served.read(output).version} | found


def choose(found: dict[str, Any]) -> str:
    """int8 where it answers nearly as torch does, else fp32."""
    figures, reference = found["int8"], found["torch"]["balanced_accuracy"]
    good = figures["label_agreement"] >= AGREEMENT and figures["balanced_accuracy"] >= reference - LOSS
    return "int8" if good else "fp32"


def build(model: ClassLogits, pad_id: int, source: Path, scratch: Path) -> dict[str, Path]:
    """A served folder of each variant in ``scratch``."""
    graphs = {name: scratch / f"{name}.onnx" for name in VARIANTS}
    _export_graph(model, graphs["fp32"])
    prepared = scratch / "prepared.onnx"
    quant_pre_process(graphs["fp32"], prepared, skip_symbolic_shape=True)
    quantize_dynamic(
        prepared,
        graphs["int8"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # processors without VNNI add products in 16 bits, which eight-bit weights overflow
    )
    for name, graph in graphs.items():
        served.write(scratch / name, source, graph, name, pad_id)
    return {name: scratch / name for name in VARIANTS}


def _export_graph(logits: ClassLogits, path: Path) -> None:
    # Two rows of unlike length: what the exporter sees once it takes for constant.
    ids = torch.arange(32).reshape(2, 16) % logits.model.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    axes = {0: "rows", 1: "tokens"}
    logits.eval()
    # Plain attention is the faster graph: the fused kind brings a guard against rows without any token.
    logits.model.set_attn_implementation("eager")
    with warnings.catch_warnings():
        # Of the tracer: sizes that it would freeze. That none is frozen is what the stage proves.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            logits,
            (ids, mask),
            str(path),
            dynamo=False,  # the newer exporter needs another package; that this one answers alike is proven above
            opset_version=OPSET,
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "rows"}},
        )
    graph = onnx.load(path)
    keep_first_token(graph)
    onnx.save(graph, path)


if __name__ == "__main__":
    run_stage(export, [MODEL, EXPORT_METRICS])
