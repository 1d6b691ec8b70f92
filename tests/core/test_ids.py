"""Identifiers say what they name, differ, and sort by the time they were made."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core import ids
from atalaia.core.ids import new_id


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
