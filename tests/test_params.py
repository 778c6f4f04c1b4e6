from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import modify_yaml
from ruamel.yaml import YAML

from movie_ratings import params
from movie_ratings.core.errors import UserError
from tests.support.builders import ROOT


def write(path: Path, values: Any) -> Path:
    YAML().dump(values, path)
    return path


def test_the_repository_parameters_are_valid() -> None:
    assert params.load(ROOT / "params.yaml").fetch.source == "sample"


@pytest.mark.parametrize(
    ("group", "key", "value", "complaint"),
    [
        ("train", "learning_rat", 1.0, "train.learning_rat is not a parameter"),
        ("train", "learning_rate", "fast", "train.learning_rate: input should be a valid number (found 'fast')"),
        ("train", "epochs", 0, "train.epochs: input should be greater than 0"),
        ("train", "epochs", 2.5, "train.epochs"),
        ("train", "epochs", True, "train.epochs"),
        ("fetch", "source", "omdb", "fetch.source"),
        ("labels", "quantiles", [0.8, 0.2], "quantiles must be two rising numbers"),
        ("labels", "fixed", [7.0, 7.0], "fixed must be two rising ratings"),
        ("split", "fractions", {"train": 0.7, "validation": 0.2, "test": 0.2}, "split.fractions"),
        ("text", "fields", ["title", "vote_count"], "text.fields.1"),
        ("train", "learning_rate", float("nan"), "train.learning_rate"),
    ],
)
def test_a_wrong_value_is_named(
    raw_params: dict[str, Any], tmp_path: Path, group: str, key: str, value: Any, complaint: str
) -> None:
    raw_params[group][key] = value
    with pytest.raises(UserError) as error:
        params.load(write(tmp_path / "params.yaml", raw_params))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_key_and_a_missing_group_are_named(raw_params: dict[str, Any]) -> None:
    del raw_params["clean"]["min_votes"]
    del raw_params["evaluate"]
    with pytest.raises(UserError, match=r"clean\.min_votes is missing; evaluate is missing"):
        params.parse(raw_params)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1\n", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        params.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        params.load(tmp_path / "params.yaml")


def test_a_small_learning_rate_comes_back_from_dvc_as_a_number(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    with modify_yaml(str(path)) as values:  # what `dvc exp run -S` writes with
        values["train"]["learning_rate"] = 3e-5
    assert "3e-05" in path.read_text()
    assert params.load(path).train.learning_rate == 3e-5
