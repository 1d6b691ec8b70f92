"""Files of points: what is read, and what is said of files that cannot be."""

import csv
import json
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from atalaia.connectors.pointfiles import Batch, Reading, Shape, Unit, read
from atalaia.core.clock import isoformat
from atalaia.core.errors import Invalid
from atalaia.core.series import check_id

AT = 1397114100  # 2014-04-10T07:15:00Z
Row = tuple[str, int, float]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(batches: list[Batch]) -> list[Row]:
    return [
        (name, int(at), float(value))
        for b in batches
        for name, at, value in zip(b.series_ids, b.timestamps, b.values, strict=True)
    ]


def rows_in(path: Path, **reading: Any) -> list[Row]:
    return rows_of(list(read(path, Reading(**reading))))


def test_a_long_file_names_its_series(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", f"series_id,timestamp,value\na b,{AT},1.5\né/日本,{AT + 0.25},-2\n")
    assert rows_in(path) == [("a b", AT * 10**6, 1.5), ("é/日本", AT * 10**6 + 250_000, -2.0)]
    assert rows_in(path, prefix="x/")[0][0] == "x/a b"


def test_a_wide_file_has_a_column_for_each_series(tmp_path: Path) -> None:
    path = write(tmp_path, "w.csv", "timestamp,cpu,net\n1,10,20\n2,,21\n3,nan,NULL\n")
    batches = list(read(path, Reading(prefix="host/", batch=2)))
    assert rows_of(batches) == [("host/cpu", 10**6, 10.0), ("host/net", 10**6, 20.0), ("host/net", 2 * 10**6, 21.0)]
    assert sum(b.missing for b in batches) == 3
    assert max(len(b) for b in batches) <= 2


def test_a_single_series_is_named_or_bears_the_name_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "pump 7.csv", "timestamp;value;label\n1;10;x\n")
    assert rows_in(path)[0][0] == "pump 7"
    assert rows_in(path, series="north/7")[0][0] == "north/7"


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = write(tmp_path, "o.csv", "t,v,s\n1,2,a\n")
    assert rows_in(path, timestamp_column="t", value_column="v", series_column="s") == [("a", 10**6, 2.0)]


@pytest.mark.parametrize(
    "written",
    [
        "1397114100",
        "1397114100.0",
        "2014-04-10T07:15:00Z",
        "2014-04-10T09:15:00+02:00",
        "2014-04-10 07:15:00",
        "2014-04-10T07:15:00.000000",
        " 2014-04-10 07:15:00 ",
    ],
)
def test_a_time_is_understood_in_every_writing(tmp_path: Path, written: str) -> None:
    text = json.dumps({"timestamp": written, "value": 1})
    for path in (
        write(tmp_path, "t.csv", f"timestamp,value\n{written},1\n"),
        write(tmp_path, "t.ndjson", text),
    ):
        assert rows_in(path, series="a") == [("a", AT * 10**6, 1.0)]


def test_writings_of_time_may_be_mixed(tmp_path: Path) -> None:
    path = write(
        tmp_path, "t.csv", "timestamp,value\n1397114100,1\n2014-04-10 07:15:00,2\n2014-04-10T07:15:00Z,3\n"
    )
    assert {at for _, at, _ in rows_in(path)} == {AT * 10**6}


@pytest.mark.parametrize(("unit", "number"), [("ms", AT * 10**3), ("us", AT * 10**6), ("ns", AT * 10**9 + 1)])
def test_another_unit_is_read_when_named_and_suggested_when_not(tmp_path: Path, unit: str, number: int) -> None:
    path = write(tmp_path, "u.csv", f"timestamp,value\n{number},1\n")
    assert rows_in(path, unit=Unit(unit))[0][1] == AT * 10**6
    with pytest.raises(Invalid, match=rf"u\.csv, row 2: .*--unit {unit}"):
        rows_in(path)


def test_a_stated_zone_moves_times_without_one(tmp_path: Path) -> None:
    path = write(tmp_path, "z.csv", "timestamp,value\n2014-04-10 09:15:00,1\n2014-04-10T07:15:00Z,2\n")
    assert [at for _, at, _ in rows_in(path, zone="Europe/Madrid")] == [AT * 10**6, AT * 10**6]
    twice = write(tmp_path, "y.csv", "timestamp,value\n2014-10-26 01:00:00,1\n2014-10-26 02:30:00,1\n")
    with pytest.raises(Invalid, match="row 3: .*twice"):
        rows_in(twice, zone="Europe/Madrid")
    with pytest.raises(Invalid, match="not a time zone"):
        rows_in(path, zone="Mars/Olympus")


