from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from atalaia.algorithms.calendars.public_holidays import PublicHolidays
from atalaia.core.clock import from_us, to_us
from atalaia.core.errors import Invalid

SAO_PAULO, BERLIN = "America/Sao_Paulo", "Europe/Berlin"
HOUR = 3_600_000_000


def at(text, zone):
    return to_us(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)))


def test_a_holiday_is_a_whole_local_day():
    brazil = PublicHolidays("BR", "SP", SAO_PAULO)
    found = brazil.within(at("2026-12-20", SAO_PAULO), at("2026-12-31", SAO_PAULO))
    assert (found.starts.tolist(), found.ends.tolist()) == (
        [at("2026-12-25", SAO_PAULO)],
        [at("2026-12-26", SAO_PAULO)],
    )
    assert "Christmas" in (brazil.name(int(found.starts[0])) or "")
    assert brazil.name(int(found.starts[0]) - 1) is None


def test_days_in_a_row_are_one_stretch_and_are_found_from_within():
    germany = PublicHolidays("DE", None, BERLIN)
    christmas = at("2026-12-25", BERLIN), at("2026-12-27", BERLIN)
    assert germany.within(christmas[0] + HOUR, christmas[0] + 2 * HOUR).around(christmas[0]) == christmas
    assert len(germany.within(christmas[1], christmas[1] + HOUR)) == 0


def test_a_part_of_a_country_has_days_of_its_own():
    day = at("2026-11-01T12:00", BERLIN)
    assert PublicHolidays("DE", "BY", BERLIN).within(day, day + 1).around(day) is not None
    assert PublicHolidays("DE", "BE", BERLIN).within(day, day + 1).around(day) is None


def test_a_day_on_which_the_clock_changes_is_as_long_as_it_is():
    """Easter Sunday of 2013 in Germany, in Brandenburg a holiday, was the day of the change."""
    day = at("2013-03-31T12:00", BERLIN)
    start, end = PublicHolidays("DE", "BB", BERLIN).within(day, day + 1).around(day) or (0, 0)
    assert (from_us(end) - from_us(start)).total_seconds() == (24 * 3 + 24 - 1 - 48) * 3600


@pytest.mark.parametrize(
    ("country", "part", "pointer"),
    [
        ("XX", None, "/holidays/country"),
        ("", None, "/holidays/country"),
        ("br", None, "/holidays/country"),
        ("../", None, "/holidays/country"),
        ("BR", "ZZ", "/holidays/subdivision"),
        ("BR", "", "/holidays/subdivision"),
        ("BR", "x" * 1000, "/holidays/subdivision"),
    ],
)
def test_a_place_of_which_nothing_is_known_is_refused(country, part, pointer):
    with pytest.raises(Invalid) as caught:
        PublicHolidays(country, part, "UTC").check()
    assert (caught.value.code, caught.value.faults[0].pointer) == ("unknown_country", pointer)


def test_an_unknown_zone_is_refused():
    with pytest.raises(Invalid) as caught:
        PublicHolidays("BR", None, "Mars")
    assert (caught.value.code, caught.value.faults[0].pointer) == ("unknown_zone", "/holidays/zone")


def test_times_far_off_have_no_holidays_and_cost_nothing():
    brazil = PublicHolidays("BR", None, SAO_PAULO)
    assert len(brazil.within(-(10**14), 0)) <= 1
    assert brazil.name(-(10**14)) is None
