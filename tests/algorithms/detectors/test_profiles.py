import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.detectors.profiles import explains, profile, profile_of_scale
from atalaia.core.points import FloatArray

POINTS = st.lists(st.tuples(st.integers(0, 5), st.floats(-1e6, 1e6)), min_size=1, max_size=60)


@given(POINTS)
def test_a_profile_is_the_median_of_each_bucket_that_has_points(points):
    bucket = np.array([b for b, _ in points])
    values = np.array([v for _, v in points])
    result = profile(bucket, values, 6)
    assert not np.isnan(result).any()
    for b in set(bucket.tolist()):
        np.testing.assert_allclose(result[b], np.median(values[bucket == b]), rtol=1e-12, atol=1e-9)


def test_empty_buckets_are_filled_from_their_neighbours_around_the_clock():
    result = profile(np.array([1, 3]), np.array([10.0, 20.0]), 4)
    assert result.tolist() == [15.0, 10.0, 15.0, 20.0]


def test_noise_has_no_season():
    rng = np.random.default_rng(1)
    for _ in range(50):
        time = np.arange(7 * 24)
        assert not explains(time % 24, time // 24, rng.normal(size=len(time)), 24)


def test_a_random_walk_seldom_has_a_season():
    rng = np.random.default_rng(1)
    time = np.arange(14 * 288)
    found = sum(explains(time % 288 // 6, time // 288, rng.normal(size=len(time)).cumsum(), 48) for _ in range(40))
    assert found <= 4


def test_a_wave_has_a_season_in_spite_of_noise():
    rng = np.random.default_rng(1)
    time = np.arange(4 * 24)
    values: FloatArray = np.asarray(2 * np.sin(time / 24 * 2 * np.pi) + rng.normal(size=len(time)), np.float64)
    assert explains(time % 24, time // 24, values, 24)


def test_one_kind_of_cycle_is_not_enough_to_tell():
    time = np.arange(24)
    assert not explains(time % 24, time // 24, time.astype(np.float64), 24)


def test_the_scale_of_a_bucket_with_few_points_is_near_that_of_the_series():
    rng = np.random.default_rng(1)
    bucket = np.r_[np.zeros(1000, np.int64), np.ones(2, np.int64)]
    deviations = np.abs(np.r_[rng.normal(size=1000), 0.0, 0.0])
    assert profile_of_scale(bucket, deviations, 2)[1] > 0.9
