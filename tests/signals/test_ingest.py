import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.clock import now_us
from atalaia.core.errors import Invalid
from atalaia.signals.ingest import check_values, parse_points, parse_times
from atalaia.signals.settings import SignalsSettings

SETTINGS = SignalsSettings()
DAY_S = 86_400


def point(timestamp="1733587200", value="1.5", series_id='"s"'):
    return f'{{"points":[{{"series_id":{series_id},"timestamp":{timestamp},"value":{value}}}]}}'.encode()


def columns(ids, timestamps, values):
    return json.dumps({"series_ids": ids, "timestamps": timestamps, "values": values}).encode()


def refused(body, settings=SETTINGS):
    with pytest.raises(Invalid) as caught:
        parse_points(body, settings)
    return caught.value.code, [fault.pointer for fault in caught.value.faults]


def test_rows_become_a_batch():
    body = b'{"points":[{"series_id":"a b/c","timestamp":1733587200,"value":1},'
    body += b'{"series_id":"\xd0\xb6","timestamp":1733587260.25,"value":-2.5e3}]}'
    batch = parse_points(body, SETTINGS)
    assert list(batch.series_ids) == ["a b/c", "ж"]
    assert batch.timestamps.tolist() == [1733587200_000_000, 1733587260_250_000]
    assert batch.values.tolist() == [1.0, -2500.0]
    assert (batch.timestamps.dtype, batch.values.dtype) == (np.int64, np.float64)
    assert batch.id_pointer == "/points/{}/series_id"


def test_columns_become_the_same_batch():
    batch = parse_points(columns(["a", "a"], [1733587200, 1733587260.25], [1, -2.5]), SETTINGS)
    assert list(batch.series_ids) == ["a", "a"]
    assert batch.timestamps.tolist() == [1733587200_000_000, 1733587260_250_000]
    assert batch.values.tolist() == [1.0, -2.5]
    assert batch.id_pointer == "/series_ids/{}"


def test_seconds_fractions_and_rfc_3339_may_be_mixed():
    stamps = [1733587200, "2024-12-07T16:00:00.5Z", "2024-12-07T18:00:01+02:00", 1733587202.000001]
    batch = parse_points(columns(["s"] * 4, stamps, [0] * 4), SETTINGS)
    assert (batch.timestamps - 1733587200_000_000).tolist() == [0, 500_000, 1_000_000, 2_000_001]


@given(st.integers(0, 1_800_000_000_000_000))
def test_no_microsecond_is_lost_on_the_wire(micros):
    seconds = micros // 1_000_000 + (micros % 1_000_000) / 1e6
    for stamps in ([seconds], [seconds, "2024-12-07T16:00:00Z"]):
        assert abs(int(parse_times(stamps, "/{}", DAY_S * 36_500)[0]) - micros) <= 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"{",
        b"not json",
        b'{"points":[{"series_id":"s","timestamp":1,"value":NaN}]}',
        b'{"points":[{"series_id":"s","timestamp":1,"value":Infinity}]}',
        b'{"points":[{"series_id":"s","timestamp":1,"value":-Infinity}]}',
        b'{"points":[{"series_id":"\xff\xfe","timestamp":1,"value":1}]}',
        b"\xff\xfe{\x00}\x00",
        b'{"points":[{"series_id":"\\ud800","timestamp":1,"value":1}]}',
        b'{"points":[]}{"points":[]}',
    ],
)
def test_what_is_not_json_is_refused(body):
    assert refused(body) == ("invalid_json", [""])


@pytest.mark.parametrize(
    "body",
    [
        b'{"points":[{"series_id":"s","timestamp":1,"value":1}],"colour":"red"}',
        b'{"points":[{"series_id":"s","timestamp":1,"value":1,"colour":"red"}]}',
        b'{"x":' + b"[" * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_a_field_that_nobody_asked_for_is_refused(body):
    assert refused(body)[0] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"[]", [""]),
        (b"null", [""]),
        (b'"points"', [""]),
        (b"{}", ["/series_ids", "/timestamps", "/values"]),
        (b'{"points":null}', ["/series_ids", "/timestamps", "/values"]),
        (b'{"series_ids":["a"],"values":[1]}', ["/timestamps"]),
        (b'{"points":{}}', ["/points"]),
        (b'{"points":[1]}', ["/points/0"]),
        (b'{"points":[{"timestamp":1,"value":1}]}', ["/points/0"]),
        (b'{"points":[{"series_id":"s","timestamp":1}]}', ["/points/0"]),
        (point(value='"1.5"'), ["/points/0/value"]),
        (point(value="true"), ["/points/0/value"]),
        (point(value="null"), ["/points/0/value"]),
        (point(value="[1]"), ["/points/0/value"]),
        (point(value="1e400"), ["/points/0/value"]),
        (point(timestamp="null"), ["/points/0/timestamp"]),
        (point(timestamp="1e400"), ["/points/0/timestamp"]),
        (point(series_id="7"), ["/points/0/series_id"]),
        (point(series_id="null"), ["/points/0/series_id"]),
        (columns(["a", 7], [1, 2], [1, 2]), ["/series_ids/1"]),
        (columns(["a"], [1], ["x"]), ["/values/0"]),
        (
            b'{"points":[{"series_id":"s","timestamp":1,"value":1}],"series_ids":["a"],"timestamps":[1],"values":[1]}',
            ["/series_ids", "/timestamps", "/values"],
        ),
    ],
)
def test_what_has_another_form_is_refused(body, pointers):
    assert refused(body) == ("invalid_request", pointers)


