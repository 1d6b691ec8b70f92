"""Periods of series."""

import numpy as np
import pytest

from atalaia.algorithms.periods import period


def test_the_period_of_a_sine_is_found_and_noise_has_none() -> None:
    t = np.arange(3000)
    assert period(np.sin(2 * np.pi * t / 48)) == 48
    gaps = np.where(t % 7 == 0, np.nan, np.sin(2 * np.pi * t / 48))
    assert period(gaps) == pytest.approx(48, abs=1)


@pytest.mark.parametrize("values", [[], [1.0] * 5, [1.0] * 100, [np.nan] * 100, [1e308, -1e308] * 50])
def test_what_has_no_period_gets_the_usual_one(values: list[float]) -> None:
    assert period(np.array(values)) == 125
