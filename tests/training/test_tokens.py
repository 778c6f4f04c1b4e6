"""Tokens in a file: those that serving makes, made once, whatever is looked at."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from movie_ratings.movies.record import WITH_YEAR
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import TextFormat, encode
from movie_ratings.training import named_model, tokens
from tests.support.builders import learnable

TEXT = TextFormat(("title", "runtime", "summary"), 24)


@pytest.fixture
def movies() -> Movies:
    return Movies(pa.Table.from_pylist([m | {"runtime": 90 + n} for n, m in enumerate(learnable(50))], WITH_YEAR))


def test_the_file_holds_what_serving_would_make(
    movies: Movies, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = named_model.load_tokenizer(str(tiny_model)).backend_tokenizer
    expected = encode(tokenizer, list(movies), TEXT)
    for chunk in (1_000, 7):
        monkeypatch.setattr(tokens, "CHUNK", chunk)
        found = tokens.write_tokens(tmp_path / f"{chunk}.arrow", movies, len(movies), tokenizer, TEXT)
        assert [ids.tolist() for ids in found] == expected
        assert found.lengths.tolist() == [len(ids) for ids in expected]
        assert [ids.tolist() for ids in found[40:45]] == expected[40:45]


def test_what_an_interrupted_run_has_left_is_not_made_again(movies: Movies, tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = named_model.load_tokenizer(str(tiny_model)).backend_tokenizer
    first = tokens.write_tokens(tmp_path / "tokens.arrow", movies, len(movies), tokenizer, TEXT)
    again = tokens.write_tokens(tmp_path / "tokens.arrow", [], 0, tokenizer, TEXT)
    assert len(again) == len(first) == 50
    with pytest.raises(IndexError):
        again[50]


def test_movies_are_dictionaries_made_when_they_are_looked_at(movies: Movies) -> None:
    rows = movies.table.to_pylist()
    assert list(movies) == rows
    assert movies[7] == rows[7]
    assert list(movies[40:]) == rows[40:]
    assert list(movies[45:5:-10]) == rows[45:5:-10]
    left_out = np.zeros((50, 2), dtype=np.bool_)
    left_out[3] = [True, False]
    told = movies.without(["runtime", "year"], left_out)
    assert told[3] == rows[3] | {"runtime": None}
    assert told[4] == rows[4]
    assert list(told[3:5]) == [told[3], rows[4]]
    joined = movies + told.take(np.array([3, 4]))
    assert list(joined)[49:] == [rows[49], rows[3] | {"runtime": None}, rows[4]]
