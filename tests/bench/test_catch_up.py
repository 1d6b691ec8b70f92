"""The benchmark of catching up, small: so that it runs when it is needed."""

import pytest

from bench.catch_up import BOUND_S, SERIES, catch_up

pytestmark = pytest.mark.slow


def test_a_small_fleet_learns_the_day_that_it_missed() -> None:
    figures = {figure.name: figure for figure in catch_up(series=40, workers=1)}
    assert figures.keys() == {"catch_up_from_history", "catch_up_from_history_cpu"}
    assert figures["catch_up_from_history"].baseline_value == pytest.approx(BOUND_S * 40 / SERIES)
    assert all(figure.value > 0 for figure in figures.values())