def test_only_the_asked_interval_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "i.csv", "timestamp,value\n1,1\n2,\n3,3\n4,4\n")
    batches = list(read(path, Reading(from_us=3 * 10**6, to_us=4 * 10**6)))
    assert [at for _, at, _ in rows_of(batches)] == [3 * 10**6]
    assert sum(b.missing for b in batches) == 0


@pytest.mark.parametrize(
    "times",
    [
        pa.array([AT], pa.int64()),
        pa.array([AT], pa.float64()),
        pa.array([AT * 10**3], pa.timestamp("ms")),
        pa.array([AT * 10**9], pa.timestamp("ns", "UTC")),
        pa.array(["2014-04-10 07:15:00"]),
        pa.array(["2014-04-10T07:15:00Z"]).dictionary_encode(),
    ],
)
def test_parquet_columns_of_many_types_are_read(tmp_path: Path, times: Any) -> None:
    names = pa.array(["a"]).dictionary_encode()
    for number in (
        pa.array([2]),
        pa.array([2.0], pa.float32()),
        pa.array([2], pa.decimal128(5, 2)),
        pa.array(["2"]),
    ):
        pq.write_table(pa.table({"timestamp": times, "series_id": names, "value": number}), tmp_path / "p.parquet")
        assert rows_in(tmp_path / "p.parquet") == [("a", AT * 10**6, 2.0)]


def test_parquet_cells_of_other_types_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    for table in ({"timestamp": [[1]], "value": [1]}, {"timestamp": [1], "value": [[1]]}):
        pq.write_table(pa.table(table), path)
        with pytest.raises(Invalid, match="holds list"):
            rows_in(path)
    pq.write_table(pa.table({"timestamp": pa.array([1, None]), "value": pa.array([1, None])}), path)
    with pytest.raises(Invalid, match="row 2: the timestamp is missing"):
        rows_in(path)


BROKEN: list[tuple[str, str | bytes, str]] = [
    ("empty.csv", "", "is empty"),
    ("empty.ndjson", "", "is empty"),
    ("garbage.csv", bytes(range(256)) * 20, "not text"),
    ("garbage.dat", b"\x80\x81\x82,\xff\n\xff", "not UTF-8"),
    ("latin.csv", b"timestamp,value\n1,2\n" + b"2,\xe9\n", "not UTF-8"),
    ("utf16.csv", "timestamp,value\n1,2\n".encode("utf-16"), "UTF-16"),
    ("packed.csv", b"\x1f\x8b\x08\x00", "unpack"),
    ("columns.csv", "when,what\n1,2\n", "no column 'timestamp'; found 'when', 'what'"),
    ("twice.csv", "timestamp,value,value\n1,2,3\n", "stands there twice"),
    ("alone.csv", "timestamp\n1\n", "no column beside"),
    ("ragged.csv", "timestamp,value\n1,2\n1,2,3\n", "row 3: .*Expected 2 columns, got 3"),
    ("text.csv", "timestamp,value\n1,2\n2,abc\n", r"row 3: 'abc' is not a number \(column 'value'\)"),
    ("under.csv", "timestamp,value\n1,1_0\n", "row 2: '1_0' is not a number"),
    ("when.csv", "timestamp,value\n1,2\nyesterday,3\n", "row 3: 'yesterday' is not a time"),
    ("notime.csv", "timestamp,value\n1,2\n,3\n", "row 3: the timestamp is missing"),
    ("inf.csv", "timestamp,value\n1,2\n2,-inf\n", "row 3: the value is infinite"),
    ("name.csv", "series_id,timestamp,value\na,1,2\n,1,2\n", "row 3: the series has no name"),
    ("long.csv", "series_id,timestamp,value\n" + "a" * 300 + ",1,2\n", "row 2: .*300 characters"),
    ("wide.csv", "timestamp,value\n1," + "9" * 2_500_000 + "\n", "longer than 1,048,576 bytes"),
    ("json.ndjson", '{"timestamp":1,"value":2}\n\n{"timestamp":2,"value":\n', "line 3: is not JSON"),
    ("nan.ndjson", '{"timestamp":1,"value":NaN}\n', "line 1: is not JSON"),
    ("list.json", '[{"timestamp":1,"value":2}]', "line 1: is not a JSON object"),
    ("utf8.ndjson", b'{"timestamp":1,"value":"\xff"}\n', "line 1: is not UTF-8"),
    ("line.ndjson", '{"timestamp":1,"value":2,"x":"' + "x" * 10_000_000 + '"}\n', "line 1: is longer"),
    ("nest.ndjson", '{"timestamp":1,"value":{"a":1}}\n', "line 1: .* is not a number"),
    ("bool.ndjson", '{"timestamp":true,"value":1}\n', "line 1: 'True' is not a time"),
    ("huge.ndjson", '{"timestamp":1' + "0" * 400 + ',"value":1}\n', "line 1: "),
    (
        "keys.ndjson",
        '{"series_id":"a","timestamp":1,"value":2}\n{"timestamp":1,"value":2}\n',
        "no column 'series_id'",
    ),
    ("cut.parquet", b"PAR1" + bytes(100), "[Pp]arquet"),
    ("text.parquet", "timestamp,value\n1,2\n", "[Pp]arquet"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, name: str, content: str | bytes, reason: str
) -> None:
    with pytest.raises(Invalid, match=reason) as caught:
        list(read(write(tmp_path, name, content)))
    assert name in caught.value.detail
    assert len(caught.value.detail) < 600


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path, "folder"),
        (tmp_path / "none.csv", "no such file"),
        (Path("/dev/zero"), "regular"),
    ):
        with pytest.raises(Invalid, match=reason):
            list(read(path))
    with pytest.raises(Invalid, match="batch"):
        list(read(tmp_path, Reading(batch=0)))


