import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.calibration import LEAST, MOST, USUAL, Tails, pooled, thresholds, watch
from atalaia.algorithms.local_time import DAY_US, MINUTE_US, WEEK_US

STEP_US = 5 * MINUTE_US


def times(points, start=STEP_US):
    return start + np.arange(points, dtype=np.int64) * STEP_US


def stream(rng, series, points, slope, per_week):
    """Scores of series whose episodes come `per_week` and have Pareto peaks over 0.5."""
    scores = np.full((series, points), 0.1)
    chance = per_week * STEP_US / WEEK_US
    hit = rng.random((series, points)) < chance
    scores[hit] = 0.5 * rng.random(hit.sum()) ** (-1.0 / slope)
    return scores


def fold(tails, scores):
    series, points = scores.shape
    rows = np.repeat(np.arange(series), points)
    watch(tails, rows, np.tile(times(points), series), scores.ravel())


def found(tails, per_week, prior=USUAL):
    rows = np.arange(len(tails.last))
    return thresholds(tails, rows, np.full(len(rows), per_week), prior)


@pytest.mark.parametrize(("slope", "rate"), [(3.0, 8.0), (5.0, 12.0), (8.0, 40.0)])
@pytest.mark.parametrize("per_week", [0.3, 1.0, 3.0])
def test_the_realised_rate_follows_the_promise(slope, rate, per_week):
    rng = np.random.default_rng(int(slope * 100 + per_week))
    series, weeks = 60, 10
    points = weeks * WEEK_US // STEP_US
    tails = Tails.empty(series)
    fold(tails, stream(rng, series, points, slope, rate))
    at = found(tails, per_week, pooled(tails, np.arange(series)))
    later = stream(rng, series, points, slope, rate)
    realised = (later > at[:, None]).sum() / series / weeks
    assert 0.4 < realised / per_week < 1.5


def test_without_anything_known_a_series_has_the_threshold_of_its_peers():
    rng = np.random.default_rng(1)
    tails = Tails.empty(21)
    fold(tails, stream(rng, 20, 20_000, 2.0, 30.0))
    prior = pooled(tails, np.arange(21))
    assert prior.rate == pytest.approx(30.0, rel=0.2)
    assert prior.slope == pytest.approx(2.0, rel=0.2)
    peers, new = found(tails, 1.0, prior)[:20], found(tails, 1.0, prior)[20]
    assert new == pytest.approx(np.median(peers), rel=0.25)
    assert new > 1.5 * found(tails, 1.0)[20]


def test_a_few_real_anomalies_do_not_raise_the_threshold():
    rng = np.random.default_rng(2)
    scores = stream(rng, 1, 8_000, 5.0, 10.0)
    calm, hit = Tails.empty(1), Tails.empty(1)
    fold(calm, scores)
    scores[0, ::400] = 9.0
    fold(hit, scores)
    assert found(hit, 1.0)[0] == pytest.approx(found(calm, 1.0)[0], rel=0.05)


@given(st.lists(st.floats(0.05, 50.0), min_size=2, max_size=6), st.integers(0, 40), st.floats(0.0, 30.0))
def test_fewer_promised_alarms_mean_a_higher_threshold_within_bounds(promises, episodes, weeks):
    tails = Tails.empty(1)
    tails.episodes[0], tails.excess[0], tails.weeks[0] = episodes, 0.3 * episodes, weeks
    at = [found(tails, one)[0] for one in sorted(promises)]
    assert at == sorted(at, reverse=True)
    assert all(LEAST <= one <= MOST for one in at)


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.one_of(st.floats(0, 3), st.just(np.nan), st.just(np.inf))), max_size=80
    ),
    st.lists(st.integers(0, 80), max_size=5),
)
def test_however_a_stream_is_cut_the_same_is_known(points, cuts):
    rows = np.array([row for row, _ in points], np.int64)
    scores, stamps = np.array([score for _, score in points], np.float64), times(len(points))
    whole, cut = Tails.empty(3), Tails.empty(3)
    watch(whole, rows, stamps, scores)
    edges = [0, *sorted(min(c, len(points)) for c in cuts), len(points)]
    for start, end in zip(edges, edges[1:], strict=False):
        watch(cut, rows[start:end], stamps[start:end], scores[start:end])
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(one, other)
    assert all(np.isfinite(column).all() for column in whole)


def test_points_that_are_not_newer_change_nothing():
    tails = Tails.empty(1)
    watch(tails, np.zeros(3, np.int64), np.array([50, 50, 40], np.int64), np.array([0.9, 7.0, 8.0]))
    assert (tails.peak[0], tails.last[0]) == (np.float32(0.9), 50)


def test_a_gap_counts_for_a_day_and_the_past_is_forgotten():
    tails = Tails.empty(1)
    stamps = np.array([1, 1 + 300 * DAY_US], np.int64)
    watch(tails, np.zeros(2, np.int64), stamps, np.full(2, 0.1))
    assert tails.weeks[0] == pytest.approx(1 / 7)
    rng = np.random.default_rng(3)
    tails = Tails.empty(1)
    points = 40 * WEEK_US // STEP_US
    fold(tails, stream(rng, 1, points, 4.0, 8.0))
    assert 8 <= tails.weeks[0] <= 16
    assert tails.episodes[0] / tails.weeks[0] == pytest.approx(8.0 * (1 - 2.0**-4), rel=0.3)


def test_more_series_keep_what_is_known():
    tails = Tails.empty(2)
    tails.weeks[:] = 3.0
    more = tails.grown(5)
    assert more.weeks.tolist() == [3, 3, 0, 0, 0]
    assert [column.dtype for column in more] == [column.dtype for column in tails]
