"""Labelled series from folders: what is read, and what is refused with the file and the reason."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atalaia.connectors.labelled.series import read_series, set_name
from atalaia.core.errors import Invalid


def _write(folder: Path, name: str, columns: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), folder / f"{name}.parquet")


def _one(**changes: Any) -> dict[str, Any]:
    columns = {
        "timestamp": [60, 120, 180],
        "value": [1.0, float("nan"), 3.0],
        "label": [0, 0, 1],
        "is_train": [1, 0, 0],
    }
    return {name: cells for name, cells in {**columns, **changes}.items() if cells is not None}


def test_a_series_is_read_with_its_labels_and_history(tmp_path: Path) -> None:
    _write(tmp_path / "cpu" / "dev", "host 1", _one())
    [series] = read_series(tmp_path / "cpu")
    assert (series.name, series.data, series.columns, series.history) == ("host 1", "cpu", ("value",), 1)
    np.testing.assert_array_equal(series.values, [[1.0], [np.nan], [3.0]])
    assert series.labels.tolist() == [False, False, True]
    assert series.moments.tolist() == [60_000_000, 120_000_000, 180_000_000]


def test_both_splits_of_a_set_are_read_in_order_of_name(tmp_path: Path) -> None:
    _write(tmp_path / "set" / "holdout", "a", _one())
    _write(tmp_path / "set" / "dev", "b", _one())
    assert [s.name for s in read_series(tmp_path / "set")] == ["b", "a"]
    assert [s.name for s in read_series(tmp_path / "set" / "holdout")] == ["a"]
    assert set_name(tmp_path / "set" / "holdout") == set_name(tmp_path / "set") == "set"


def test_a_manifest_names_sensors_and_published_figures(tmp_path: Path) -> None:
    _write(
        tmp_path / "p" / "dev", "run", {"v0": [1, 2], "v1": [3, 4], "v10": [5, 6], "v2": [7, 8], "label": [0, 1]}
    )
    entry = {
        "file": "p/dev/run.parquet",
        "dataset": "pumps",
        "columns": ["a", "b", "c", "d"],
        "published_vus_pr": {"X": 0.5},
    }
    (tmp_path / "p" / "manifest.json").write_text(json.dumps([entry, "noise"]))
    [series] = read_series(tmp_path / "p")
    assert (series.data, series.columns, series.published, series.history) == (
        "pumps",
        ("a", "b", "c", "d"),
        {"X": 0.5},
        None,
    )
    assert series.values.tolist() == [[1, 3, 7, 5], [2, 4, 8, 6]]
    assert series.moments.tolist() == [0, 60_000_000]


def test_rows_out_of_order_are_sorted_where_no_history_depends_on_them(tmp_path: Path) -> None:
    _write(tmp_path, "x", _one(timestamp=[180, 60, 120], is_train=None))
    [series] = read_series(tmp_path)
    assert series.labels.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (_one(value=None), "neither a column value"),
        (_one(label=None), "no column label"),
        (_one(value=["a", "b", "c"]), "column value holds"),
        (_one(label=[0, 2, 1]), "other values than 0 and 1"),
        (_one(is_train=[0, 1, 0]), "is_train"),
        (_one(timestamp=[180, 60, 120]), "timestamp falls"),
        (_one(timestamp=[1.0, float("nan"), 2.0]), "missing or out of range"),
        (_one(timestamp=[1.0, 1e300, 2.0]), "missing or out of range"),
        ({name: cells[:0] for name, cells in _one().items()}, "no rows"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(
    tmp_path: Path, columns: Mapping[str, Any], reason: str
) -> None:
    _write(tmp_path, "broken", columns)
    with pytest.raises(Invalid, match=reason) as refused:
        list(read_series(tmp_path))
    assert refused.value.code == "unreadable_data"
    assert "broken.parquet" in refused.value.detail


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(Invalid, match="cannot be read"):
        list(read_series(tmp_path))


def test_an_empty_folder_and_no_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="holds no Parquet files"):
        list(read_series(tmp_path))
    with pytest.raises(Invalid, match="is not a folder"):
        list(read_series(tmp_path / "gone"))


@pytest.mark.parametrize("text", ["{", '{"a": 1}'])
def test_a_broken_manifest_is_refused(tmp_path: Path, text: str) -> None:
    _write(tmp_path, "x", _one())
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(Invalid, match=r"manifest\.json"):
        list(read_series(tmp_path))