def test_a_truncated_parquet_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    pq.write_table(
        pa.table({"timestamp": np.arange(5000), "value": rng.normal(size=5000)}), tmp_path / "whole.parquet"
    )
    whole = (tmp_path / "whole.parquet").read_bytes()
    for size in (5, len(whole) // 2, len(whole) - 1):
        with pytest.raises(Invalid, match=r"cut\.parquet"):
            list(read(write(tmp_path, "cut.parquet", whole[:size])))
    torn = whole[:2000] + bytes(2000) + whole[4000:]
    with pytest.raises(Invalid, match=r"torn\.parquet"):
        list(read(write(tmp_path, "torn.parquet", torn)))


def test_batches_before_the_broken_row_are_read_and_its_number_is_right(tmp_path: Path) -> None:
    lines = [f"{i},{i}" for i in range(1, 150_001)]
    lines[140_000] = "140001,oops"
    path = write(tmp_path, "late.csv", "timestamp,value\n" + "\n".join(lines))
    sizes: list[int] = []
    with pytest.raises(Invalid, match="row 140002: 'oops'"):
        sizes.extend(len(batch) for batch in read(path))
    assert max(sizes) <= 10_000
    assert 100_000 < sum(sizes) <= 140_000


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
def test_progress_grows_to_the_size_of_the_file(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"p.{ending}"
    store([("a", i * 10**6, float(i)) for i in range(30_000)], path)
    done: list[int] = []
    for _ in read(path, on_bytes=done.append):
        pass
    assert done == sorted(done)
    assert done[-1] == path.stat().st_size


def store(rows: list[Row], path: Path) -> None:
    """Write `rows` as the ending of `path` says."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("series_id", "timestamp", "value")])
            csv.writer(file).writerows((name, isoformat(at), repr(value)) for name, at, value in rows)
    elif path.suffix == ".ndjson":
        objects = ({"series_id": n, "timestamp": at / 1e6, "value": v} for n, at, v in rows)
        path.write_text("".join(json.dumps(o, ensure_ascii=False) + "\n" for o in objects), encoding="utf-8")
    else:
        names, ats, numbers = ([row[i] for row in rows] for i in range(3))
        columns = {"series_id": pa.array(names, pa.string()), "timestamp": pa.array(ats, pa.timestamp("us", "UTC"))}
        pq.write_table(pa.table(columns | {"value": pa.array(numbers, pa.float64())}), path)


def usable(name: str) -> bool:
    try:
        return bool(check_id(name))
    except Invalid:
        return False


NAMES = st.one_of(st.sampled_from(["NA", "null", "a,b", '"q"', "1"]), st.text(min_size=1, max_size=12)).filter(
    usable
)
POINTS = st.lists(
    st.tuples(
        NAMES,
        st.integers(min_value=-(10**15), max_value=4 * 10**15),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    max_size=30,
)


@pytest.mark.parametrize("ending", ["csv", "ndjson", "parquet"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=POINTS, batch=st.integers(min_value=1, max_value=40))
def test_points_that_were_written_are_read_back_the_same(
    tmp_path: Path, ending: str, rows: list[Row], batch: int
) -> None:
    path = tmp_path / f"round.{ending}"
    store(rows, path)
    if path.stat().st_size == 0:
        return
    batches = list(read(path, Reading(batch=batch)))
    assert rows_of(batches) == rows
    assert all(0 < len(b) <= batch for b in batches)


def test_the_shape_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path, "f.csv", "timestamp,value,other\n1,2,3\n")
    assert [row[0] for row in rows_in(path, shape=Shape.WIDE)] == ["value", "other"]
    with pytest.raises(Invalid, match="no column 'series_id'.*--series-column"):
        rows_in(path, shape=Shape.LONG)
