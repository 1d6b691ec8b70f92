from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.local_time import DAY_US, HOUR_US, day_bucket, to_local, week_bucket, zone_name
from atalaia.core.clock import from_us, to_us

ZONES = ["UTC", "Europe/Lisbon", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca"]


@pytest.mark.parametrize("zone", ZONES)
@given(st.lists(st.integers(0, 4_000_000_000_000_000), min_size=1, max_size=20))
def test_local_time_is_that_of_the_standard_library(zone, moments):
    local = to_local(np.array(moments), zone)
    for moment, wall in zip(moments, local.tolist(), strict=True):
        expected = from_us(moment).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC)
        assert wall == to_us(expected)


@pytest.mark.parametrize("zone", ["Europe/Lisbon", "Australia/Lord_Howe"])
def test_the_change_of_clocks_is_exact_to_the_second(zone):
    hours = np.arange(
        to_us(datetime(2024, 1, 1, tzinfo=UTC)), to_us(datetime(2025, 1, 1, tzinfo=UTC)), HOUR_US // 2
    )
    for shift in (-1_000_000, 0):
        moments = hours + shift
        expected = [to_us(from_us(m).astimezone(ZoneInfo(zone)).replace(tzinfo=UTC)) for m in moments.tolist()]
        assert to_local(moments, zone).tolist() == expected


def test_buckets_begin_at_midnight_and_on_monday():
    sunday = to_us(datetime(2024, 3, 3, 23, 59, tzinfo=UTC))
    moments = np.array([sunday, sunday + 60_000_000])
    assert day_bucket(moments, HOUR_US).tolist() == [23, 0]
    assert week_bucket(moments, HOUR_US).tolist() == [167, 0]
    assert week_bucket(moments, DAY_US).tolist() == [6, 0]


def test_moments_before_the_epoch_have_a_time_of_day_too():
    assert day_bucket(np.array([-1]), HOUR_US).tolist() == [23]


def test_an_unknown_zone_is_refused():
    with pytest.raises(ValueError, match="not a time zone"):
        zone_name("Atlantis/Capital")
