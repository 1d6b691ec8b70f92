import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.lapses import flat_limits, silence_limits
from atalaia.algorithms.running import Running, fold

MINUTE = 60_000_000
NOBODY_WAITS = np.zeros(1, np.int64)


def learnt(stamps, values=None):
    running = Running.empty(1)
    values = np.random.default_rng(1).normal(0, 1, len(stamps)) if values is None else values
    fold(running, np.zeros(len(stamps), np.int64), np.asarray(stamps, np.int64), np.asarray(values, np.float64))
    return running


def silence(running, waits=NOBODY_WAITS, least=1.0):
    return silence_limits(running, waits, least)[0] / MINUTE


def test_a_regular_series_may_be_silent_for_ten_steps():
    assert silence(learnt(np.arange(300) * MINUTE)) == pytest.approx(10)


def test_the_floor_holds_for_series_that_send_often():
    assert silence(learnt(np.arange(300) * 1_000_000), least=5 * MINUTE) == pytest.approx(5)


def test_a_longer_silence_that_was_usual_counts():
    stamps = np.arange(600) * MINUTE + np.arange(600) // 100 * 20 * MINUTE
    assert silence(learnt(stamps)) == pytest.approx(1.5 * 21, rel=0.02)


def test_points_that_arrive_in_batches_are_waited_for():
    assert silence(learnt(np.arange(300) * MINUTE), np.array([60 * MINUTE])) == pytest.approx(90)


def test_one_outage_does_not_teach_that_outages_are_usual():
    stamps = np.arange(600) * MINUTE
    stamps[300:] += 10_000 * MINUTE
    assert silence(learnt(stamps)) < 100


@pytest.mark.parametrize("points", [0, 1, 2, 199])
def test_of_a_new_series_nothing_is_known(points):
    assert silence(learnt(np.arange(points) * MINUTE)) == np.inf


def test_a_series_without_a_regular_step_is_never_silent():
    distances = np.random.default_rng(2).exponential(MINUTE, 2_000).astype(np.int64) + 1
    assert silence(learnt(np.cumsum(distances))) == np.inf


def flat(values):
    running = learnt(np.arange(len(values)) * MINUTE, values)
    return running.flat[0], flat_limits(running, 60)[0]


NOISE = np.random.default_rng(3).normal(0, 1, 5_000)


def test_a_value_that_never_stood_still_may_repeat_to_the_floor():
    assert flat(np.append(NOISE, np.full(61, 7.0))) == (60, 60)
    assert flat(np.append(NOISE, np.full(62, 7.0)))[0] == 61


def test_a_counter_that_often_stands_still_may_do_so_for_longer():
    steps = np.repeat(np.arange(60.0), 90)
    run, limit = flat(np.append(steps, np.full(500, 99.0)))
    assert (run, limit) == (499, pytest.approx(8 * 89, rel=0.1))


@pytest.mark.parametrize("values", [np.zeros(5_000), np.append(NOISE[:1_000], np.zeros(500))])
def test_a_series_that_hardly_changed_ever_has_no_limit(values):
    assert flat(values)[1] == np.inf


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(1, 20))
def test_rows_of_equal_values_are_counted_however_points_are_cut(values, size):
    stamps, whole = np.arange(len(values)) * MINUTE, np.asarray(values, np.float64)
    running = Running.empty(1)
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        fold(running, np.zeros(len(values[part]), np.int64), stamps[part], whole[part])
    run = 0
    while run + 1 < len(values) and values[-2 - run] == values[-1]:
        run += 1
    assert (running.flat[0], running.flat_since[0]) == (run, stamps[len(values) - 1 - run])
