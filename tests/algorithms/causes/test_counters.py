"""Counters become rates, and nothing else does."""

import numpy as np
import pytest

from atalaia.algorithms.causes.counters import is_counter, rates

TIMES = np.arange(5, dtype=np.int64) * 10_000_000


@pytest.mark.parametrize(
    ("name", "values", "counts"),
    [
        ("requests_total", [0, 5, 9, 20], True),
        ("requests_total", [5, 5, 5, 5], False),
        ("requests_total", [5, 1, 5, 1], False),
        ("latency_seconds_sum", [0.0, 0.5, 0.9], True),
        ("requests", [0, 5, 9, 20], False),
        ("requests_total", [5], False),
        ("requests_total", [], False),
    ],
)
def test_a_counter_is_known_by_its_name_and_its_growth(name: str, values: list[float], counts: bool) -> None:
    assert is_counter(name, np.array(values, np.float64)) is counts


def test_a_counter_that_begins_anew_now_and_then_is_one() -> None:
    values = np.arange(100, dtype=np.float64)
    values[50:] -= 50
    assert is_counter("requests_total", values)


def test_a_rate_is_what_was_added_in_a_second() -> None:
    times, found = rates(TIMES, np.array([0.0, 100.0, 300.0, 40.0, 40.0]))
    assert times.tolist() == TIMES[1:].tolist()
    assert found.tolist() == [10.0, 20.0, 4.0, 0.0]  # 40 since the new beginning
