"""README.md and docs/: their figures are the committed ones, and what they name exists."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from benchmarks import _tables, _walk, pages
from benchmarks._figures import figures
from movie_ratings.core.errors import UserError
from tests import check_links
from tests.support.builders import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [page.read_text() for page in pages.pages(ROOT)]


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return pages.read(ROOT)


def test_every_page_holds_the_committed_figures() -> None:
    assert [str(page) for page, _ in pages.outdated(ROOT)] == []


def test_the_readme_has_its_table_and_every_figure_and_table_is_quoted_somewhere(results: dict[str, Any]) -> None:
    assert "| the model | 0." in README
    quoted = "\n".join(PAGES)
    assert [name for name in figures(results) if f"<!--{name}-->" not in quoted] == []
    assert [name for name in pages.tables(results) if f"<!-- {name} -->" not in quoted] == []


def test_a_figure_and_a_table_are_filled_and_the_rest_of_the_page_stays() -> None:
    text = "About <!--rate-->1<!--/--> a second.\n\n<!-- sizes -->\nold\n<!-- end of sizes -->\nEnd <!-- a remark -->\n"
    filled = pages.filled("page.md", text, {"sizes": "| new |"}, {"rate": "187"})
    assert filled == text.replace("-->1<", "-->187<").replace("old", "| new |")
    assert pages.filled("page.md", filled, {"sizes": "| new |"}, {"rate": "187"}) == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- nobody -->\n<!-- end of nobody -->\n", "docs/a.md: no table is called 'nobody'"),
        ("<!-- sizes -->\n| 1 |\n", "docs/a.md: the table 'sizes' has no <!-- end of sizes -->"),
        ("of <!--nobody-->1<!--/-->", "docs/a.md: no figure is called 'nobody'"),
        ("of <!--rate-->1, <!--rate-->2<!--/-->", "docs/a.md: the figure 'rate' has no <!--/-->"),
    ],
)
def test_a_marker_that_nothing_fills_is_refused_with_the_page_and_the_name(text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        pages.filled("docs/a.md", text, {"sizes": "| 2 |"}, {"rate": "2"})


def test_the_command_fills_a_page_and_check_only_says_which_page_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("benchmarks", "metrics", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    stale = re.sub(r"(<!--serving\.batch-->)[^<]*", r"\g<1>7", (ROOT / "docs/serving.md").read_text())
    (tmp_path / "docs/serving.md").write_text(stale)
    (tmp_path / "README.md").write_text(README)
    (tmp_path / "SECURITY.md").write_text((ROOT / "SECURITY.md").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["pages", "--check"])
    assert pages.main() == 1
    assert "docs/serving.md: differs" in capsys.readouterr().err
    assert (tmp_path / "docs/serving.md").read_text() == stale
    monkeypatch.setattr("sys.argv", ["pages"])
    assert pages.main() == 0
    assert (tmp_path / "docs/serving.md").read_text() == (ROOT / "docs/serving.md").read_text()
    (tmp_path / "README.md").write_text("<!--nobody-->1<!--/-->")
    assert pages.main() == 2
    assert capsys.readouterr().err == "error: README.md: no figure is called 'nobody'\n"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((0.50, 0.52, 0.54), "+0.020 for each doubling: 0.635 at 80,000"),
        ((0.60, 0.61, 0.64), "0.635 is reached"),
        ((0.60, 0.59, 0.58), "0.635: no growth to extrapolate"),
    ],
)
def test_the_learning_curve_says_how_many_movies_an_aim_needs(found: tuple[float, ...], expected: str) -> None:
    interval = {"interval_95": {kind: [0.4, 0.7] for kind in _tables.KINDS}}
    sizes = {
        str(rows): {"training_rows": rows}
        | {view: dict.fromkeys(_tables.KINDS, score) | interval for view in _tables.AIMS}
        for rows, score in zip((750, 1500, 3000), found, strict=True)
    }
    assert f"| extrapolated | {expected} |" in _tables.sizes_table({"sizes": sizes})


def gains(study: dict[str, Any], view: str, kind: str) -> dict[str, tuple[float, float]]:
    """How far the model is ahead of each baseline, and the lower end of the interval."""
    rows = {name: row["model_minus"] for name, row in study["baselines"][view].items()}
    return {name: (row["difference"][kind], row["interval_95"][kind][0]) for name, row in rows.items()}


@pytest.mark.parametrize("kind", _tables.KINDS)
def test_with_facts_the_model_is_ahead_of_every_baseline_beyond_chance_but_of_one_in_macro_f1(
    results: dict[str, Any], kind: str
) -> None:
    found = gains(results["study-sample"], "facts", kind)
    assert all(difference > 0 for difference, _ in found.values())
    assert {name for name, (_, low) in found.items() if low <= 0} == ({"catboost"} if kind == "macro_f1" else set())
    for view in _tables.VIEWS:
        assert all(low > 0 for _, low in gains(results["study-wikidata"], view, kind).values())


def test_the_probabilities_of_the_model_are_better_than_those_of_every_baseline(results: dict[str, Any]) -> None:
    for view in _tables.VIEWS:
        rows = results["study-sample"]["baselines"][view].values()
        assert all(row["model_minus"]["log_loss"]["interval_95"][1] < 0 for row in rows)


def test_no_fact_of_the_default_model_is_flagged(results: dict[str, Any]) -> None:
    assert results["audit"]["flagged"] == []
    assert results["audit"]["late"] == []
    assert results["audit"]["facts"]["all names"]["interval_95"][0] > 0
    assert results["audit"]["facts"]["track records"]["interval_95"][0] > 0


def test_without_facts_only_balanced_accuracy_is_ahead_of_every_baseline_beyond_chance(results: dict[str, Any]) -> None:
    study = results["study-sample"]
    assert all(low > 0 for _, low in gains(study, "plot", "balanced_accuracy").values())
    macro_f1 = gains(study, "plot", "macro_f1")
    assert all(difference > 0 for difference, _ in macro_f1.values())
    within_chance = {name for name, (_, low) in macro_f1.items() if low <= 0}
    assert within_chance == {"tfidf_logreg", "tfidf_ridge", "embeddings_boosting"}


def test_the_aims_that_are_reached_are_those_that_the_pages_name(results: dict[str, Any]) -> None:
    aims = {"study-sample": _tables.AIMS, "study-wikidata": {"facts": (0.63, 0.54)}}
    reached = {
        (study, view, kind)
        for study, views in aims.items()
        for view, figures_aimed_at in views.items()
        for kind, aim in zip(_tables.KINDS, figures_aimed_at, strict=True)
        if results[study]["model"][view]["model"][kind] >= aim
    }
    assert reached == {("study-wikidata", "facts", "macro_f1")}


def test_together_the_parts_of_the_model_are_better_than_either_but_in_macro_f1(results: dict[str, Any]) -> None:
    parts = results["study-sample"]["model"]["facts"]
    kind = "balanced_accuracy"
    assert parts["model"][kind] > max(parts["transformer"][kind], parts["linear"][kind])
    assert parts["transformer"]["macro_f1"] < parts["model"]["macro_f1"] < parts["linear"]["macro_f1"]
    assert parts["model"]["log_loss"] < min(parts["transformer"]["log_loss"], parts["linear"]["log_loss"])


def test_what_the_pages_say_of_the_benchmarks_without_a_figure_holds(results: dict[str, Any]) -> None:
    batch = results["serving"]["batch"]
    assert set(batch["labels_that_agree"].values()) == {1.0}
    assert batch["variant"] == "fp32"
    attack = results["abuse"]["attack"]
    assert attack["peak_megabytes"] < attack["aims"]["megabytes"]
    assert attack["honest"]["worst_seconds"] < attack["aims"]["latency_seconds"]
    assert attack["stop_seconds"] < attack["aims"]["stop_seconds"]
    assert set(attack["honest"]["statuses"]) == set(attack["readyz"]["statuses"]) == {"200"}
    killed = results["scale"]["killed"]
    assert killed["different"] == []
    assert set(killed["stages"]) == set(results["scale"]["stages"]["1000000"]), "each stage that was measured"
    assert results["collect"]["faults_20_percent_and_kills"]["equal_to_the_servers"]


def test_what_the_page_for_curators_says_of_its_lists_holds(results: dict[str, Any]) -> None:
    found = results["curator"]
    first, second = found["first_list"], found["second_list"]
    assert (first["films"], first["kills"], found["faults"]) == (500, 5, 0.1)
    assert first["equal_to_the_servers"]
    assert first["films_more_than_once"] == 0
    assert first["most_in_ten_seconds"] <= 10 * found["rate_limit"] * 1.05
    assert (second["files"], second["exit_code"], second["mailed"]) == (2, 0, "")
    assert second["first_file_is_as_it_was"]
    for row in found["outcome"]["rows"]:
        assert row["films"] == row["scored"] + row["few_votes"] + row["gone"]
    assert found["outcome"]["rows"][0]["asked"] == "before the release"
    assert "monitor: alarm: content of year" in found["commands"]["monitor"]["output"]


def test_a_long_output_is_shown_from_both_ends_and_a_short_one_whole() -> None:
    lines = [f"line {n}" for n in range(30)]
    commands = {"slate": {"command": "run", "output": lines}, "find": {"command": "find it", "output": lines[:9]}}
    shown = _walk.console(commands, ("slate", "find")).splitlines()
    assert shown == ["```console", "$ run", *lines[:5], "…", lines[-1], "$ find it", *lines[:9], "```"]


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
    assert len(README.split()) <= 1800


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in check_links.links(README)}
    assert {f"docs/{page.name}" for page in pages.pages(ROOT) if page.parent.name == "docs"} <= linked


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|\$ )make ([a-z-]+)", page)}
    assert {"repro", "test"} <= named <= targets


def test_everything_that_a_page_links_to_or_names_exists() -> None:
    assert list(check_links.faults(ROOT)) == []


def test_a_link_an_anchor_a_path_and_a_module_that_do_not_exist_are_each_reported(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/check_lock.py").touch()
    (tmp_path / "README.md").write_text(
        "# A *house*, drawn `twice`\n## Rooms\n## Rooms\n"
        "[here](#a-house-drawn-twice) [again](#rooms-1) [page](docs/a.md#b) [`code`](docs/a.md) ![](docs/none.png)\n"
        "[web](https://example.org/none) `[not](a-link)` `tests/*_lock.py` `tests/check_NAME.py` `tests/none.py`\n"
        "```\n[not](a-link)\n# not a heading\n$ python -m tests.none && python -m tests.check_lock\n```\n"
        "[gone](#not-a-heading) `python -m tests.NAME`\n"
    )
    (tmp_path / "docs/a.md").write_text("# b\n[up](../README.md#rooms) [away](../README.md#cellar)\n")
    assert list(check_links.faults(tmp_path)) == [
        "README.md: links to docs/none.png, which does not exist",
        "README.md: links to #not-a-heading, but no heading has this anchor",
        "README.md: names tests/none.py, which does not exist",
        "README.md: names the module tests.none, which does not exist",
        "docs/a.md: links to ../README.md#cellar, but no heading has this anchor",
    ]


def test_four_ratings_in_five_lie_in_their_interval(results: dict[str, Any]) -> None:
    found = {row["given"]: row for row in results["study-sample"]["intervals"] if row["slice"] == "all"}
    assert len(found) == 2
    assert all(0.77 <= row["interval_coverage"] <= 0.83 for row in found.values())


def test_the_ratings_are_nearer_to_the_truth_than_those_of_every_baseline(results: dict[str, Any]) -> None:
    study = results["study-sample"]
    for view in _tables.VIEWS:
        rows = study["baselines"][view]
        assert all(row["model_minus"]["mean_absolute_error"]["interval_95"][1] < 0 for row in rows.values())
    error = study["model"]["facts"]["model"]["mean_absolute_error"]
    assert error <= 0.85 * study["baselines"]["facts"]["majority"]["mean_absolute_error"]
