"""Points survive Arrow and Parquet exactly; damage is found; what is not wanted is not read."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from atalaia.core.errors import Broken
from atalaia.core.points import Points
from atalaia.kit import arrow
from atalaia.kit.arrow import (
    Footer,
    part_of,
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


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 99), st.integers(-9_999, 9_999), st.sampled_from([1, 100, 3])),
        min_size=1,
        max_size=60,
    )
)
def test_decimal_and_other_series_survive_one_block(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, int]]
) -> None:
    points = points_of([(series, stamp, whole / share) for series, stamp, whole, share in rows for _ in (0, 1)])
    spread = Points(points.series, points.timestamps + np.arange(len(points)) % 2, points.values).latest()
    path = block(tmp_path_factory.mktemp("blocks"), spread)
    assert_same(read_all(path), spread)


def test_values_of_few_decimals_take_few_bytes() -> None:
    points = history(20, 500)
    decimal = Points(points.series, points.timestamps, points.values.round(4))
    assert len(points_to_parquet(decimal)) < 3.5 * len(points) < len(points_to_parquet(points))


@pytest.mark.usefixtures("small_groups")
def test_a_range_is_read_from_the_row_groups_that_reach_into_it(tmp_path: Path) -> None:
    points = history(1, 1_000)  # ten row groups of one series
    path = block(tmp_path, points)
    footer = read_footer(path)
    start, size = chunk(footer, 0, 2)
    path.write_bytes(flipped(path.read_bytes(), start + size // 2))  # and the first is never touched
    minute = 60_000_000
    found = read_series(path, footer, wanted(0), (350 * minute, 420 * minute))
    assert_same(found, points.take((np.arange(1_000) >= 350) & (np.arange(1_000) < 420)))


@given(st.sets(st.integers(0, 12)), st.integers(0, 30), st.integers(0, 30))
def test_a_part_of_points_is_that_of_the_series_and_the_range(numbers: set[int], start: int, end: int) -> None:
    points = history(10, 25)
    points = Points(points.series, points.timestamps // 60_000_000, points.values)
    chosen = np.isin(points.series, list(numbers)) if numbers else np.zeros(len(points), np.bool_)
    assert_same(part_of(points, wanted(*sorted(numbers)), None), points.take(chosen))
    chosen &= (points.timestamps >= start) & (points.timestamps < end)
    assert_same(part_of(points, wanted(*sorted(numbers)), (start, max(start, end))), points.take(chosen))


def test_a_batch_of_the_first_release_is_read() -> None:
    points = history(3, 50)
    schema = pa.schema([("series", pa.int32()), ("timestamp", pa.int64()), ("value", pa.float64())])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_batch(pa.record_batch([points.series, points.timestamps, points.values], schema=schema))
    assert_same(points_from_ipc(sink.getvalue().to_pybytes()), points)


def test_a_tick_of_many_series_takes_little_beside_its_values() -> None:
    tick = Points(
        np.arange(10_000, dtype=np.int32), np.full(10_000, 60_000_000), np.random.default_rng(7).random(10_000)
    )
    assert len(points_to_ipc(tick)) < 10.2 * len(tick)
