"""The engines: the same bytes whatever stands beside a movie, bf16 where processor and model allow, and the cache."""

import json
import shutil
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from movie_ratings.core import processor, storage
from movie_ratings.model.batches import STEP, of_one_length
from movie_ratings.prediction import engines, served
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.prediction.engines import CPU, CUDA, OnnxRuntime, OpenVino, providers
from movie_ratings.training import graph
from tests.support.builders import ROOT, learnable
from tests.support.checkpoints import serve

openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install -r requirements-bf16.txt")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Movies with texts of many lengths."""
    return [movie | {"summary": "tidy story " * (place % 17)} for place, movie in enumerate(learnable(60))]


@pytest.fixture(params=["onnxruntime", "openvino"])
def classifier(served_model: Path, request: pytest.FixtureRequest) -> Classifier:
    found = Classifier.load(served_model)
    if request.param == "openvino":
        found._engine = OpenVino(served_model, "fp32")
    return found


def test_a_movie_has_the_same_bytes_alone_and_among_others(classifier: Classifier, rows: list[dict[str, Any]]) -> None:
    together = classifier.logits(rows)
    alone = np.concatenate([classifier.logits([movie]) for movie in rows], axis=1)
    few = np.concatenate([classifier.logits(rows[first : first + 7]) for first in range(0, len(rows), 7)], axis=1)
    assert together.tobytes() == alone.tobytes() == few.tobytes()


def test_threads_may_share_a_classifier(classifier: Classifier, rows: list[dict[str, Any]]) -> None:
    expected = [classifier.logits([movie]).tobytes() for movie in rows]
    with ThreadPoolExecutor(4) as pool:
        assert [found.tobytes() for found in pool.map(lambda movie: classifier.logits([movie]), rows)] == expected


def test_both_engines_predict_the_same(served_model: Path, rows: list[dict[str, Any]]) -> None:
    classifier = Classifier.load(served_model)
    expected = classifier.logits(rows)
    classifier._engine = OpenVino(served_model, "fp32")
    np.testing.assert_allclose(classifier.logits(rows), expected, atol=1e-5)
    # On a processor without instructions for bf16, OpenVINO computes in fp32.
    classifier._engine = OpenVino(served_model)
    assert classifier.precision == "bf16"
    np.testing.assert_allclose(classifier.logits(rows), expected, atol=0.1)


def test_the_export_stage_allows_bf16_where_it_predicts_nearly_the_same(served_model: Path, tmp_path: Path) -> None:
    checkpoint = Path(shutil.copytree(served_model.parent / "checkpoint", tmp_path / "checkpoint"))
    assert served.read(serve(checkpoint, bf16=True)).bf16


def test_bf16_is_taken_where_the_processor_has_it_and_the_model_allows_it(trained: Path) -> None:
    served.allow_bf16(trained)
    has = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert Classifier.load(trained, precision="auto").precision == ("bf16" if has else "fp32")
    assert Classifier.load(trained, precision="fp32").precision == "fp32"
    assert Classifier.load(trained).precision == "fp32"


