"""Identifiers say what they name, differ, and sort by the time they were made."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core import ids
from atalaia.core.ids import RequestIds, new_id, new_ids


def id_made_at(micros: int) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "now_us", lambda: micros)
        return new_id("x")


def test_an_id_is_its_prefix_and_26_characters_that_cannot_be_misread() -> None:
    assert re.fullmatch(r"job_[0-9A-HJKMNP-TV-Z]{26}", new_id("job"))


def test_ids_differ() -> None:
    assert len({new_id("x") for _ in range(10_000)}) == 10_000


@given(st.integers(0, 2**51), st.integers(0, 2**51))
def test_ids_of_different_milliseconds_sort_by_time(one: int, other: int) -> None:
    earlier, later = sorted((one, other))
    if earlier // 1000 < later // 1000:
        assert id_made_at(earlier) < id_made_at(later)


def test_the_layout_is_that_of_ulids() -> None:
    assert id_made_at(1_469_918_176_385_000).startswith("x_01ARYZ6S41")


def request_ids_made_at(*micros: int) -> list[str]:
    """Return the ids of requests that come at these times."""
    times = iter(micros)
    shown = [0]

    def now_us() -> int:  # looked at once more when a millisecond begins
        return shown[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "now_us", now_us)
        made = RequestIds()
        found: list[str] = []
        for shown[0] in times:
            found.append(made.new())
        return found


def test_an_id_of_a_request_looks_like_every_other() -> None:
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", RequestIds().new())


def test_ids_of_requests_sort_by_time_and_inside_a_millisecond_by_order() -> None:
    made = request_ids_made_at(
        *[1_000_000] * 3_000, *range(2_000_000, 2_000_900, 100), *range(3_000_000, 9_000_000, 1_000)
    )
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_requests_differ_when_the_clock_goes_back() -> None:
    made = request_ids_made_at(*[5_000_000, 4_000_000] * 500)
    assert len(set(made)) == 1_000


def test_a_millisecond_with_more_requests_than_it_has_ids_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_COUNTS", 100)
    assert len(set(request_ids_made_at(*[1_000_000] * 1_000))) == 1_000


def test_two_who_make_ids_of_requests_make_different_ones() -> None:
    one, other = RequestIds(), RequestIds()
    assert not {one.new() for _ in range(1_000)} & {other.new() for _ in range(1_000)}


def test_many_ids_at_once_are_in_order_and_each_is_new() -> None:
    found = new_ids("job", 3_000)
    assert len(set(found)) == 3_000
    assert found == sorted(found)
    assert all(len(one) == len(new_id("job")) and one.startswith("job_") for one in found)
    assert new_ids("job", 0) == []
