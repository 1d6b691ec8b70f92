"""Points survive Arrow and Parquet exactly; damage is found; what is not wanted is not read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.core.errors import Broken
from atalaia.core.points import Points
from atalaia.kit import arrow
from atalaia.kit.arrow import (
    Footer,
    points_from_ipc,
    points_to_ipc,
    points_to_parquet,
    read_all,
    read_footer,
    read_series,
)

INT64 = st.integers(-(2**63), 2**63 - 1)
ROWS = st.lists(st.tuples(st.integers(0, 2**31 - 1), INT64, st.floats()), max_size=50)


def points_of(rows: list[tuple[int, int, float]]) -> Points:
    series, timestamps, values = ([row[i] for row in rows] for i in range(3))
    return Points(np.array(series, np.int32), np.array(timestamps, np.int64), np.array(values, np.float64))


def history(series: int, points: int) -> Points:
    """Return the sorted history of several series."""
    numbers = np.repeat(np.arange(series, dtype=np.int32), points)
    values = np.random.default_rng(7).normal(size=series * points)
    return Points(numbers, np.tile(np.arange(points, dtype=np.int64) * 60_000_000, series), values)


def assert_same(found: Points, wanted: Points) -> None:
    for name in ("series", "timestamps", "values"):
        assert_array_equal(getattr(found, name), getattr(wanted, name), strict=True)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow, "ROW_GROUP", 100)


def block(folder: Path, points: Points) -> Path:
    path = folder / "block.parquet"
    path.write_bytes(points_to_parquet(points))
    return path


def chunk(footer: Footer, group: int, column: int) -> tuple[int, int]:
    """Return where a column of a row group begins, and how long it is."""
    found = footer.metadata.row_group(group).column(column)
    return found.dictionary_page_offset or found.data_page_offset, found.total_compressed_size


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]


def wanted(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int32)


@given(ROWS)
def test_points_survive_arrow_bit_by_bit(rows: list[tuple[int, int, float]]) -> None:
    points = points_of(rows)
    found = points_from_ipc(points_to_ipc(points))
    assert_same(found, points)
    assert found.values.tobytes() == points.values.tobytes()  # minus zero and NaN too


@settings(max_examples=30)
@given(rows=ROWS)
def test_points_survive_parquet(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, float]]
) -> None:
    points = points_of(rows).latest()
    path = block(tmp_path_factory.mktemp("blocks"), points)
    footer = read_footer(path)
    numbers = np.unique(points.series)
    assert_same(read_series(path, footer, numbers), points)


@given(st.lists(st.integers(0, 39), max_size=10, unique=True).map(sorted))
@settings(max_examples=25)
def test_a_read_holds_the_wanted_series_and_no_other(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int]
) -> None:
    points = history(30, 25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arrow, "ROW_GROUP", 100)
        path = block(tmp_path_factory.mktemp("blocks"), points)
    found = read_series(path, read_footer(path), wanted(*numbers))
    assert_same(found, points.take(np.isin(points.series, numbers)))


def test_no_points_survive_parquet(tmp_path: Path) -> None:
    path = block(tmp_path, Points.empty())
    assert len(read_series(path, read_footer(path), wanted(1, 2))) == 0
    assert len(read_all(path)) == 0


@pytest.mark.usefixtures("small_groups")
def test_the_footer_says_which_series_each_row_group_holds(tmp_path: Path) -> None:
    footer = read_footer(block(tmp_path, history(4, 150)))
    assert footer.first.tolist() == [0, 0, 1, 2, 2, 3]
    assert footer.last.tolist() == [0, 1, 1, 2, 3, 3]


@pytest.mark.usefixtures("small_groups")
def test_all_points_are_read_in_their_order(tmp_path: Path) -> None:
    points = history(7, 90)
    assert_same(read_all(block(tmp_path, points)), points)


@pytest.mark.usefixtures("small_groups")
def test_a_damaged_page_is_found_and_only_where_it_is_read(tmp_path: Path) -> None:
    points = history(10, 100)  # one series a row group
    path = block(tmp_path, points)
    footer = read_footer(path)
    start, size = chunk(footer, 4, 2)
    path.write_bytes(flipped(path.read_bytes(), start + size // 2))
    with pytest.raises(Broken) as caught:
        read_series(path, footer, wanted(4))
    assert caught.value.code == "bad_blob"
    with pytest.raises(Broken):
        read_all(path)
    healthy = wanted(0, 3, 5, 9)  # the damaged row group is never touched
    assert_same(read_series(path, footer, healthy), points.take(np.isin(points.series, healthy)))


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("column", [0, 1, 2])
def test_no_flipped_byte_is_ever_read_as_something_else(tmp_path: Path, column: int) -> None:
    points = history(3, 100)
    path = block(tmp_path, points)
    footer = read_footer(path)
    data = path.read_bytes()
    start, size = chunk(footer, 1, column)
    for place in range(start, start + size, 1 + size // 60):
        path.write_bytes(flipped(data, place))
        try:
            found = read_series(path, footer, wanted(1))
        except Broken:
            continue
        assert_same(found, points.take(points.series == 1))  # a byte that means nothing


@pytest.mark.parametrize("size", [0, 3, 100, -1, -100])
def test_a_file_that_was_cut_short_is_found(tmp_path: Path, size: int) -> None:
    path = block(tmp_path, history(3, 50))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(Broken) as caught:
        read_footer(path)
    assert caught.value.code == "bad_blob"
    with pytest.raises(Broken):
        read_all(path)


def test_a_file_that_was_cut_short_after_its_footer_was_read_is_found(tmp_path: Path) -> None:
    path = block(tmp_path, history(3, 50))
    footer = read_footer(path)
    path.write_bytes(path.read_bytes()[:64])
    with pytest.raises(Broken):
        read_series(path, footer, wanted(0, 1, 2))


def test_a_file_that_is_gone_is_not_called_damaged(tmp_path: Path) -> None:
    path = block(tmp_path, history(1, 5))
    footer = read_footer(path)
    path.unlink()
    for act in (lambda: read_footer(path), lambda: read_all(path), lambda: read_series(path, footer, wanted(0))):
        with pytest.raises(FileNotFoundError):
            act()


def test_no_wanted_series_is_no_points(tmp_path: Path) -> None:
    path = block(tmp_path, history(3, 5))
    assert len(read_series(path, read_footer(path), wanted())) == 0
    assert len(read_series(path, read_footer(path), wanted(77))) == 0


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xff" * 64])
def test_bytes_that_are_no_batch_are_found(damage: bytes) -> None:
    with pytest.raises(Broken) as caught:
        points_from_ipc(damage)
    assert caught.value.code == "bad_blob"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_batch_that_was_cut_short_is_found(share: float) -> None:
    data = points_to_ipc(history(5, 200))
    with pytest.raises(Broken):
        points_from_ipc(data[: int(len(data) * share)])


def test_history_takes_few_bytes_a_point() -> None:
    points = history(20, 500)
    rounded = Points(points.series, points.timestamps, points.values.round(1))
    assert len(points_to_parquet(rounded)) < 6 * len(points)
