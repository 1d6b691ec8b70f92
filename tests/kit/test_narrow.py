"""Whole numbers take few bytes and come back exactly."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.kit.narrow import UNITS, narrow, widen

START = 1_763_000_000_000_000


def there_and_back(numbers: Any, kind: type[Any] = np.int64) -> Any:
    numbers = np.array(numbers, kind)
    packed = narrow(numbers, UNITS)
    assert_array_equal(widen(packed, len(numbers), kind), numbers, strict=True)
    return None if packed.multiples is None else packed.multiples.dtype


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_all_numbers_come_back(numbers):
    there_and_back(numbers)


@given(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=20))
def test_all_small_numbers_come_back(numbers):
    there_and_back(numbers, np.int32)


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ([START] * 5, None),
        ([], None),
        ([START, START + 59_000_000], np.uint8),
        ([START, START + 59_001_000], np.uint16),
        ([START, START + 59_001_001], np.uint32),
        ([START + 7, START + 7 + 86_400_000_000], np.uint32),
        ([0, 2**40 + 1], np.uint64),
        ([-(2**63), 2**63 - 1], np.int64),
    ],
)
def test_numbers_take_as_few_bytes_as_their_range_needs(numbers, kind):
    assert there_and_back(numbers) == kind
