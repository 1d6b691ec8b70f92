"""What was freed goes back to the machine."""

import ctypes

import psutil
import pyarrow as pa
import pytest

from atalaia.kit.heap import give_back

MIB = 2**20


def test_memory_of_many_small_objects_goes_back() -> None:
    process = psutil.Process()
    kept = [str(i) * 10 for i in range(1_000_000)]
    keep_the_top = [str(i) * 10 for i in range(1_000)]
    full = process.memory_info().rss
    del kept
    give_back()
    assert process.memory_info().rss < full - 20 * MIB
    assert len(keep_the_top) == 1_000


def test_memory_of_tables_goes_back() -> None:
    process = psutil.Process()
    tables = [pa.array(range(20_000)) for _ in range(400)]
    full = process.memory_info().rss
    del tables
    give_back()
    assert process.memory_info().rss < full - 30 * MIB
    assert pa.total_allocated_bytes() < MIB


def test_an_allocator_without_a_way_to_do_so_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back()
