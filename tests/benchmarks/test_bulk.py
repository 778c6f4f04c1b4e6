"""A million movies extrapolated from a few tables."""

import pytest

from benchmarks.bulk import extrapolated


def test_the_error_of_an_extrapolation_grows_with_the_differences_between_the_tables() -> None:
    # Of four values with standard deviation 2, the 95% interval is 3.182 (Student's t) times 2 over the root of four.
    found = extrapolated([8.0, 8.0, 11.464102, 11.464102])
    assert found == pytest.approx({"mean": 9.732051, "low": 6.549595, "high": 12.914507}, abs=1e-3)
    assert extrapolated([9.0, 9.0, 9.0]) == {"mean": 9.0, "low": 9.0, "high": 9.0}
