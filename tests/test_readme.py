"""The figures and the commands that the README shows are those of the committed files."""

import json
import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def test_the_results_are_the_committed_metrics() -> None:
    evaluated = json.loads((ROOT / "metrics/evaluate.json").read_text())
    baselines = json.loads((ROOT / "metrics/baseline.json").read_text())
    for name, figures in {
        "majority class": baselines["majority"],
        "TF-IDF + logistic regression": baselines["tfidf_logreg"],
        "MiniLM, fine-tuned": evaluated,
    }.items():
        kinds = ("balanced_accuracy", "macro_f1", "accuracy", "log_loss")
        row = " | ".join([f"| {name}", *(f"{figures[kind]:.3f}" for kind in kinds)]) + " |"
        assert row in README


def test_the_throughput_is_the_committed_one() -> None:
    ratio = json.loads((ROOT / "benchmarks/throughput.json").read_text())["ratio"]["median"]
    assert f"{ratio:.1f} times as many movies a second" in README


def test_the_pipeline_times_are_the_committed_ones() -> None:
    found = json.loads((ROOT / "benchmarks/pipeline.json").read_text())
    assert f"took {found['repro_from_nothing_seconds']:.0f} seconds" in README
    assert f"{found['unchanged_repro_over_dvc_version']['median']:.1f} times as long as `dvc version`" in README


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", README))
    assert {"repro", "test"} <= named <= targets
