"""Labelled series from a folder of Parquet files.

Each file is one series or asset: a column ``value``, or ``v0``, ``v1`` ... for the sensors of an asset;
``label``, 1 where a point is anomalous; ``timestamp`` in seconds since the epoch, and ``is_train``, 1 for what a
detector may learn from, where the source has them. The files lie in the folder that is named, or in folders
inside it (``dev``, ``holdout``). A ``manifest.json`` in either, if there is one, names columns and published
figures.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.core.clock import MICROS
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import FloatArray, IntArray

_SPLITS = ("dev", "holdout", "test", "train", "shared")
_MOST_SECONDS = 2**62 // MICROS


def find_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a set: those in `folder`, else those in the folders inside it, in order of name.

    Raises
    ------
    Invalid
        ``unreadable_data`` if it is no folder, or there are none.
    """
    if not folder.is_dir():
        raise _invalid(folder, "is not a folder")
    found = sorted(folder.glob("*.parquet")) or sorted(folder.glob("*/*.parquet"))
    if not found:
        raise _invalid(folder, "holds no Parquet files, nor does a folder in it")
    return found


def read_series(folder: Path) -> Iterator[Labelled]:
    """Yield the labelled series of a set, one file after another.

    Raises
    ------
    Invalid
        ``unreadable_data`` with the file and the reason at the first one that cannot be read, and as `find_files`.
    """
    files = find_files(folder)
    told = _manifest(folder)
    for path in files:
        yield _read(path, told.get(path.stem, {}))


def set_name(folder: Path) -> str:
    """Return what the set in `folder` is called: its name, or its parent's where it is one split of a set."""
    folder = folder.resolve()
    return folder.parent.name if folder.name in _SPLITS else folder.name


def _read(path: Path, told: Mapping[str, Any]) -> Labelled:
    table = _table(path)
    names = ["value"] if "value" in table.column_names else _sensors(table)
    if not names:
        raise _invalid(path, "has neither a column value nor columns v0, v1 ...")
    if "label" not in table.column_names:
        raise _invalid(path, "has no column label")
    if not table.num_rows:
        raise _invalid(path, "has no rows")
    values = np.column_stack([_numbers(path, table, name) for name in names])
    labels = _flags(path, table, "label")
    moments = _moments(path, table)
    history = None
    if "is_train" in table.column_names:
        learnt = _flags(path, table, "is_train")
        history = int(learnt.sum())
        if not learnt[:history].all():
            raise _invalid(path, "is_train is not 1 for the first rows and 0 for all others")
    if moments is not None and history is None:
        order = np.argsort(moments, kind="stable")
        moments, values, labels = moments[order], values[order], labels[order]
    elif moments is not None and bool((np.diff(moments) < 0).any()):
        raise _invalid(path, "timestamp falls, while is_train depends on the order of rows")
    columns = tuple(str(name) for name in told.get("columns", names))
    return Labelled(
        name=path.stem,
        data=str(told.get("dataset", set_name(path.parent))),
        columns=columns if len(columns) == len(names) else tuple(names),
        values=values,
        labels=labels,
        history=history,
        timestamps=moments,
        published=_figures(told.get("published_vus_pr")),
    )


def _table(path: Path) -> Any:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as reason:
        raise _invalid(path, f"cannot be read: {reason}") from reason


def _sensors(table: Any) -> list[str]:
    found = [name for name in table.column_names if name[:1] == "v" and name[1:].isdecimal()]
    return sorted(found, key=lambda name: int(name[1:]))


def _numbers(path: Path, table: Any, name: str) -> FloatArray:
    column = table[name]
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise _invalid(path, f"column {name} holds {column.type}, not numbers")
    return np.asarray(column.to_numpy(), np.float64)


def _flags(path: Path, table: Any, name: str) -> Any:
    numbers = table[name].fill_null(0) if not pa.types.is_boolean(table[name].type) else table[name]
    flags = np.asarray(numbers.to_numpy())
    if not np.isin(flags, (0, 1)).all():
        raise _invalid(path, f"column {name} holds other values than 0 and 1")
    return flags.astype(np.bool_)


def _moments(path: Path, table: Any) -> IntArray | None:
    if "timestamp" not in table.column_names:
        return None
    seconds = _numbers(path, table, "timestamp")
    if not bool((np.abs(seconds) < _MOST_SECONDS).all()):
        raise _invalid(path, "column timestamp holds moments that are missing or out of range")
    return np.round(seconds * MICROS).astype(np.int64)


def _manifest(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Return what the manifest says of each series, by the name of its file; nothing if there is none."""
    for place in (folder / "manifest.json", folder.parent / "manifest.json"):
        if place.is_file():
            try:
                entries: Any = json.loads(place.read_text())
            except ValueError as reason:
                raise _invalid(place, f"is not JSON: {reason}") from reason
            if not isinstance(entries, list):
                raise _invalid(place, "is not a list of series")
            found: dict[str, Mapping[str, Any]] = {}
            for entry in entries:
                if isinstance(entry, dict) and isinstance(entry.get("file"), str):
                    found[Path(entry["file"]).stem] = entry
            return found
    return {}


def _figures(told: Any) -> dict[str, float]:
    if not isinstance(told, dict):
        return {}
    return {str(name): float(value) for name, value in told.items() if isinstance(value, int | float)}


def _invalid(path: Path, reason: str) -> Invalid:
    return Invalid("unreadable_data", f"{path}: {reason}", faults=[Fault("/data", reason)])
