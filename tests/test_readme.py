"""The figures and the commands that the README shows are those of the committed files."""

import json
import re

import pytest

from benchmarks import readme
from benchmarks._clone import STAGES
from tests.support.builders import ROOT

README = (ROOT / "README.md").read_text()


def test_the_result_tables_are_made_of_the_committed_figures() -> None:
    tables = readme.made(ROOT)
    for page in readme.PAGES:
        text = (ROOT / page).read_text()
        assert readme.filled(text, tables) == text
    assert "| the model | 0." in README


def test_a_page_that_asks_for_an_unknown_table_is_told_so() -> None:
    with pytest.raises(KeyError, match="nobody"):
        readme.filled("<!-- nobody -->\n<!-- end of nobody -->\n", {})


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ((0.50, 0.52, 0.54), "+0.020 a doubling: 0.62 at 50,000"),
        ((0.60, 0.61, 0.63), "0.62 is reached"),
        ((0.60, 0.59, 0.58), "0.62: no growth to go by"),
    ],
)
def test_the_learning_curve_tells_how_many_movies_an_aim_needs(figures: tuple[float, ...], told: str) -> None:
    interval = {"interval_95": {kind: [0.4, 0.7] for kind in readme.KINDS}}
    sizes = {
        str(rows): {"training_rows": rows}
        | {view: dict.fromkeys(readme.KINDS, found) | interval for view in readme.AIMS}
        for rows, found in zip((750, 1500, 3000), figures, strict=True)
    }
    assert f"| extrapolated | {told} |" in readme.sizes_table({"sizes": sizes})


def test_the_throughput_is_the_committed_one() -> None:
    found = json.loads((ROOT / "benchmarks/throughput.json").read_text())
    assert f"{found['ratio']['median']:.1f} times as many movies a second" in README
    three, four = (found["frozen"][layers]["ratio"]["median"] for layers in ("3", "4"))
    assert f"three layers frozen, {three:.1f} times as many again, with four {four:.1f} times" in README


def test_the_comparison_with_a_script_is_as_committed() -> None:
    found = json.loads((ROOT / "benchmarks/scale.json").read_text())["script"]
    megabytes = found["megabytes"]
    told = f"is {found['times_as_long']['median']:.1f} times as fast with {megabytes['script'] / megabytes['ours']:.1f}"
    assert f"{told} times the memory" in " ".join(README.split())


def test_what_kills_tokenising_and_prediction_cost_is_as_committed() -> None:
    found = json.loads((ROOT / "benchmarks/scale.json").read_text())
    told = " ".join(README.split())
    killed, share = found["killed"], found["tokenising"]["share_of_the_library_alone"]["median"]
    assert killed["different"] == []
    assert f"at {killed['rows']:,} movies each stage was killed half-way" in told
    assert f"all {killed['outputs']} outputs had the bytes of the undisturbed run" in told
    assert set(killed["stages"]) == set(STAGES)
    assert f"made at {share:.0%} of the speed of the tokenizers library alone" in told
    few, many = (found["prediction"][rows]["megabytes"] for rows in ("100000", "1000000"))
    assert f"ten times more movies than 100,000 take {many / few - 1:.0%} more memory" in told


def test_the_collecting_is_as_committed() -> None:
    found = json.loads((ROOT / "benchmarks/collect.json").read_text())
    slow, fast = found["ceiling_40_latency_100_ms"], found["ceiling_1000_latency_20_ms"]
    text = " ".join(README.split())
    assert f"{slow['sustained']:.1f} a second sustained and at most {slow['most_in_one_second']} in any" in text
    assert f"{slow['ratio']:.1f} times the original's one after another" in text
    assert f"1,000 allowed, {fast['sustained']:.0f} a second" in text
    assert found["faults_20_percent_and_kills"]["equal_to_the_servers"]


def test_the_reading_of_files_is_as_committed() -> None:
    found = json.loads((ROOT / "benchmarks/files.json").read_text())
    read, written = (found[task]["speed_over_pandas"]["median"] for task in ("read", "read_and_write"))
    text = " ".join(README.split())
    assert f"at {read:.2f} times the speed of pandas' bare `read_csv`" in text
    assert f"written by both, at {written:.2f} times; in {found['read_and_write']['peak_megabytes']:.0f} MB" in text


def test_the_pipeline_times_are_the_committed_ones() -> None:
    found = json.loads((ROOT / "benchmarks/pipeline.json").read_text())
    assert f"took {found['repro_from_nothing_seconds']:.0f} seconds" in README
    assert f"{found['unchanged_repro_over_dvc_version']['median']:.1f} times as long as `dvc version`" in README


def test_the_serving_figures_are_the_committed_ones() -> None:
    found = json.loads((ROOT / "benchmarks/serving.json").read_text())
    text = " ".join(README.split())
    batch, line, http, over = (found[name] for name in ("batch", "command_line", "http", "overload"))
    megabytes = found["memory"]["resident_megabytes"]
    for told in (
        f"{batch['movies_per_second']['ours']['median']:.0f} a second, ",
        f"{batch['times_the_original']['median']:.1f} times the original's classifier",
        f"{batch['times_the_pipeline']['median']:.1f} times `transformers.pipeline`",
        f"{line['seconds']['median']:.1f} s and {line['peak_megabytes']:.0f} MB",
        f"alone takes {line['importing_transformers_seconds']['median']:.1f} s",
        f"{http['answered_a_second']:.0f} a second, {http['share_of_batch_throughput']:.0%} of what batches reach",
        f"within {http['answered']['p99_seconds']:.2f} s",
        f"answered within {over['answered']['p99_seconds']:.2f} s (99%)",
        f"refused in {1000 * over['refused']['p50_seconds']:.1f} ms",
        f"client waits {1000 * over['one_client_right_after']['p50_seconds']:.0f} ms",
        f"{megabytes[0]:.0f} MB at their start, {megabytes[-1]:.0f} MB at their end",
    ):
        assert told in text
    # "all labels in agreement", "the default model in fp32"
    assert set(batch["labels_that_agree"].values()) == {1.0}
    assert batch["variant"] == "fp32"


def test_the_images_size_is_the_committed_one() -> None:
    found = json.loads((ROOT / "benchmarks/image.json").read_text())["megabytes"]
    text = " ".join(README.split())
    assert f"{found['packages']:.0f} MB of packages" in text
    assert f"{found['model']:.0f} MB of model" in text


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z]+)", README))
    assert {"repro", "test"} <= named <= targets
