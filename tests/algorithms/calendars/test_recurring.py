import string
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.calendars.recurring import MOST_TIMES, Recurrence, local_us, zone_of
from atalaia.core.clock import from_us, to_us
from atalaia.core.errors import AtalaiaError, Invalid

HOUR = 3_600_000_000
DAY = 24 * HOUR
LISBON, NEW_YORK = "Europe/Lisbon", "America/New_York"


def at(text, zone="UTC"):
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def again(rule, zone, start, hours=2.0):
    begin = at(start, zone)
    return Recurrence(rule, zone, begin, begin + int(hours * HOUR))


def local(found, zone):
    """Return start and end of each stretch as the wall clock shows them."""
    clock = ZoneInfo(zone)
    pairs = zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    return [tuple(from_us(one).astimezone(clock).strftime("%m-%d %H:%M") for one in pair) for pair in pairs]


@pytest.mark.parametrize(
    ("zone", "start", "shown"),
    [
        (LISBON, "2026-03-28T04:00", ["03-28 04:00", "03-29 04:00", "03-30 04:00"]),
        (LISBON, "2026-10-24T04:00", ["10-24 04:00", "10-25 04:00", "10-26 04:00"]),
        (NEW_YORK, "2026-03-07T04:00", ["03-07 04:00", "03-08 04:00", "03-09 04:00"]),
        (NEW_YORK, "2026-10-31T04:00", ["10-31 04:00", "11-01 04:00", "11-02 04:00"]),
    ],
)
def test_a_window_stays_at_its_local_time_across_a_change_of_the_clock(zone, start, shown):
    found = again("FREQ=DAILY", zone, start).within(0, at(start, zone) + 2 * DAY + 3 * HOUR)
    assert [first for first, _ in local(found, zone)] == shown
    assert (found.ends - found.starts).tolist() == [2 * HOUR] * 3
    assert len({one % DAY for one in found.starts.tolist()}) == 2


def test_a_window_over_the_change_is_as_long_as_the_wall_clock_says():
    spring = again("FREQ=DAILY", NEW_YORK, "2026-03-07T01:00", hours=4)
    lasting = spring.within(0, at("2026-03-09T12:00"))
    assert ((lasting.ends - lasting.starts) / HOUR).tolist() == [4, 3, 4]
    autumn = again("FREQ=DAILY", NEW_YORK, "2026-10-31T00:00", hours=4)
    lasting = autumn.within(0, at("2026-11-02T12:00"))
    assert ((lasting.ends - lasting.starts) / HOUR).tolist() == [4, 5, 4]


def test_an_hour_that_is_skipped_comes_after_it_and_one_that_comes_twice_counts_twice():
    skipped = again("FREQ=DAILY", NEW_YORK, "2026-03-07T02:15", hours=0.5).within(0, at("2026-03-09T00:00"))
    assert local(skipped, NEW_YORK)[1] == ("03-08 03:15", "03-08 03:45")
    twice = again("FREQ=DAILY", NEW_YORK, "2026-10-31T01:15", hours=0.5).within(0, at("2026-11-02T00:00"))
    assert (twice.ends - twice.starts).tolist()[1] == 1.5 * HOUR
    backwards = again("FREQ=DAILY", NEW_YORK, "2026-03-07T02:50", hours=1 / 3).within(0, at("2026-03-09T00:00"))
    assert ((backwards.ends - backwards.starts) // 60_000_000).tolist() == [20, 20]


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        ("FREQ=WEEKLY;BYDAY=SU", [1, 8, 15, 22, 29]),
        ("RRULE:FREQ=WEEKLY;BYDAY=SU;COUNT=2", [1, 8]),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20261115", [1, 8, 15]),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20261115T015959Z", [1, 8]),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20261115T020000", [1, 8, 15]),
        ("FREQ=MONTHLY;BYDAY=2TU", [10]),
        ("FREQ=DAILY;INTERVAL=10", [1, 11, 21]),
    ],
)
def test_a_rule_comes_when_it_says(rule, days):
    found = again(rule, "UTC", "2026-11-01T02:00").within(0, at("2026-12-01T00:00"))
    assert [from_us(start).day for start in found.starts.tolist()] == days


