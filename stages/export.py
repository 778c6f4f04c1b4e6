"""Export: the checkpoint as an ONNX model for serving; models/checkpoint → models/movie-rating.

The stage makes two variants: fp32, and int8, with quantised weights and activations. Both predict movies of the
validation split as they will be served. The stage fails if a probability of fp32 differs from that of torch by more
than 0.001. With export.variant auto, int8 is served if it predicts the class of torch for at least 99% of the movies
and loses at most half a percentage point of balanced accuracy; else fp32 is served. By the same figures, the stage
decides whether the fp32 graph may be computed in bf16 on processors with instructions for it: it predicts with a graph
whose results are rounded to bf16. metrics/details/export.json holds all figures. Movies of the training split are
stored as comparable films.
"""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from movie_ratings import params
from movie_ratings.core import storage
from movie_ratings.core.command import run_stage
from movie_ratings.core.paths import CHECKPOINT, EXPORT_DETAILS, MODEL
from movie_ratings.core.rounding import rounded
from movie_ratings.evaluation.parity import Parity, choose, predicts_nearly_the_same
from movie_ratings.model.comparables import Comparables
from movie_ratings.movies import splits
from movie_ratings.movies.rows import Movies
from movie_ratings.prediction import served
from movie_ratings.prediction.served import Variant
from movie_ratings.training import graph
from movie_ratings.training.transformer import Transformer

BF16: Final = "bf16"
COMPARED: Final = 5_000  # validation movies, at most, that torch and both variants predict


def export() -> None:
    options = params.load().export
    train = splits.read("train", options.comparables) if options.comparables else None
    films = Comparables.of(Movies(train)) if train is not None else None
    validation = splits.read("validation", COMPARED)
    found = export_checkpoint(Path(CHECKPOINT), Path(MODEL), validation, options.variant, films)
    storage.write_json(EXPORT_DETAILS, rounded(found))
    figures = found[found["variant"]]
    print(
        f"export: {found['variant']}, {figures['megabytes']:.0f} MB, "
        f"labels agree with torch on {figures['label_agreement']:.1%} of {found['rows']:,} movies"
    )


def export_checkpoint(
    source: Path,
    output: Path,
    validation: pa.Table,
    variant: str,
    films: Comparables | None = None,
    largest: int = graph.LARGEST,
) -> dict[str, Any]:
    """Write the served folder ``output``, with comparable ``films`` if there are any; return its figures.

    The figures are those on the movies of ``validation``. A model with more than ``largest`` bytes of weights has them
    in a file beside the graph.

    Raises:
        UserError: the checkpoint cannot be loaded, there is no movie to compare on, or fp32 differs from torch.
    """
    transformer = Transformer.load(source)
    parity = Parity(source, transformer, validation)
    with storage.scratch(output) as scratch:
        folders = build(transformer, source, scratch, largest)
        found = parity.compare(folders)
        chosen = choose(found) if variant == "auto" else variant
        figures = {name: found[chosen][name] for name in ("balanced_accuracy", "macro_f1")}
        with storage.whole(output) as temporary:
            folders[chosen].rename(temporary)
            served.record_validation(temporary, {"rows": found["rows"]} | figures)
            if chosen == "fp32" and predicts_nearly_the_same(found, BF16):
                served.allow_bf16(temporary)
            if films is not None:
                served.add_comparables(temporary, films)
    return {"variant": chosen, "version": served.read(output).version} | found


def build(transformer: Transformer, source: Path, scratch: Path, largest: int) -> dict[str, Path]:
    """A served folder of each variant in ``scratch``, and of the fp32 graph as bf16 rounds it.

    A graph whose weights stand beside it is served in fp32 or int8 alone.
    """
    # A graph holds the name of the file with its weights, so that it has its final name from the start.
    variants: tuple[Variant, ...] = ("fp32", "int8")
    graphs = {variant: scratch / "graphs" / variant / served.GRAPH for variant in variants}
    graph.export(transformer, graphs["fp32"], largest)
    graph.quantise(graphs["fp32"], graphs["int8"])
    for variant, path in graphs.items():
        served.write(scratch / variant, source, path, variant, transformer.pad_id, graph.weights_beside(path))
    folders = {str(variant): scratch / variant for variant in variants}
    if not graph.weights_beside(graphs["fp32"]):
        path = scratch / "graphs" / BF16
        graph.round_to_bf16(graphs["fp32"], path)
        folders[BF16] = scratch / BF16
        served.write(folders[BF16], source, path, "fp32", transformer.pad_id)
    return folders


if __name__ == "__main__":
    run_stage(export, [MODEL, EXPORT_DETAILS])
