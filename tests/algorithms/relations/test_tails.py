"""Student's t against SciPy."""

import pytest
from scipy import stats

from atalaia.algorithms.relations.tails import student_quantile, student_tail


@pytest.mark.parametrize("freedom", [1.0, 2.0, 2.5, 7.3, 60.0, 1e3, 1e6])
@pytest.mark.parametrize("tail", [0.5, 0.3, 0.05, 1e-3, 1e-6, 1e-10])
def test_quantiles_are_those_of_scipy(tail, freedom):
    assert student_quantile(tail, freedom) == pytest.approx(float(stats.t.isf(tail, freedom)), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.5, 3.0, 40.0, 1e9])
def test_tails_are_those_of_scipy(value):
    for freedom in (0.7, 2.0, 11.0, 1e5):
        assert student_tail(value, freedom) == pytest.approx(float(stats.t.sf(value, freedom)), rel=1e-8)


def test_fewer_independent_values_make_wider_bands():
    widths = [student_quantile(1e-4, freedom) for freedom in (2.0, 4.0, 8.0, 16.0, 1e9)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 70.0
    assert widths[-1] == pytest.approx(3.719, abs=1e-3)


@pytest.mark.parametrize(
    ("tail", "freedom"), [(0.0, 3.0), (0.6, 3.0), (0.1, 0.0), (0.1, float("inf")), (0.1, -1.0)]
)
def test_what_is_no_tail_is_refused(tail, freedom):
    with pytest.raises(ValueError, match="tail"):
        student_quantile(tail, freedom)
