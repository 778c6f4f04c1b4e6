"""The results of benchmarks name the processor that they were measured on."""

from pathlib import Path

import pytest

from benchmarks import _processor, _results
from movie_ratings.core import storage


def test_results_are_written_with_the_processor_and_its_measured_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_results, "FOLDER", tmp_path)
    assert _results.read("speed") == {}
    _results.write("speed", {"seconds": 3})
    found = _results.read("speed")
    assert found == storage.read_json(tmp_path / "speed.json")
    assert found["seconds"] == 3
    processor = found["processor"]
    assert processor["model"]
    assert processor["cores"] > 0
    assert processor["gflops"]["fp32"] > 0.1
    words = _processor.in_words(processor)
    assert processor["model"] in words
    assert "GFLOP/s in fp32" in words


def test_results_of_an_unknown_processor_are_described_as_such() -> None:
    assert _processor.in_words(None) == "a processor that was not recorded"
    old = {
        "model": "Example",
        "cores": 2,
        "instructions": ["avx2", "avx512_vnni"],
        "gflops": {"fp32": 99.6, "bf16": 7.2},
    }
    assert _processor.in_words(old) == "Example, 2 cores with AVX2, AVX512-VNNI: 100 GFLOP/s in fp32, 7 GFLOP/s in bf16"
