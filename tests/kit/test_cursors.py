"""A cursor survives its journey, and nothing else passes for one."""

import base64
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from atalaia.core.errors import Invalid
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
KEYS = st.lists(st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=4)


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(KEYS)
def test_a_cursor_gives_its_keys_back(keys: list[str | int]) -> None:
    assert decode_cursor(encode_cursor(*keys), *map(type, keys)) == tuple(keys)


@given(KEYS)
def test_a_cursor_can_stand_in_a_url_as_it_is(keys: list[str | int]) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", encode_cursor(*keys))


def test_no_cursor_is_no_cursor() -> None:
    assert decode_cursor(None, str) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "garbage",
        "é",
        "!!!!",
        "a b",
        "=" * 7,
        cursor_of("{}"),
        cursor_of('"text"'),
        cursor_of("[]"),
        cursor_of("[1]"),
        cursor_of('["a", "b"]'),
        cursor_of("[null]"),
        cursor_of("[true]"),
        cursor_of("[1.5]"),
        cursor_of("[NaN]"),
        cursor_of('[["a"]]'),
        cursor_of('["a\\u0000b"]'),
        cursor_of('["\\ud800"]'),
        cursor_of("[" * 1500),
        cursor_of("[" * 100_000 + "]" * 100_000),
        "A" * 1_000_000,
    ],
)
def test_a_hostile_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_cursor(cursor, str)
    assert (caught.value.code, caught.value.faults[0].pointer) == ("bad_cursor", "/cursor")


@pytest.mark.parametrize("number", ["true", "9223372036854775808", str(-(2**63) - 1), "9" * 5000, "1e3", '"1"'])
def test_a_number_that_no_column_can_hold_is_refused(number: str) -> None:
    with pytest.raises(Invalid):
        decode_cursor(cursor_of(f"[{number}]"), int)


@given(st.one_of(st.text(), st.binary().map(lambda data: base64.urlsafe_b64encode(data).decode())))
@example(cursor_of(json.dumps(["a", 1])))
def test_garbage_is_refused_or_keys_of_the_wanted_types(cursor: str) -> None:
    try:
        keys = decode_cursor(cursor, str, int)
    except Invalid:
        return
    assert keys is not None
    assert list(map(type, keys)) == [str, int]


def test_a_page_is_cut_and_says_where_the_next_begins() -> None:
    assert page_of([1, 2, 3], 2, str) == ([1, 2], "2")
    assert page_of([1, 2], 2, str) == ([1, 2], None)
    assert page_of([], 2, str) == ([], None)
