"""The served folder: what is refused before it is read, and what is followed or allowed beside the four files."""

import json
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.model import comparables, linear
from movie_ratings.movies.validation import validated
from movie_ratings.prediction import served
from movie_ratings.prediction.classifier import SIMILAR, Classifier

MOVIE = {"title": "Film 7", "summary": "A radiant vision.", "genres": ["Drama"]}


def write(path: Path, value: Any) -> None:
    """Write JSON as Python does, with NaN and infinity."""
    path.write_text(json.dumps(value))


def rehash(folder: Path) -> None:
    """Put the hashes of the files as they are into the metadata, as a person would who has edited them."""
    metadata = json.loads((folder / "movie_ratings.json").read_text())
    hashes = metadata["served"]["sha256"]
    metadata["served"]["sha256"] = {name: storage.sha256(folder / name) for name in hashes}
    write(folder / "movie_ratings.json", metadata)


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("thresholds", {"low": 7.0, "high": 5.0}, "thresholds.low must be below thresholds.high"),
        ("thresholds.low", "5", "thresholds.low must be a number"),
        ("text.fields", ["title", "plot"], r"text.fields\[1\] must be one of title"),
        ("text.max_length", 12.5, "text.max_length must be a whole number"),
        ("head.objective", "sorcery", "head.objective must be one of"),
        ("head.std", -1, "head.std must be a number from 0"),
        ("answerings.facts.calibration.bias", [0.1, 0.2], "bias must be a list of 3 numbers, found a list of 2"),
        ("answerings.facts.calibration.scales", [1.0], "different numbers of scales"),
        ("answerings.plot.calibration.scales", [1.0, 2.0, 3.0], "scales must be a list of 1 or 2 numbers"),
        ("answerings.plot.decision.offsets", [0, 0, None], r"offsets\[2\] must be a number"),
        ("answerings.plot.decision.offsets", [0, 0, 1e300], r"offsets\[2\] must be a number"),
        ("answerings.plot.decision.strength", math.nan, "NaN is no number"),
        ("answerings.plot.decision.rule", ["argmax"], "rule must be one of"),
        (
            "answerings.facts.interval",
            {"low": 1.0, "high": -1.0},
            "low must not be above answerings.facts.interval.high",
        ),
        ("answerings.plot.interval.high", "wide", "interval.high must be a number"),
        ("base_rates", [0.5, 0.5], "base_rates must be a list of 3 numbers"),
        ("base_rates", [0.5, 0.5, 0.0], r"base_rates\[2\] must be a number from 1e-09"),
        ("answerings.plot", None, "answerings.plot must be an object, found None"),
        ("origin", [], "origin must be an object"),
        ("origin.model", "\ud800", "not the metadata of a served model .*surrogates not allowed"),
        ("classes", {"bad": 1}, "classes an object of 1, expected"),
        ("served", 7, "served must be an object, found 7"),
        ("served.variant", "fp16", "served.variant must be one of fp32, int8"),
        ("served.bf16", "yes", "served.bf16 must be true or false"),
        ("served.pad_id", -1, "served.pad_id must be a whole number"),
        ("served.pad_id", 10**400, "served.pad_id must be a whole number .*found a number of more than 60 digits"),
        ("served.sha256", {}, "served.sha256.model.onnx is missing"),
        ("served.sha256.extra", "0" * 63, "served.sha256.extra must be 64 hexadecimal digits"),
        ("served.sha256.../evil", "0" * 64, "which is no file of this folder"),
        ("served.sha256.weights", "0" * 64, "weights: no such file"),
        ("served.validation", {"rows": "many"}, "served.validation.rows must be a whole number"),
        ("served.validation", {"rows": 9}, "served.validation.balanced_accuracy is missing"),
    ],
)
def test_a_wrong_value_in_the_metadata_is_named(trained: Path, place: str, value: Any, complaint: str) -> None:
    path = trained / "movie_ratings.json"
    metadata = json.loads(path.read_text())
    before, _, name = place.partition("sha256.") if "sha256." in place else place.rpartition(".")
    inside = metadata
    for key in filter(None, f"{before}sha256".split(".") if "sha256." in place else before.split(".")):
        inside = inside[key]
    inside[name] = value
    write(path, metadata)
    with pytest.raises(UserError, match=complaint) as caught:
        Classifier.load(trained)
    assert len(str(caught.value).splitlines()) == 1


ODD: tuple[Any, ...] = (None, True, "7", 10**400, 1e308, math.nan, [], {})


def leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each object or list in a JSON value, with each of its keys."""
    if isinstance(value, dict | list):
        for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
            yield value, key
            yield from leaves(inner)


@pytest.mark.slow
def test_an_odd_value_anywhere_is_one_line_or_a_model_that_predicts(trained: Path) -> None:
    path = trained / "movie_ratings.json"
    metadata = json.loads(path.read_text())
    classifier = Classifier.load(trained)
    refused = 0
    for inside, key in list(leaves(metadata)):
        kept = inside[key]
        for value in ODD:
            inside[key] = value
            write(path, metadata)
            try:
                found = served.read(trained)
            except UserError:
                refused += 1
                continue
            if found.metadata == classifier.metadata:
                continue
            classifier._model = found
            for prediction in classifier.predict([{"title": "A"}, MOVIE | {"year": 1994, "cast": ["B"]}]):
                assert sum(prediction.probabilities.values()) == pytest.approx(1)
        inside[key] = kept
    assert refused > 300


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        ("facts", None, "facts must be an object"),
        ("facts.intercept", None, "facts.intercept must be a number"),
        ("facts.intercept", math.inf, "Infinity is no number"),
        ("facts.spread", 0, "facts.spread must be a number from 1e-09"),
        ("plot.fields", "title", "plot.fields must be a list of names"),
        ("plot.words", {"film": [1.0]}, "plot.words holds a word without two finite numbers"),
        ("plot.words", {"film": ["1", 2.0]}, "plot.words holds a word without two finite numbers"),
        ("plot.words", {"film": [1.0, "1e999"]}, "plot.words holds a word without two finite numbers"),
        ("plot.words", {"film": 1.0}, "plot.words holds a word without two"),
        ("plot.words", ["film"], "plot.words must be an object"),
        ("facts.facts", {"genres=Drama": 10**400}, "facts.facts holds a weight that is not a finite number"),
        ("facts.facts", {"genres=Drama": True}, "facts.facts holds a weight that is not a finite number"),
    ],
)
def test_a_wrong_value_in_the_linear_part_is_named(trained: Path, place: str, value: Any, complaint: str) -> None:
    path = trained / linear.FILE
    found = json.loads(path.read_text())
    *before, name = place.split(".")
    inside = found[before[0]] if before else found
    inside[name] = value
    path.write_text(json.dumps(found).replace('"1e999"', "1e999"))
    rehash(trained)
    with pytest.raises(UserError, match=complaint):
        Classifier.load(trained)


def test_json_with_a_million_brackets_is_one_line(trained: Path) -> None:
    (trained / "movie_ratings.json").write_text("[" * 900_000)
    with pytest.raises(UserError, match=r"movie_ratings\.json: not valid JSON"):
        Classifier.load(trained)


def graph(*, output: str = "logits", classes: int = 3, fill: float = 0.0, vocabulary: int = 1_000) -> onnx.ModelProto:
    """A graph that looks each token up in a table of numbers and answers with the sums."""
    helper, ints = onnx.helper, onnx.TensorProto.INT64
    table = np.full((vocabulary, classes), fill, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["found"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["found", "wide"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "middle"], [output], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(name, ints, ["r", "t"]) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, ["r", classes])]
    fixed = [onnx.numpy_helper.from_array(np.array([axis]), name) for axis, name in ((2, "last"), (1, "middle"))]
    initial = [onnx.numpy_helper.from_array(table, "table"), *fixed]
    made = helper.make_graph(nodes, "tiny", inputs, outputs, initial)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"output": "scores"}, "not the graph of a served model, it computes scores"),
        ({"classes": 4}, "not the graph of a served model, it computes logits"),
    ],
)
def test_another_graph_is_refused_when_it_is_loaded(trained: Path, changes: dict[str, Any], complaint: str) -> None:
    onnx.save(graph(**changes), trained / "model.onnx")
    rehash(trained)
    with pytest.raises(UserError, match=complaint):
        Classifier.load(trained)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fill": math.nan}, "cannot predict \\(a probability is not a finite number\\)"),
        ({"vocabulary": 1}, "cannot predict \\(.*INVALID_ARGUMENT"),
    ],
)
def test_a_graph_that_fails_at_a_prediction_is_one_line(trained: Path, changes: dict[str, Any], complaint: str) -> None:
    onnx.save(graph(**changes), trained / "model.onnx")
    rehash(trained)
    with pytest.raises(UserError, match=f"model [0-9a-f]{{12}} {complaint}"):
        Classifier.load(trained).predict([MOVIE])


def with_weights_outside(folder: Path) -> Path:
    """The served folder of the checkpoint beside it, with a graph whose table stands in a second file."""
    scratch = folder.parent / "graph"
    scratch.mkdir()
    onnx.save(graph(fill=0.25), scratch / "model.onnx", save_as_external_data=True, location="weights.bin")
    made = folder.parent / "outside"
    served.write(made, folder, scratch / "model.onnx", "fp32", 0, [scratch / "weights.bin"])
    return made


def test_weights_beside_the_graph_belong_to_the_version(trained: Path) -> None:
    folder = with_weights_outside(trained)
    classifier = Classifier.load(folder)
    assert classifier.predict([MOVIE])
    weights = folder / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(UserError, match=r"weights\.bin: not the file that movie_ratings\.json names"):
        Classifier.load(folder)
    metadata = json.loads((folder / "movie_ratings.json").read_text())
    del metadata["served"]["sha256"]["weights.bin"]
    write(folder / "movie_ratings.json", metadata)
    with pytest.raises(UserError, match=r"weights\.bin: movie_ratings\.json does not name this file"):
        Classifier.load(folder)
    weights.unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        Classifier.load(folder)


def test_a_published_folder_is_loaded_unless_the_graph_reads_a_file_of_the_transformer(trained: Path) -> None:
    for name in ("README.md", "config.json", "model.safetensors"):
        (trained / name).write_bytes(b"x" * 4_000)
    assert Classifier.load(trained).predict([MOVIE])
    options = {"location": "model.safetensors", "size_threshold": 1_000}
    onnx.save(graph(), trained.parent / "model.onnx", save_as_external_data=True, **options)  # type: ignore[arg-type]
    (trained.parent / "model.onnx").rename(trained / "model.onnx")
    rehash(trained)
    with pytest.raises(UserError, match=r"model\.safetensors: movie_ratings\.json does not name this file"):
        Classifier.load(trained)


def test_a_link_may_lead_to_a_file_of_the_cache_or_of_the_folder(trained: Path, workspace: Path) -> None:
    folder = with_weights_outside(trained)
    version = Classifier.load(folder).version
    for number, path in enumerate(sorted(folder.iterdir())):
        target = workspace / f"shared/files/md5/{number:02x}/{'a' * 30}"
        target.parent.mkdir(parents=True)
        path.rename(target)
        path.symlink_to(target)
    classifier = Classifier.load(folder)
    assert classifier.version == version
    assert classifier.predict([MOVIE])
    for elsewhere in ("/etc/passwd", "/dev/zero", "no/such/file"):
        (folder / "movie_ratings.json").unlink()
        (folder / "movie_ratings.json").symlink_to(elsewhere)
        with pytest.raises(UserError, match=r"movie_ratings\.json: a link, which could lead anywhere"):
            Classifier.load(folder)


@pytest.mark.slow
def test_the_links_that_dvc_makes_are_followed(trained: Path) -> None:
    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)

    version = Classifier.load(trained).version
    dvc("init", "--quiet", "--no-scm")
    dvc("config", "cache.type", "symlink")
    dvc("config", "cache.dir", str(Path("shared").resolve()))
    dvc("add", "--quiet", "models/movie-rating")
    assert all(path.is_symlink() for path in trained.iterdir())
    assert Classifier.load(trained).version == version


def test_the_version_does_not_depend_on_the_comparable_films(trained: Path) -> None:
    before = Classifier.load(trained)
    movie = validated({"title": "Film"})
    assert len(before.comparables([movie])[0]) == SIMILAR
    served.leave_out_comparables(trained)
    after = Classifier.load(trained)
    assert after.version == before.version
    assert after.comparables([movie]) == [[]]
    assert after.predict([movie]) == before.predict([movie])
    (trained / comparables.FILE).write_bytes(b"")
    with pytest.raises(UserError, match=r"movie_ratings\.json does not name this file"):
        Classifier.load(trained)


def test_changed_comparable_films_are_refused(trained: Path) -> None:
    path = trained / comparables.FILE
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(UserError, match=r"comparables\.parquet: not the file that movie_ratings\.json names"):
        Classifier.load(trained)


def test_a_folder_from_anywhere_runs_nothing(trained: Path) -> None:
    (trained / "pytorch_model.bin").write_bytes(pickle.dumps(Mischief()))
    (trained / "config.json").write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    (trained / "evil.py").write_text("raise SystemExit('ran')")

    def refused(complaint: str) -> None:
        with pytest.raises(UserError, match=complaint):
            Classifier.load(trained)
        assert not Path("ran").exists()

    for name in ("evil.py", "pytorch_model.bin"):
        refused(f"{name}: movie_ratings.json does not name this file; move it out of the folder")
        (trained / name).unlink()
    assert Classifier.load(trained).predict([{"title": "Film"}])

    whole = (trained / "tokenizer.json").read_bytes()
    (trained / "tokenizer.json").write_bytes(whole[:-1] + b" }")
    refused(r"tokenizer\.json: not the file that movie_ratings\.json names: damaged")
    with (trained / "tokenizer.json").open("wb") as file:
        file.truncate(1 << 30)
    refused(r"tokenizer\.json: 1,073,741,824 bytes, no model needs more")
    (trained / "tokenizer.json").unlink()
    refused(r"tokenizer\.json: no such file")
    (trained / "tokenizer.json").symlink_to("/etc/passwd")
    refused(r"tokenizer\.json: a link, which could lead anywhere")


class Mischief:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)
