"""Looking back at a whole series."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.volume import vus_pr
from atalaia.algorithms.hindsight import hindsight
from atalaia.algorithms.periods import period
from atalaia.core.points import FloatArray


def _wave(points: int = 3000) -> FloatArray:
    t = np.arange(points)
    return np.sin(2 * np.pi * t / 50) + 0.05 * np.random.default_rng(1).normal(size=points)


@pytest.mark.parametrize("kind", ["spike", "flat", "faster"])
def test_what_differs_from_all_else_is_strangest(kind: str) -> None:
    values, labels = _wave(), np.zeros(3000, np.bool_)
    t = np.arange(1500, 1560)
    values[1500:1560] = {
        "spike": np.where(t == 1530, 4.0, values[1500:1560]),
        "flat": np.zeros(60),
        "faster": np.sin(2 * np.pi * t / 25),
    }[kind]
    labels[1500:1560] = True
    assert vus_pr(hindsight(values), labels, period(values)) > 0.6


def test_scale_and_offset_do_not_matter() -> None:
    values = _wave()
    values[700] = 5.0
    one, other = hindsight(values), hindsight(values * 1e90 - 3e90)
    np.testing.assert_allclose(one, other, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    "values",
    [
        np.empty(0),
        np.full(500, np.nan),
        np.ones(500),
        np.arange(31.0),
        np.where(np.arange(1000) % 100 == 0, 1.0, np.nan),
        np.concatenate([np.zeros(500), _wave(500)]),
        np.array([1e308, -1e308] * 200),
        np.where(np.arange(400) == 7, np.inf, _wave(400)),
        np.full(400, 1e-320),
        np.random.default_rng(1).normal(size=33),
    ],
    ids=[
        "nothing", "all missing", "constant", "short", "99 % missing", "constant then alive", "limits", "infinite",
        "denormal", "just enough",
    ],
)  # fmt: skip
def test_every_series_gets_finite_scores(values: FloatArray) -> None:
    told = hindsight(values)
    assert told.shape == values.shape
    assert np.isfinite(told).all()
    assert (told >= 0).all()


def test_it_says_the_same_each_time() -> None:
    values = np.random.default_rng(4).normal(size=6000)
    assert hindsight(values).tobytes() == hindsight(values).tobytes()
