"""Times, ids and bodies as they stand on the wire, the usual ones and the strange."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atalaia.core.clock import MICROS, isoformat, to_us
from atalaia.core.errors import Invalid
from atalaia.kit.web.wire import (
    MAX_SECONDS,
    IdConvertor,
    Wire,
    decode,
    optional_time,
    page,
    parse_time,
    rfc3339,
    time_query,
    why_not_seconds,
)

MAX_US = int(MAX_SECONDS) * MICROS
T = 1_397_114_100 * MICROS


def reason(value: Any) -> str:
    with pytest.raises(Invalid) as caught:
        parse_time(value, "/points/0/timestamp")
    assert caught.value.code == "invalid_time"
    assert [fault.pointer for fault in caught.value.faults] == ["/points/0/timestamp"]
    return caught.value.faults[0].message


# times


@given(st.integers(0, MAX_US))
def test_seconds_are_exact_to_the_microsecond(micros: int) -> None:
    assert parse_time(micros / MICROS, "/t") == micros


@given(st.integers(0, MAX_US))
def test_a_time_that_we_wrote_can_be_sent_back(micros: int) -> None:
    assert parse_time(isoformat(micros), "/t") == micros
    assert time_query(isoformat(micros), "t") == micros


@pytest.mark.parametrize(
    "text",
    [
        "2014-04-10T07:15:00Z",
        "2014-04-10T07:15:00.000000Z",
        "2014-04-10T07:15:00.0Z",
        "2014-04-10T07:15:00+00:00",
        "2014-04-10T07:15:00-00:00",
        "2014-04-10T08:15:00+01:00",
        "2014-04-10T01:45:00-05:30",
        "2014-04-10 07:15:00Z",
        "2014-04-10t07:15:00z",
        "2014-04-10T07:15:00.0000009Z",
    ],
)
def test_every_way_of_rfc_3339_is_read(text: str) -> None:
    assert parse_time(text, "/t") == T


@pytest.mark.parametrize("value", [0, 0.0, 1_397_114_100, MAX_SECONDS])
def test_the_ends_of_time_are_taken(value: float) -> None:
    assert parse_time(value, "/t") == round(value * MICROS)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1_397_114_100_000, "milliseconds"),
        (1_397_114_100_000_000_000, "milliseconds"),
        (10**400, "milliseconds"),
        (MAX_SECONDS + 1, "after 2100"),
        (-1, "before 1970"),
        (-0.5, "before 1970"),
        (float("nan"), "finite"),
        (float("inf"), "finite"),
        (float("-inf"), "finite"),
    ],
)
def test_a_number_that_cannot_be_seconds_is_refused_with_the_reason(value: float, why: str) -> None:
    assert why in reason(value)
    assert why in (why_not_seconds(value) or "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2014-04-10T07:15:00", "time zone"),
        ("2014-04-10", "time zone"),
        ("10000-01-01T00:00:00Z", "neither"),
        ("9999-12-31T23:59:59Z", "after 2100"),
        ("9999-12-31T23:59:59-23:59", "after 2100"),
        ("0001-01-01T00:00:00+23:59", "before 1970"),
        ("1969-12-31T23:59:59Z", "before 1970"),
        ("1970-01-01T00:00:00+01:00", "before 1970"),
        ("-2014-04-10T07:15:00Z", "neither"),
        ("2014-02-30T00:00:00Z", "neither"),
        ("2014-04-10T25:00:00Z", "neither"),
        ("yesterday", "neither"),
        ("", "neither"),
        ("\ud800", "neither"),
        ("x" * 10_000, "neither"),
    ],
)
def test_a_text_that_is_no_usable_time_is_refused_with_the_reason(text: str, why: str) -> None:
    message = reason(text)
    assert why in message
    assert len(message) < 150


@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        micros = parse_time(text, "/t")
    except Invalid:
        return
    assert 0 <= micros <= MAX_US


@given(st.text() | st.floats().map(str))
def test_any_query_is_a_time_or_refused(text: str) -> None:
    try:
        micros = time_query(text, "from")
    except Invalid:
        return
    assert micros is not None
    assert 0 <= micros <= MAX_US


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        (None, None),
        ("1397114100", T),
        ("1397114100.000001", T + 1),
        ("2014-04-10T07:15:00Z", T),
        ("2014-04-10T08:15:00 01:00", T),
        ("2014-04-10 08:15:00 01:00", T),
    ],
)
def test_a_query_takes_both_forms_and_a_plus_that_nobody_encoded(text: str | None, micros: int | None) -> None:
    assert time_query(text, "from") == micros


def test_no_time_is_written_as_nothing() -> None:
    assert optional_time(None) is None
    assert rfc3339(None) is None


def test_a_time_is_written_in_utc() -> None:
    moment = datetime(2014, 4, 10, 8, 15, tzinfo=timezone(timedelta(hours=1)))
    assert rfc3339(moment) == optional_time(T) == "2014-04-10T07:15:00Z"
    assert to_us(moment.astimezone(UTC)) == T


# ids in paths


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_survives_its_segment(name: str) -> None:
    convertor = IdConvertor()
    segment = convertor.to_string(name)
    assert "/" not in segment
    assert convertor.convert(segment) == name


# bodies


class Point(msgspec.Struct, forbid_unknown_fields=True):
    """A row."""

    series_id: str
    value: float


class Rows(msgspec.Struct):
    """A body."""

    points: list[Point]
    labels: dict[str, int] = {}


ROWS = msgspec.json.Decoder(Rows)


def test_a_body_is_decoded() -> None:
    assert decode(b'{"points": [{"series_id": "a", "value": 1}]}', ROWS).points == [Point("a", 1.0)]


@pytest.mark.parametrize(
    ("body", "pointer", "what"),
    [
        (
            b'{"points": [{"series_id": "a", "value": 1}, {"series_id": 2, "value": 1}]}',
            "/points/1/series_id",
            "str",
        ),
        (b'{"points": [{"series_id": "a", "value": "x"}]}', "/points/0/value", "float"),
        (b'{"points": [{"series_id": "a"}]}', "/points/0", "value"),
        (b'{"points": [{"series_id": "a", "value": 1, "x": 1}]}', "/points/0", "x"),
        (b'{"points": 3}', "/points", "array"),
        (b'{"points": [], "labels": {"a": "b"}}', "/labels/*", "int"),
        (b"[]", "", "object"),
        (b"null", "", "object"),
    ],
)
def test_a_body_of_another_form_is_refused_with_a_pointer(body: bytes, pointer: str, what: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body, ROWS)
    assert caught.value.code == "invalid_request"
    assert caught.value.faults[0].pointer == pointer
    assert what in caught.value.faults[0].message


@pytest.mark.parametrize(
    "body", [b"", b"  ", b"{", b"nope", b"\xff\xfe", b'{"points": [}', b"[" * 100_000, b'{"points": NaN}']
)
def test_what_is_not_json_is_called_so(body: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        decode(body, ROWS)
    assert caught.value.code in ("invalid_json", "invalid_request")
    if not body.strip():
        assert caught.value.detail == "the body is empty"


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(body: bytes) -> None:
    try:
        decode(body, ROWS)
    except Invalid:
        return


def test_a_wire_type_refuses_what_it_does_not_know() -> None:
    class Out(Wire):
        a: int

    with pytest.raises(ValidationError, match="Extra inputs"):
        Out.model_validate({"a": 1, "b": 2})


def test_a_page_has_items_and_the_next_cursor() -> None:
    assert page([1], None) == {"items": [1], "next": None}
