from typing import Any

import numpy as np
import pytest

from atalaia.core.errors import Invalid
from atalaia.lifecycle.rules import check_training_data, parse_window

LIMITS: dict[str, Any] = {"min_points": 5, "max_points": 10, "min_std": 1e-6}


def data(count=6):
    return np.arange(count, dtype=np.int64) * 60_000_000, np.linspace(0.0, 1.0, count)


def refused(timestamps, values, **limits):
    with pytest.raises(Invalid) as caught:
        check_training_data(timestamps, values, **{**LIMITS, **limits})
    assert caught.value.code == "invalid_training_data"
    return caught.value.faults[0]


def test_good_data_pass():
    check_training_data(*data(), **LIMITS)


@pytest.mark.parametrize(("count", "word"), [(4, "too few"), (11, "too many"), (0, "too few")])
def test_too_few_and_too_many_points_are_refused(count, word):
    fault = refused(*data(count))
    assert fault.pointer == "/values"
    assert word in fault.message


@pytest.mark.parametrize("count", [5, 10])
def test_the_limits_themselves_pass(count):
    check_training_data(*data(count), **LIMITS)


def test_columns_of_different_length_are_refused():
    timestamps, values = data()
    assert refused(timestamps[:-1], values).pointer == "/timestamps"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_the_first_value_that_is_no_number_is_named(bad):
    timestamps, values = data()
    values[[3, 5]] = bad
    assert refused(timestamps, values).pointer == "/values/3"


def test_a_repeated_timestamp_is_named():
    timestamps, values = data()
    timestamps[4] = timestamps[3]
    fault = refused(timestamps, values)
    assert fault.pointer == "/timestamps/4"
    assert "repeats" in fault.message


def test_a_timestamp_that_goes_back_is_named():
    timestamps, values = data()
    timestamps[2] = timestamps[0] - 1
    fault = refused(timestamps, values)
    assert fault.pointer == "/timestamps/2"
    assert "older" in fault.message


@pytest.mark.parametrize("value", [0.0, 7.25, -1e9])
def test_a_constant_series_has_nothing_to_learn(value):
    timestamps, values = data()
    assert "nothing to learn" in refused(timestamps, np.full_like(values, value)).message


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86_400), ("90m", 5_400), ("7d", 604_800), ("1s", 1), ("007d", 604_800)]
)
def test_a_window_is_a_number_and_a_unit(text, seconds):
    assert parse_window(text) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "24", "h", "0h", "-1h", "1.5h", "24 h", "1w", "9999999h", "٣h\n"])
def test_anything_else_is_not_a_window(text):
    with pytest.raises(Invalid) as caught:
        parse_window(text)
    assert caught.value.faults[0].pointer == "/window"
