"""The threshold that keeps a number of false alarms a week."""

import numpy as np
import pytest

from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.local_time import WEEK_US
from atalaia.algorithms.memory.budget import BLOCK, FIRST_THRESHOLD, watch
from atalaia.algorithms.memory.columns import Columns, Pace
from atalaia.algorithms.memory.passing import begin
from atalaia.core.points import FloatArray

_STEP_US = 60_000_000


def _thresholds(evidence: FloatArray, per_week: float) -> FloatArray:
    state = MemoryBank(windows=125).empty(1)
    c = Columns(*(state[name] for name in Columns._fields))
    begin(c, 0, 0.0, 1.0, _STEP_US, 0)
    told = np.empty(len(evidence))
    pace = Pace(125, per_week, 5, 0)
    for i, x in enumerate(evidence):
        told[i] = c.budget[0, 0]
        watch(c, pace, 0, x)
    return told


@pytest.mark.parametrize("per_week", [0.5, 2.0, 10.0])
def test_blocks_over_the_threshold_are_not_more_than_promised(per_week: float) -> None:
    # Its tail is lighter than those of real series, for which the threshold is made: on the safe side.
    evidence = np.random.default_rng(1).gamma(5.0, 2.0, size=300_000)
    over = evidence > _thresholds(evidence, per_week)
    blocks = over[21_000:].reshape(-1, BLOCK).any(axis=1).sum()
    promised = per_week * 279_000 * _STEP_US / WEEK_US
    assert 0.02 * promised <= blocks <= 1.2 * promised


def test_heavy_tails_get_what_was_promised() -> None:
    rng = np.random.default_rng(1)
    evidence = rng.gamma(5.0, 2.0, size=300_000) + rng.exponential(3.5, size=300_000)
    over = evidence > _thresholds(evidence, 10.0)
    blocks = over[21_000:].reshape(-1, BLOCK).any(axis=1).sum()
    promised = 10.0 * 279_000 * _STEP_US / WEEK_US
    assert 0.2 * promised <= blocks <= 1.5 * promised


def test_a_few_real_anomalies_do_not_raise_it_much() -> None:
    rng = np.random.default_rng(2)
    quiet = rng.gamma(5.0, 2.0, size=60_000)
    loud = quiet.copy()
    for start in rng.integers(10_000, 60_000, 30):
        loud[start : start + 20] += 150.0
    assert _thresholds(loud, 1.0)[-1] < 1.15 * _thresholds(quiet, 1.0)[-1]


def test_at_first_only_what_is_extreme_alarms() -> None:
    told = _thresholds(np.full(10 * BLOCK, 3.0), 1.0)
    assert set(told[: 8 * BLOCK]) == {FIRST_THRESHOLD}
    assert told[-1] < FIRST_THRESHOLD


def test_a_series_of_one_point_a_day_has_a_threshold_too() -> None:
    state = MemoryBank(windows=125).empty(1)
    c = Columns(*(state[name] for name in Columns._fields))
    begin(c, 0, 0.0, 1.0, 86_400_000_000, 0)
    for _ in range(20 * BLOCK):
        watch(c, Pace(125, 1.0, 5, 0), 0, 2.0)
    assert 0.0 < c.budget[0, 0] < FIRST_THRESHOLD


def test_numbers_of_a_hostile_artefact_do_not_lead_out_of_the_histogram() -> None:
    state = MemoryBank(windows=125).empty(2)
    c = Columns(*(state[name] for name in Columns._fields))
    for row in range(2):
        begin(c, row, 0.0, 1.0, 60_000_000, 0)
        c.budget[row, :2] = np.nan
        for _ in range(BLOCK):
            watch(c, Pace(125, 1.0, 5, 0), row, np.nan)
    assert c.blocks.sum(axis=1).tolist() == c.blocks[:, 0].tolist() == [1.0, 1.0]
