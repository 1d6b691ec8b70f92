"""Readings become moments as they arrive: each once, complete, and the same however they come in batches."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.assets.gathering import Waiting, gather
from atalaia.algorithms.assets.moments import Pace, moments
from atalaia.core.points import Group

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
WAIT = 3


def paced(spans=(1, 1, 1), holds=None, last=None):
    holds = holds or [max(span, 1) for span in spans]
    ends = np.full(len(spans), START - SECOND) if last is None else np.array(last)
    return Pace(SECOND, 0, np.array(spans), np.array(holds), ends)


class Stream:
    """Collects the moments of readings (sensor, second, value)."""

    def __init__(self, pace, wait=WAIT):
        self.pace, self.wait, self.waiting, self.taken = pace, wait, Waiting.after(pace, wait), 0
        self.found: list[tuple[int, list[float], list[int]]] = []

    def take(self, *readings):
        sensors = np.array([r[0] for r in readings], np.int64)
        stamps = np.array([START + round(r[1] * SECOND) for r in readings], np.int64)
        values = np.array([r[2] for r in readings], np.float64)
        fresh = []
        for part in gather(self.waiting, self.pace, self.wait, sensors, stamps, values):
            seconds = (self.pace.times(part.places) - START) // SECOND
            fresh += list(zip(seconds.tolist(), part.values.tolist(), part.rows.tolist(), strict=True))
        self.found += fresh
        return fresh


def times(found):
    return [one[0] for one in found]


def test_a_moment_is_complete_as_soon_as_the_last_sensor_was_read():
    stream = Stream(paced())
    assert stream.take((0, 0, 1.0), (1, 0, 2.0)) == []
    assert stream.take((2, 0, 3.0)) == [(0, [1.0, 2.0, 3.0], [-1, -1, 0])]
    assert stream.take((0, 1, 4.0), (2, 1, 6.0), (1, 1, 5.0)) == [(1, [4.0, 5.0, 6.0], [0, 2, 1])]


def test_a_sensor_that_falls_silent_is_waited_for_once_and_no_more():
    stream = Stream(paced())
    for second in range(3):
        stream.take((0, second, 1.0), (1, second, 2.0), (2, second, 3.0))
    for second in range(3, 7):
        assert stream.take((0, second, 1.0), (1, second, 2.0)) == []
    assert times(stream.take((0, 7, 1.0))) == [3, 4, 5, 6]
    assert times(stream.take((1, 7, 1.0))) == [7]
    assert times(stream.take((0, 8, 1.0), (1, 8, 1.0))) == [8]
    held = [np.isnan(one[1][2]) for one in stream.found]
    assert held == [False] * 4 + [True] * 5


def test_a_sensor_that_comes_back_is_waited_for_again():
    stream = Stream(paced())
    for second in range(20):
        stream.take((0, second, 1.0), (1, second, 2.0))
    assert times(stream.take((2, 20, 9.0), (0, 20, 1.0))) == []
    assert stream.take((1, 20, 1.0)) == [(20, [1.0, 1.0, 9.0], [-1, 0, -1])]


def test_a_slow_sensor_holds_up_nobody_until_it_is_due():
    stream = Stream(paced((1, 1, 5)))
    for second in range(5):
        reading = [(2, 0, 7.0)] if second == 0 else []
        fresh = stream.take(*reading, (0, second, 1.0), (1, second, 2.0))
        assert [(one[0], one[1][2]) for one in fresh] == [(second, 7.0)]
    assert stream.take((0, 5, 1.0), (1, 5, 2.0)) == []
    assert times(stream.take((2, 5, 8.0))) == [5]


def test_of_a_fast_sensor_the_mean_counts_once_its_next_moment_has_begun():
    stream = Stream(paced((0, 1, 1)))
    assert stream.take((1, 0, 2.0), (2, 0, 3.0), (0, -0.25, 1.0), (0, 0, 2.0), (0, 0.25, 6.0)) == []
    assert stream.take((0, 0.75, 5.0)) == [(0, [3.0, 2.0, 3.0], [-1, -1, -1])]


def test_a_late_reading_changes_no_moment_that_is_complete():
    stream = Stream(paced())
    for second in range(10):
        stream.take((0, second, 1.0), (1, second, 2.0))
    before = list(stream.found)
    assert stream.take((2, 2, 9.0)) == []
    assert stream.found == before


def test_a_gap_of_years_is_stepped_over():
    stream = Stream(paced())
    stream.take((0, 0, 1.0), (1, 0, 1.0), (2, 0, 1.0), (0, 1, 1.0))
    years = 40_000_000
    assert times(stream.take((0, years, 1.0), (1, years, 1.0), (2, years, 1.0))) == [1, years]


def test_what_is_no_number_is_no_reading():
    stream = Stream(paced())
    assert stream.take((0, 0, np.nan), (1, 0, np.inf), (2, 0, 1e200), (0, 0, 1.0), (1, 0, 1.0)) == []
    assert times(stream.take((2, 0, 3.0))) == [0]


def test_sensors_that_were_never_read_are_not_waited_for():
    stream = Stream(paced(last=[START - SECOND, -1, -1]))
    assert times(stream.take((0, 0, 1.0), (0, 1, 1.0))) == [0, 1]


def test_more_moments_than_fit_into_one_go_all_come_out():
    stream = Stream(paced((1,) * 500), wait=1)
    stream.pace = paced((1,) * 500, last=[START - SECOND] + [-1] * 499)
    stream.waiting = Waiting.after(stream.pace, 1)
    assert times(stream.take(*((0, second, 1.0) for second in range(9_000)))) == list(range(9_000))


READINGS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.integers(0, 9)), max_size=60, unique_by=lambda r: r[:2]
)


def ordered(readings):
    """Return readings in order of time inside each sensor, otherwise as they came."""
    last, kept = dict[int, int](), []
    for sensor, second, value in readings:
        if second > last.get(sensor, -1):
            kept.append((sensor, second, float(value)))
            last[sensor] = second
    return kept


@given(READINGS, st.lists(st.integers(1, 20), min_size=1, max_size=60), st.sampled_from([(1, 1, 1), (0, 1, 5)]))
def test_however_the_readings_come_in_batches_the_moments_are_the_same(readings, sizes, spans):
    readings = ordered(readings)
    whole, cut = Stream(paced(spans)), Stream(paced(spans))
    whole.take(*readings)
    at = 0
    while at < len(readings):
        size = sizes[at % len(sizes)]
        cut.take(*readings[at : at + size])
        at += size
    said = [[repr(one[:2]) for one in stream.found] for stream in (whole, cut)]
    assert said[0] == said[1]
    assert all(array.tobytes() == other.tobytes() for array, other in zip(whole.waiting, cut.waiting, strict=True))
    assert times(whole.found) == sorted(set(times(whole.found)))


@given(READINGS)
@settings(max_examples=50)
def test_readings_in_order_of_time_give_the_moments_of_a_history(readings):
    readings = ordered(sorted(readings, key=lambda r: (r[1], r[0])))
    stream = Stream(paced(last=[-1, -1, -1]), wait=100)
    stream.pace = paced(last=[START - SECOND] * 3)
    stream.waiting = Waiting.after(stream.pace, 100)
    stream.take(*readings)
    for second in range(200, 210):  # so that all before is complete
        stream.take(*((sensor, second, 0.0) for sensor in range(3)))
    group = Group.of(
        (
            np.array([START + s * SECOND for sensor, s, _ in readings if sensor == i], np.int64),
            np.array([v for sensor, _, v in readings if sensor == i], np.float64),
        )
        for i in range(3)
    )
    at, values = moments(group, stream.pace, 1000)
    known = [one for one in stream.found if one[0] < 200]
    assert times(known) == ((at - START) // SECOND).tolist()
    np.testing.assert_array_equal(np.array([one[1] for one in known]).reshape(values.shape), values)
