"""The table from hashes to series numbers, beside a dict."""

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.connectors.prometheus import UNKNOWN, SeriesTable

FEW = st.integers(0, 40)  # all in a few slots: they must be told apart by more than their place
STEPS = st.lists(st.lists(st.tuples(FEW, FEW, st.integers(1, 2**31 - 1)), max_size=20), max_size=10)


def hashes_of(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array([(a << 32, b) for a, b in pairs], np.uint64).reshape(-1, 2)


def spread(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, (count, 2), np.uint64)


@given(STEPS)
def test_it_remembers_what_a_dict_remembers(steps: list[list[tuple[int, int, int]]]) -> None:
    table, plain = SeriesTable(), dict[tuple[int, int], int]()
    everything = [(a, b) for a in range(41) for b in range(0, 41, 5)]
    for step in steps:
        table.add(hashes_of([(a, b) for a, b, _ in step]), np.array([n for _, _, n in step], np.int32))
        plain.update({(a, b): n for a, b, n in step})
        assert len(table) == len(plain)
        asked = [*everything, *plain]
        assert table.numbers_of(hashes_of(asked)).tolist() == [plain.get(pair, UNKNOWN) for pair in asked]


def test_it_grows_and_loses_nothing() -> None:
    table = SeriesTable()
    hashes, numbers = spread(50_000), np.arange(1, 50_001, dtype=np.int32)
    for start in range(0, 50_000, 777):
        table.add(hashes[start : start + 777], numbers[start : start + 777])
        assert_array_equal(table.numbers_of(hashes[: start + 777]), numbers[: start + 777])
    assert (table.numbers_of(spread(1000, seed=1)) == UNKNOWN).all()


def test_a_full_table_forgets_and_learns_anew() -> None:
    table = SeriesTable(max_entries=100)
    hashes, numbers = spread(150), np.arange(1, 151, dtype=np.int32)
    table.add(hashes[:90], numbers[:90])
    table.add(hashes[:90], numbers[:90])
    assert len(table) == 90
    table.add(hashes[90:], numbers[90:])
    assert len(table) == 60
    assert_array_equal(table.numbers_of(hashes), [UNKNOWN] * 90 + numbers[90:].tolist())
    table.add(spread(150, seed=2), numbers)
    assert len(table) == 100


def test_a_table_without_entries_knows_nothing() -> None:
    assert SeriesTable().numbers_of(np.empty((0, 2), np.uint64)).tolist() == []
    assert SeriesTable().numbers_of(np.zeros((1, 2), np.uint64)).tolist() == [UNKNOWN]


def test_readers_never_see_a_wrong_number_while_others_write() -> None:
    table = SeriesTable()
    hashes, numbers = spread(20_000), np.arange(1, 20_001, dtype=np.int32)
    done = threading.Event()
    wrong: list[int] = []

    def look() -> None:
        while not done.is_set():
            found = table.numbers_of(hashes)
            wrong.extend(found[(found != UNKNOWN) & (found != numbers)].tolist())

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    writers = [
        threading.Thread(
            target=lambda part=part: [table.add(hashes[i : i + 50], numbers[i : i + 50]) for i in part]
        )
        for part in (range(0, 10_000, 50), range(10_000, 20_000, 50))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert_array_equal(table.numbers_of(hashes), numbers)