def test_openvino_is_not_imported_on_a_processor_without_bf16(trained: Path) -> None:
    served.allow_bf16(trained)
    script = (
        "import sys; from movie_ratings.prediction.classifier import Classifier;"
        f"Classifier.load({str(trained)!r}, precision='auto'); print('openvino' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == str("bf16" in processor.present())


def test_a_model_that_was_not_measured_in_bf16_is_computed_in_fp32(trained: Path) -> None:
    assert not engines.computes_in_bf16(served.read(trained), "auto")
    served.allow_bf16(trained)
    assert engines.computes_in_bf16(served.read(trained), "auto")
    assert not engines.computes_in_bf16(served.read(trained), "fp32")


def test_a_graph_that_names_a_file_is_left_to_onnx_runtime(trained: Path) -> None:
    assert not engines._names_files(trained)
    model = onnx.load(trained / "model.onnx")
    onnx.save(model, trained / "model.onnx", save_as_external_data=True, location="elsewhere", size_threshold=0)
    assert engines._names_files(trained)


def test_another_graph_is_refused_by_both_engines_alike(trained: Path) -> None:
    model = onnx.load(trained / "model.onnx")
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5
    model.graph.output[0].name, last = "scores", model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = ["scores" if name == last else name for name in node.output]
    onnx.save(model, trained / "model.onnx")
    complaints = set()
    for load in (lambda: OpenVino(trained, "fp32"), lambda: OnnxRuntime(trained, [], "fp32")):
        with pytest.raises(Exception, match="it computes scores") as error:
            load()
        complaints.add(str(error.value))
    assert len(complaints) == 1


def test_fp32_on_a_gpu_is_not_rounded_to_tf32() -> None:
    assert providers([CUDA, CPU], "fp32") == [(CUDA, {"use_tf32": "0"}), CPU]
    assert providers([CUDA, CPU], "int8") == [CPU]
    assert providers(["AzureExecutionProvider", CPU], "fp32") == [CPU]


def test_all_weights_and_results_of_the_rounded_graph_are_bf16(served_model: Path, tmp_path: Path) -> None:
    graph.round_to_bf16(served_model / "model.onnx", tmp_path / "rounded.onnx")
    model = onnx.load(tmp_path / "rounded.onnx")
    # A product whose result is looked at behind its rounding.
    products = [node.output[0] for node in model.graph.node if node.op_type == "MatMul"]
    name = f"{products[0]}/rounded"
    model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "shown.onnx")
    import onnxruntime

    session = onnxruntime.InferenceSession(tmp_path / "shown.onnx", providers=["CPUExecutionProvider"])
    ids = np.arange(24, dtype=np.int64).reshape(2, 12) + 5
    found, logits = session.run([name, "logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    assert not (found.view(np.uint32) & 0xFFFF).any(), "bf16 is the upper half of fp32"
    exact = OnnxRuntime(served_model, [], "fp32").logits(ids, np.ones_like(ids))
    assert 0 < np.abs(logits - exact).max() < 0.1


def test_batches_are_of_one_padded_length_and_bounded() -> None:
    lengths = [3, 8, 9, 16, 17, 128, 126, 1, 8, 121]
    found = list(of_one_length(lengths, 126, 256))
    assert sorted(row for batch, _ in found for row in batch) == list(range(len(lengths)))
    for batch, padded in found:
        assert len(batch) * padded <= 256 or len(batch) == 1
        for row in batch:
            # Never beyond the positions of the model, but for a row that is longer itself.
            assert padded == max(lengths[row], min(-(-lengths[row] // STEP) * STEP, 126))


class Counted:
    """An engine that counts the rows that it computes."""

    def __init__(self, engine: engines.Engine):
        self._engine, self.precision, self.tokens, self.rows = engine, engine.precision, engine.tokens, 0

    def logits(self, ids: Any, mask: Any) -> Any:
        self.rows += len(ids)
        return self._engine.logits(ids, mask)


def test_a_text_that_comes_again_is_not_read_again(served_model: Path, rows: list[dict[str, Any]]) -> None:
    classifier = Classifier.load(served_model, cached=10)
    classifier._engine = engine = Counted(classifier._engine)
    different = [{"title": f"Film {place}"} for place in range(20)]
    first = classifier.predict(different[:10])
    assert engine.rows == 10
    assert classifier.predict(different[:10]) == first
    assert engine.rows == 10, "the texts are known"
    # The facts of the linear part are no text: a movie that differs in its writers alone is not the same movie.
    classifier.predict(different[5:15])
    assert engine.rows == 15
    classifier.predict(different[5:15])
    assert engine.rows == 15, "those wanted last are kept"
    classifier.predict(different[:5])
    assert engine.rows == 20, "those wanted longest ago made room"


def test_a_movie_of_another_writer_with_the_same_text_is_another_prediction(served_model: Path) -> None:
    classifier, fresh = Classifier.load(served_model, cached=10), Classifier.load(served_model)
    movie = {"title": "Film 7", "year": 1994, "directors": ["A B"], "cast": ["C D"], "spoken_languages": ["English"]}
    for writers in (["E F"], ["Nobody Else"], ["E F"]):
        assert classifier.predict([movie | {"writers": writers}]) == fresh.predict([movie | {"writers": writers}])


def test_without_a_cache_every_text_is_read(served_model: Path) -> None:
    classifier = Classifier.load(served_model)
    classifier._engine = engine = Counted(classifier._engine)
    for _ in range(2):
        classifier.predict([{"title": "Film 7"}, {"title": "Film 7"}])
    assert engine.rows == 2, "twice in one request is once"


def test_a_graph_that_openvino_cannot_read_falls_back_with_a_warning(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_capabilities", lambda: ["BF16"])  # as on a processor with bf16
    model = onnx.load(trained / "model.onnx")
    model.graph.node[-1].op_type, model.graph.node[-1].domain = "Unheard", "of.nobody"
    onnx.save(model, trained / "model.onnx")
    metadata = json.loads((trained / "movie_ratings.json").read_text())
    metadata["served"]["bf16"] = True
    metadata["served"]["sha256"]["model.onnx"] = storage.sha256(trained / "model.onnx")
    storage.write_json(trained / "movie_ratings.json", metadata)
    with warnings.catch_warnings(record=True) as caught, pytest.raises(Exception, match="cannot be loaded"):
        warnings.simplefilter("always")
        Classifier.load(trained, precision="auto")
    assert "OpenVINO cannot compute this model" in str(caught[0].message)
