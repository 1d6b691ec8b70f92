"""Times are aware, exact to the microsecond, and written in one way."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.clock import MICROS, from_us, isoformat, now_us, seconds_to_us, to_us, utc_now

YEAR_2100_US = 4_102_444_800 * MICROS


def test_now_is_aware_and_in_utc() -> None:
    assert utc_now().utcoffset() == timedelta(0)


def test_both_clocks_show_the_same_time() -> None:
    before = time.time_ns() // 1000
    assert before <= now_us() <= time.time_ns() // 1000
    assert abs(to_us(utc_now()) - now_us()) < 5 * MICROS


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_survives_the_way_to_microseconds_and_back(moment: datetime) -> None:
    assert from_us(to_us(moment)) == moment


def test_another_zone_is_the_same_moment() -> None:
    lisbon = timezone(timedelta(hours=1))
    assert to_us(datetime(2014, 4, 10, 8, 15, tzinfo=lisbon)) == to_us(datetime(2014, 4, 10, 7, 15, tzinfo=UTC))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        to_us(datetime(2014, 4, 10))  # noqa: DTZ001


@given(st.integers(0, YEAR_2100_US))
def test_seconds_keep_every_microsecond(micros: int) -> None:
    assert seconds_to_us(micros / MICROS) == micros


@pytest.mark.parametrize(("seconds", "micros"), [(1.5, 1_500_000), (0, 0), (-1.25, -1_250_000), (7, 7_000_000)])
def test_seconds_become_whole_microseconds(seconds: float, micros: int) -> None:
    assert seconds_to_us(seconds) == micros


def test_a_time_is_written_with_a_z_and_with_microseconds_only_if_it_has_any() -> None:
    assert isoformat(1_397_114_100 * MICROS) == "2014-04-10T07:15:00Z"
    assert isoformat(1_397_114_100 * MICROS + 5) == "2014-04-10T07:15:00.000005Z"


@given(st.integers(0, YEAR_2100_US))
def test_what_is_written_can_be_read_back(micros: int) -> None:
    assert to_us(datetime.fromisoformat(isoformat(micros))) == micros
