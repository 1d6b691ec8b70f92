"""How much worse each service is, with its series, its calls and its gaps."""

import numpy as np
import pytest

from atalaia.algorithms.causes.extras import calls_of, extras, summed

NAN = np.nan


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_series_of_a_service_are_averaged_and_its_calls_weigh() -> None:
    worse = np.array([[1.0, 2.0], [3.0, NAN], [5.0, 6.0]])
    calls = np.array([[10.0, 20.0], [1.0, 0.0]])
    found = extras(worse, ints(0, 0, 1), 2, np.array([True, True, True]), calls)
    assert found.tolist() == [[20.0, 40.0], [5.0, 0.0]]
    assert extras(worse, ints(0, 0, 1), 2, np.full(3, True), None).tolist() == [[2.0, 2.0], [5.0, 6.0]]


def test_what_may_explain_nothing_is_nothing_where_it_is_known() -> None:
    found = extras(np.array([[9.0, NAN]]), ints(0), 2, np.array([False]), None)
    assert found[0].tolist() == [0.0, pytest.approx(NAN, nan_ok=True)]
    assert bool(np.isnan(found[1]).all())


def test_nobody_who_calls_feels_anything() -> None:
    found = extras(np.array([[NAN, NAN]]), ints(0), 1, np.array([True]), np.array([[0.0, 5.0]]))
    assert found[0, 0] == 0.0
    assert bool(np.isnan(found[0, 1]))


def test_calls_are_added_up_and_gaps_are_filled_as_usual() -> None:
    window = np.array([[1.0, NAN, 3.0], [1.0, NAN, 5.0], [NAN, NAN, NAN], [-4.0, 0.0, 2.0]])
    found = calls_of(window, ints(0, 0, 1, 2), 4)
    assert found.tolist() == [[2.0, 5.0, 8.0], [0.0, 0.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]


def test_sums_of_nothing_are_not_known() -> None:
    assert summed(np.empty((0, 2)), ints(), 1, is_mean=False).tolist() == [[pytest.approx(NAN, nan_ok=True)] * 2]
    assert summed(np.array([[np.inf]]), ints(0), 1, is_mean=True).tolist() == [[pytest.approx(NAN, nan_ok=True)]]
