"""Export: every architecture that the pipeline trains answers as ONNX as it does in torch, or the stage fails."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from movie_ratings.core.errors import UserError
from movie_ratings.evaluation.parity import Parity, choose
from movie_ratings.model import checkpoint, linear
from movie_ratings.model.decision import facts_known
from movie_ratings.movies.text import encode
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.training import graph
from movie_ratings.training.transformer import Transformer
from stages import export
from tests.support.builders import largest_file, read_params, tiny_options
from tests.support.checkpoints import deberta_as_on_the_hub, rows, run

MOVIES = [{"title": f"Film {n}", "summary": "story " * (n % 12), "genres": ["Drama"] * (n % 3)} for n in range(40)]


@pytest.fixture(scope="module", params=["bert", "deberta-v2"])
def trained(request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of each architecture, which the tests only read."""
    folder = tmp_path_factory.mktemp(request.param)
    model = tiny_model if request.param == "bert" else deberta_as_on_the_hub(folder / "deberta")
    run(tiny_options(read_params(), model, train__epochs=4), folder)
    return folder / "checkpoint"


@pytest.mark.slow
def test_torch_fp32_and_int8_answer_alike(trained: Path, tmp_path: Path) -> None:
    transformer, metadata = Transformer.load(trained), checkpoint.read(trained)
    assert len({len(row) for row in encode(transformer.tokenizer.backend_tokenizer, MOVIES, metadata.text)}) > 5
    parts = np.stack([transformer.logits(MOVIES), linear.read(trained).logits(MOVIES)])
    reference, _ = metadata.answerings.answer(parts, facts_known(MOVIES, metadata.text.fields))
    for variant in ("fp32", "int8"):
        found = export.export_checkpoint(trained, tmp_path / variant, rows(40), variant)
        classifier = Classifier.load(tmp_path / variant)
        assert (found["variant"], found["version"]) == (variant, classifier.version)
        together, _ = classifier.answer(MOVIES)
        alone = np.concatenate([classifier.answer([movie])[0] for movie in MOVIES])
        if variant == "fp32":
            assert np.abs(together - reference).max() < 1e-4
            assert np.abs(alone - reference).max() < 1e-4
        else:
            # Numbers of a width of 32 do not average out as those of a real model do.
            assert found["int8"]["label_agreement"] > 0.6
            assert np.abs(together - reference).mean() < 0.2


@pytest.mark.slow
def test_weights_too_large_for_a_graph_stand_beside_it(trained: Path, tmp_path: Path) -> None:
    transformer = Transformer.load(trained)
    whole, parted = (
        export.build(transformer, trained, tmp_path / name, largest)
        for name, largest in (("whole", graph.LARGEST), ("parted", 10_000))
    )
    for variant, folder in parted.items():
        names, others = ({path.name for path in found.iterdir()} for found in (folder, whole[variant]))
        assert names - others == {"model.onnx.data"}
        weights = folder / "model.onnx.data"
        assert weights.stat().st_size > 10_000
        assert Classifier.load(folder).predict(MOVIES) == Classifier.load(whole[variant]).predict(MOVIES)
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
        with pytest.raises(UserError, match=r"model\.onnx\.data: not the file that movie_ratings\.json names"):
            Classifier.load(folder)


@pytest.mark.slow
def test_an_export_that_was_killed_leaves_nothing_once_it_is_repeated(
    served_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, running, killed = served_model.parent / "checkpoint", tmp_path / "running", tmp_path / "killed"
    compare = Parity.compare

    def copied(self: Parity, folders: Mapping[str, Path]) -> dict[str, Any]:
        shutil.copytree(running, killed)  # what a kill at this moment would leave
        return compare(self, folders)

    with monkeypatch.context() as patch:
        patch.setattr(Parity, "compare", copied)
        export.export_checkpoint(trained, running / "served", rows(40), "fp32")
    assert list(killed.iterdir())
    export.export_checkpoint(trained, killed / "served", rows(40), "fp32")
    assert list(killed.iterdir()) == [killed / "served"]


def test_a_disk_without_room_for_the_quantiser_is_one_line(served_model: Path, tmp_path: Path) -> None:
    with largest_file(300_000), pytest.raises(UserError, match=r"int8\.onnx: File too large$"):
        graph.quantise(served_model / "model.onnx", tmp_path / "int8.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_what_was_measured_is_told(trained: Path, tmp_path: Path) -> None:
    found = export.export_checkpoint(trained, tmp_path / "served", rows(60), "auto")
    assert found["rows"] == 60
    assert found["fp32"]["label_agreement"] == 1.0
    assert found["fp32"]["largest_probability_difference"] < 1e-4
    assert found["int8"].keys() == found["fp32"].keys()
    assert found["variant"] == choose(found)
    assert sorted(path.name for path in (tmp_path / "served").iterdir()) == [
        "linear.json",
        "model.onnx",
        "movie_ratings.json",
        "tokenizer.json",
        "track_records.npy",
    ]
    assert not list(tmp_path.glob(".*.tmp"))


@pytest.mark.parametrize(
    ("agreement", "accuracy", "variant"),
    [(0.995, 0.6, "int8"), (0.995, 0.596, "int8"), (0.985, 0.6, "fp32"), (0.995, 0.594, "fp32")],
)
def test_int8_is_served_only_where_it_answers_nearly_alike(agreement: float, accuracy: float, variant: str) -> None:
    figures = {"label_agreement": agreement, "balanced_accuracy": accuracy}
    assert choose({"torch": {"balanced_accuracy": 0.6}, "int8": figures}) == variant


def test_a_graph_that_answers_otherwise_fails_the_stage(
    served_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = served_model.parent / "checkpoint"
    honest = Transformer.logits
    monkeypatch.setattr(Transformer, "logits", lambda *arguments: honest(*arguments)[::-1])
    with pytest.raises(UserError, match="export: BertForSequenceClassification answers otherwise as ONNX"):
        export.export_checkpoint(trained, tmp_path / "served", rows(40), "auto")
    assert not (tmp_path / "served").exists()
    with pytest.raises(UserError, match="the validation split has no rows to compare on"):
        export.export_checkpoint(trained, tmp_path / "served", rows(40).slice(0, 0), "auto")


@pytest.mark.slow
def test_the_last_layer_computes_the_first_token_alone(trained: Path, tmp_path: Path) -> None:
    export.export_checkpoint(trained, tmp_path / "served", rows(40), "fp32")
    nodes = onnx.load(tmp_path / "served" / "model.onnx").graph.node
    sliced = [node.output[0] for node in nodes if node.output[0].endswith("/first_token")]
    # What attention hands over, and the residual around it: both at the top of the second of two layers.
    assert len(sliced) == 2
    assert all("layer.1" in name or "layer.0/output" in name for name in sliced)