def test_a_part_is_the_same_however_the_rule_was_read_before():
    whole = again("FREQ=HOURLY;INTERVAL=5", LISBON, "2026-10-20T00:30", hours=1)
    end = at("2026-11-20T00:00")
    expected = whole.within(0, end).starts.tolist()
    stepwise = again("FREQ=HOURLY;INTERVAL=5", LISBON, "2026-10-20T00:30", hours=1)
    found: dict[int, None] = {}
    for moment in range(at("2026-10-19T00:00"), end, DAY // 2):
        found.update(dict.fromkeys(stepwise.within(moment, min(end, moment + DAY // 2)).starts.tolist()))
    assert list(found) == expected
    assert len(again("FREQ=DAILY", LISBON, "2026-10-20T00:30").within(0, at("2026-10-19T00:00"))) == 0


@pytest.mark.parametrize(
    "rule",
    [
        "",
        "DAILY",
        "FREQ=DAILY;;",
        "FREQ=SECONDLY",
        "FREQ=MINUTELY",
        "FREQ=daily",
        "INTERVAL=2",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=DAILY;INTERVAL=-1",
        "FREQ=DAILY;INTERVAL=99999999999999999999",
        "FREQ=DAILY;COUNT=0",
        "FREQ=DAILY;COUNT=2;UNTIL=20270101",
        "FREQ=DAILY;UNTIL=2027",
        "FREQ=DAILY;UNTIL=20271340",
        "FREQ=DAILY;UNTIL=20200101",
        "FREQ=DAILY;FREQ=DAILY",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYHOUR=99",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYDAY=53MO;BYMONTH=2",
        "FREQ=MONTHLY;INTERVAL=12;BYMONTH=3",
        "FREQ=DAILY\nEXDATE:20261101T020000",
        "DTSTART:19700101T000000\nRRULE:FREQ=DAILY",
        "FREQ=HOURLY;BYMINUTE=" + ",".join(map(str, range(60))),
        "FREQ=DAILY;BYSETPOS=400",
        "FREQ=DAILY;X-MINE=1",
        "F" * 100_000,
    ],
)
def test_a_broken_or_endless_rule_is_refused_soon_and_says_where(rule):
    started = time.monotonic()
    with pytest.raises(Invalid) as caught:
        again(rule, "UTC", "2026-11-01T02:00").check()
    assert caught.value.code == "invalid_event"
    assert [fault.pointer for fault in caught.value.faults] == ["/recurrence/rrule"]
    assert time.monotonic() - started < 30


def test_the_most_frequent_rule_that_is_allowed_is_bounded_by_ten_years():
    hourly = again("FREQ=HOURLY", "UTC", "2026-11-01T02:00", hours=0.1)
    hourly.check()
    found = hourly.within(0, 1 << 62)
    assert 87_000 < len(found) < MOST_TIMES
    assert from_us(int(found.ends[-1])).year == 2036


@pytest.mark.parametrize("hours", [0, -1, 24 * 367])
def test_a_stretch_without_a_sensible_length_is_refused(hours):
    with pytest.raises(Invalid) as caught:
        again("FREQ=DAILY", "UTC", "2026-11-01T02:00", hours=hours)
    assert caught.value.faults[0].pointer == "/to"


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "a\0b", "x" * 1000, "/etc/localtime"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(Invalid) as caught:
        Recurrence("FREQ=DAILY", zone, 0, HOUR)
    assert (caught.value.code, caught.value.faults[0].pointer) == ("unknown_zone", "/recurrence/zone")


@settings(max_examples=150, deadline=None)
@given(st.text(string.ascii_uppercase + string.digits + "=;,+-:", max_size=60), st.booleans())
def test_no_rule_does_anything_but_come_or_be_refused(text, is_daily):
    rule = f"FREQ=DAILY;{text}" if is_daily else text
    with suppress(AtalaiaError):
        Recurrence(rule, LISBON, at("2026-11-01T02:00"), at("2026-11-01T03:00")).check()


@given(st.integers(0, 3 * 366 * 24 * 60), st.sampled_from([LISBON, NEW_YORK]))
def test_a_local_time_that_exists_is_shown_by_its_clock(minutes, zone):
    wall = datetime.fromisoformat("2024-01-01") + timedelta(minutes=minutes)
    clock = zone_of(zone, "")
    start, end = local_us(wall, clock), local_us(wall, clock, is_end=True)
    assert start <= end
    shown = [from_us(one).astimezone(clock).replace(tzinfo=None) for one in (start, end)]
    is_skipped = wall.replace(tzinfo=UTC) != wall.replace(tzinfo=clock).astimezone(UTC).astimezone(clock).replace(
        tzinfo=UTC
    )
    assert shown == ([wall + timedelta(hours=1)] * 2 if is_skipped else [wall, wall])
