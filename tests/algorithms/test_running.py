import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.running import STEP_WEIGHT, Running, fold

COLUMNS = ("count", "mean", "m2", "first_ts", "last_ts", "last_value", "step_us")
VALUES = st.floats(-1e6, 1e6)


def batch(points):
    """points: (row, timestamp, value) triples."""
    points = sorted(points)
    return (
        np.array([p[0] for p in points], np.int64),
        np.array([p[1] for p in points], np.int64),
        np.array([p[2] for p in points], np.float64),
    )


def folded(points, series=4):
    state = Running.empty(series)
    fold(state, *batch(points))
    return state


STREAMS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10**9), VALUES), max_size=60)


@given(STREAMS, st.lists(st.integers(0, 60), max_size=6))
def test_however_a_stream_is_cut_the_result_is_that_of_numpy(steps, cuts):
    clock = 0
    stream = []
    for row, step, value in steps:
        clock += step
        stream.append((row, clock, value))
    state = Running.empty(4)
    edges = sorted({0, len(stream), *(min(cut, len(stream)) for cut in cuts)})
    for low, high in zip(edges, edges[1:], strict=False):
        assert fold(state, *batch(stream[low:high])).all()
    whole = folded(stream)
    for name in COLUMNS:
        assert getattr(state, name).tobytes() == getattr(whole, name).tobytes()
    for row in range(4):
        values = [v for r, _, v in stream if r == row]
        assert state.count[row] == len(values)
        if values:
            assert state.mean[row] == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
            assert state.last_value[row] == values[-1]
        if len(values) > 1:
            assert state.std[row] == pytest.approx(np.std(values, ddof=1), rel=1e-7, abs=1e-4)


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=40))
def test_the_step_is_the_weighted_geometric_mean_of_the_distances(distances):
    timestamps = np.cumsum([0, *distances]).astype(np.int64)
    state = Running.empty(1)
    fold(state, np.zeros(len(timestamps), np.int64), timestamps, np.zeros(len(timestamps)))
    log = math.log(distances[0])
    for distance in distances:
        log = (1 - STEP_WEIGHT) * log + STEP_WEIGHT * math.log(distance)
    assert state.step_us[0] == pytest.approx(math.exp(log), rel=1e-9)


def test_a_gap_of_a_day_less_than_doubles_a_step_of_five_minutes():
    timestamps = np.arange(100) * 300
    timestamps[50:] += 86_400
    state = Running.empty(1)
    fold(state, np.zeros(51, np.int64), timestamps[:51], np.zeros(51))
    assert state.step_us[0] < 600
    fold(state, np.zeros(49, np.int64), timestamps[51:], np.zeros(49))
    assert state.step_us[0] < 310


def test_only_points_newer_than_the_last_take_part():
    state = folded([(0, 100, 1.0), (0, 200, 3.0)])
    assert fold(state, *batch([(0, 50, 9.0), (0, 200, 9.0), (0, 300, 5.0)])).tolist() == [False, False, True]
    assert state.count.tolist()[0] == 3
    assert state.mean.tolist()[0] == 3.0
    assert state.first_ts.tolist()[0] == 100
    assert state.last_ts.tolist()[0] == 300


def test_a_point_behind_a_newer_one_of_its_batch_takes_no_part():
    state = Running.empty(2)
    rows, timestamps = np.array([1, 0, 1, 1]), np.array([5, 1, 4, 6])
    assert fold(state, rows, timestamps, np.ones(4)).tolist() == [True, True, False, True]
    assert state.count.tolist() == [1, 2]


def test_series_may_be_mixed_in_a_batch():
    rng = np.random.default_rng(3)
    rows, values = rng.integers(0, 50, 2000), rng.normal(size=2000)
    mixed, sorted_ = Running.empty(50), Running.empty(50)
    order = np.argsort(rows, kind="stable")
    fold(mixed, rows, np.arange(2000), values)
    fold(sorted_, rows[order], np.arange(2000)[order], values[order])
    for name in COLUMNS:
        assert getattr(mixed, name).tobytes() == getattr(sorted_, name).tobytes()


def test_nothing_new_changes_nothing():
    state = folded([(0, 100, 1.0)])
    kept = {name: getattr(state, name).copy() for name in COLUMNS}
    assert fold(state, *batch([(0, 100, 7.0)])).tolist() == [False]
    assert fold(state, *batch([])).tolist() == []
    for name in COLUMNS:
        np.testing.assert_array_equal(kept[name], getattr(state, name))


def test_a_row_that_is_no_series_is_refused_before_anything_changes():
    for row in (-1, 2):
        state = Running.empty(2)
        with pytest.raises(IndexError, match="not the position"):
            fold(state, *batch([(0, 1, 1.0), (row, 1, 1.0)]))
        assert state.count.tolist() == [0, 0]


def test_points_before_the_epoch_take_part():
    assert folded([(0, -5, 1.0)], 1).count.tolist() == [1]


def test_small_variations_far_from_zero_keep_their_deviation():
    values = 1e9 + np.tile([0.0, 1.0], 5000)
    rows, timestamps = np.zeros(10, np.int64), np.arange(10_000)
    state = Running.empty(1)
    for low in range(0, 10_000, 10):
        fold(state, rows, timestamps[low : low + 10], values[low : low + 10])
    assert state.std[0] == pytest.approx(values.std(ddof=1), rel=1e-9)


def test_new_series_find_room():
    state = folded([(0, 1, 4.0)], 1).grown(3)
    assert len(state) == 3
    assert state.count.tolist() == [1, 0, 0]
    fold(state, *batch([(2, 1, 8.0)]))
    assert state.mean.tolist() == [4.0, 0.0, 8.0]


def test_one_point_has_no_deviation_and_no_step():
    state = folded([(0, 1, 4.0)], 1)
    assert state.std.tolist() == [0.0]
    assert np.isnan(state.step_us[0])


def test_huge_values_do_not_warn():
    assert folded([(0, 1, 1e300), (0, 2, -1e300)], 1).count.tolist() == [2]
