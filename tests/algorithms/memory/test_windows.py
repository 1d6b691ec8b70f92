"""Distances of windows, beside the same worked out slowly."""

import numpy as np
import pytest

from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.memory.columns import LENGTHS, LONGEST, SAME_TIME_LENGTHS, VIEWS, Columns
from atalaia.algorithms.memory.passing import begin
from atalaia.algorithms.memory.windows import bank_distances, keep_in_bank, keep_in_slots, same_time_distances
from atalaia.core.points import FloatArray

_PERIOD = 48


def _columns(values: FloatArray, windows: int = 125) -> Columns:
    """A series that has seen `values`, every window of which was offered to its bank."""
    state = MemoryBank(windows=windows).empty(1)
    c = Columns(*(state[name] for name in Columns._fields))
    begin(c, 0, 0.0, 1.0, 1, _PERIOD)
    for i, value in enumerate(values):
        keep_in_slots(c, 0, value, i)
        c.recent[0, i % LONGEST] = value
        c.marks[0, 0] = i + 1
        keep_in_bank(c, 0, windows, 0.99, 0.5)
    return c


def _distances(c: Columns, z: float, slot: int) -> FloatArray:
    out = np.zeros(VIEWS)
    bank_distances(c, 0, z, np.zeros(c.bank.shape[2], np.float32), out)
    same_time_distances(c, 0, z, slot, out)
    return out


def test_the_three_nearest_windows_that_do_not_overlap_are_found() -> None:
    values = np.random.default_rng(1).normal(size=120)
    told = _distances(_columns(values), 0.3, len(values))
    whole = np.append(values, 0.3)
    for at, length in enumerate(LENGTHS):
        newest = whole[-length:]
        ends = [e for e in range(LONGEST - 1, len(values)) if len(values) - e >= length]
        apart = sorted(float(np.square(whole[e - length + 1 : e + 1] - newest).sum()) for e in ends)
        assert told[at] == pytest.approx(np.sqrt(np.mean(apart[:3]) / length), rel=1e-5)


def test_the_second_nearest_at_the_same_time_is_found() -> None:
    values = np.random.default_rng(2).normal(size=5 * _PERIOD)
    told = _distances(_columns(values), 0.1, len(values))
    whole = np.append(values, 0.1)
    for at, length in enumerate(SAME_TIME_LENGTHS):
        newest, now = whole[-length:], len(values)
        ends = [now - d * _PERIOD - o for d in range(1, 9) for o in range(-2, 3)]
        apart = sorted(
            float(np.square(whole[e - length + 1 : e + 1] - newest).sum()) for e in ends if e - length + 1 >= 0
        )
        assert told[len(LENGTHS) + at] == pytest.approx(np.sqrt(apart[1] / length), rel=1e-5)


def test_too_little_is_known_at_first() -> None:
    told = _distances(_columns(np.arange(10.0)), 1.0, 10)
    assert np.isnan(told[: len(LENGTHS) + len(SAME_TIME_LENGTHS)]).all()


def test_a_full_bank_takes_a_window_by_chance_only() -> None:
    c = _columns(np.arange(500.0), windows=125)
    assert c.marks[0, 1] == 125
    before = c.bank.copy()
    keep_in_bank(c, 0, 125, 0.3, 0.5)
    assert (c.bank == before).all()
    keep_in_bank(c, 0, 125, 0.2, 0.5)
    assert c.bank[0, :, 62].tolist() == list(np.arange(499.0, 467.0, -1.0))


def test_a_gap_is_filled_with_the_value_before_it() -> None:
    c = _columns(np.arange(60.0))
    keep_in_slots(c, 0, 99.0, 70)
    assert c.slots[0, 58:72].tolist()[:2] == [58.0, 59.0]
    assert c.slots[0, 60:70].tolist() == [59.0] * 10
    assert c.slots[0, 70] == 99.0