@pytest.mark.parametrize(
    "timestamp", ['"2024-12-07"', '"2024-12-07T16:00:00"', '"yesterday"', '""', "-0.001", "1e12"]
)
def test_what_is_no_time_is_refused_in_rows(timestamp):
    assert refused(point(timestamp)) == ("invalid_time", ["/points/0/timestamp"])


def test_milliseconds_by_mistake_are_named_as_such():
    with pytest.raises(Invalid, match="looks like milliseconds"):
        parse_points(point("1733587200000"), SETTINGS)
    with pytest.raises(Invalid, match="looks like milliseconds"):
        parse_points(columns(["a", "a"], [1733587200000, "2024-12-07T16:00:00Z"], [1, 2]), SETTINGS)


def test_a_time_far_in_the_future_is_refused_and_a_near_one_is_not():
    now_s = now_us() / 1e6
    assert len(parse_points(point(str(now_s + DAY_S - 60)), SETTINGS).values) == 1
    assert refused(point(str(now_s + DAY_S + 60))) == ("invalid_time", ["/points/0/timestamp"])
    assert refused(point('"2099-01-01T00:00:00Z"')) == ("invalid_time", ["/points/0/timestamp"])
    assert refused(point(str(now_s + 60)), SignalsSettings(max_ahead_s=0))[0] == "invalid_time"


def test_every_bad_time_of_a_column_is_named():
    body = columns(["a"] * 4, [1, -1, 2, 1e13], [0] * 4)
    assert refused(body) == ("invalid_time", ["/timestamps/1", "/timestamps/3"])


@pytest.mark.parametrize("value", ["1e101", "-1e101", "1e308", "1.0000001e100"])
def test_a_number_that_is_no_measurement_is_refused(value):
    assert refused(point(value=value)) == ("invalid_points", ["/points/0/value"])


@pytest.mark.parametrize("value", ["1e100", "-1e100", "0", "-0.0", "1e-300", "123456789012345678901234567890"])
def test_large_and_small_numbers_are_measurements(value):
    assert parse_points(point(value=value), SETTINGS).values.tolist() == [float(value)]


def test_not_a_number_is_refused_wherever_it_comes_from():
    for value in (float("nan"), float("inf")):
        with pytest.raises(Invalid) as caught:
            check_values([1.0, value], "/values/{}")
        assert caught.value.faults[0].pointer == "/values/1"
        with pytest.raises(Invalid):
            parse_times([1.0, value], "/timestamps/{}", DAY_S)


def test_no_more_than_twenty_places_are_named():
    with pytest.raises(Invalid, match="and 99 more") as caught:
        parse_points(columns(["a"] * 100, [1] * 100, [1e101] * 100), SETTINGS)
    assert len(caught.value.faults) == 20


@pytest.mark.parametrize(("body", "pointer"), [(b'{"points":[]}', "/points"), (columns([], [], []), "/series_ids")])
def test_an_empty_batch_is_refused(body, pointer):
    assert refused(body) == ("invalid_points", [pointer])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(Invalid, match="series_ids 2, timestamps 1, values 1") as caught:
        parse_points(columns(["a", "b"], [1], [1]), SETTINGS)
    assert caught.value.code == "invalid_points"


def test_a_batch_over_the_limit_is_refused_and_one_at_the_limit_is_not():
    limit = SETTINGS.max_batch_points
    assert limit == 500_000
    body = b'{"series_ids":[%b"s"],"timestamps":[%b1],"values":[%b1]}'
    fill = (b'"s",' * limit, b"1," * limit, b"1," * limit)
    assert refused(body % fill) == ("invalid_points", ["/series_ids"])
    fill = (b'"s",' * (limit - 1), b"1," * (limit - 1), b"1," * (limit - 1))
    assert len(parse_points(body % fill, SETTINGS).values) == limit


def test_too_many_rows_point_at_the_rows():
    two = json.dumps({"points": [{"series_id": "s", "timestamp": 1, "value": 1}] * 2}).encode()
    assert refused(two, SignalsSettings(max_batch_points=1)) == ("invalid_points", ["/points"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {"series_id": st.text(max_size=8) | JSON, "timestamp": st.floats() | st.text(max_size=30) | JSON, "value": JSON}
)
STAMPS = st.floats(0, 1.7e9) | st.integers(0, 1_700_000_000) | st.sampled_from(["2024-12-07T16:00:00Z", "x"])
BODIES = (
    JSON
    | st.fixed_dictionaries({"points": st.lists(NEARLY, max_size=4)})
    | st.fixed_dictionaries(
        {
            "series_ids": st.lists(st.text(max_size=4), max_size=4),
            "timestamps": st.lists(STAMPS, max_size=4),
            "values": st.lists(st.floats() | st.integers(), max_size=4),
        }
    )
)


def reads_or_refuses(body):
    try:
        batch = parse_points(body, SETTINGS)
    except Invalid:
        return
    assert len(batch.series_ids) == len(batch.timestamps) == len(batch.values) > 0
    assert np.isfinite(batch.values).all()
    assert (batch.timestamps >= 0).all()
    assert (batch.timestamps <= now_us() + DAY_S * 1_000_000).all()


@given(BODIES)
def test_any_json_is_read_or_refused(body):
    reads_or_refuses(json.dumps(body).encode())


@given(BODIES, st.integers(0, 200), st.binary(max_size=3))
def test_any_bytes_are_read_or_refused(body, place, junk):
    text = json.dumps(body).encode()
    reads_or_refuses(text[:place] + junk + text[place:])
    reads_or_refuses(junk)
