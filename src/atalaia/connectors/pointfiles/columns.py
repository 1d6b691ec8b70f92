"""Cells of a file as NumPy columns. pyarrow ships no types, so its objects are `Any` here and in `formats`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute

from atalaia.connectors.pointfiles.moments import Clock
from atalaia.connectors.pointfiles.reading import Place
from atalaia.core.points import FloatArray, IntArray

pa: Any = pyarrow
pc: Any = pyarrow.compute

MISSING = frozenset({"", "nan", "null", "none", "na", "n/a", "-nan", "<na>", "#n/a"})
"""What stands in a cell without a value, in any case."""


def timestamps(cells: Any, clock: Clock, rows: Sequence[int]) -> IntArray:
    """Return int64[n] microseconds since the epoch of the `cells` (an Arrow array or a list)."""
    if isinstance(cells, list):
        return _listed_timestamps(cells, clock, rows)  # pyright: ignore[reportUnknownArgumentType]
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return timestamps(cells.dictionary_decode(), clock, rows)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        if cells.null_count:
            return clock.from_any(cells.to_pylist(), rows)
        signed = pc.cast(cells, pa.int64() if pa.types.is_integer(kind) else pa.float64(), safe=False)
        return clock.from_numbers(signed.to_numpy(zero_copy_only=False), rows)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _stamped(pc.cast(cells, pa.timestamp("us", getattr(kind, "tz", None)), safe=False), clock, rows)
    if _is_text(kind):
        return _written(cells, clock, rows)
    raise clock.place.invalid(f"holds {kind}, not times", column=clock.column)


def _listed_timestamps(cells: list[Any], clock: Clock, rows: Sequence[int]) -> IntArray:
    kinds: set[type] = {type(cell) for cell in cells}
    if kinds == {str}:
        return _written(pa.array(cells, pa.string()), clock, rows)
    if kinds <= {int, float}:
        try:
            return clock.from_numbers(np.array(cells, np.int64 if kinds == {int} else np.float64), rows)
        except OverflowError:  # a whole number beyond 64 bits
            pass
    return clock.from_any(cells, rows)


def _written(cells: Any, clock: Clock, rows: Sequence[int]) -> IntArray:
    """Return the microseconds of texts: at once when all are written alike, else one by one."""
    for kind in (pa.int64(), pa.float64(), pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            cast = pc.cast(cells, kind)
        except pa.ArrowInvalid:
            continue
        if cast.null_count:
            break
        if pa.types.is_timestamp(kind):
            return _stamped(cast, clock, rows)
        return clock.from_numbers(cast.to_numpy(zero_copy_only=False), rows)
    return clock.from_any(cells.to_pylist(), rows)


def _stamped(cells: Any, clock: Clock, rows: Sequence[int]) -> IntArray:
    """Return the microseconds of Arrow timestamps; those without a zone are read in the clock's."""
    if cells.null_count or (cells.type.tz is None and str(clock.zone) != "UTC"):
        return clock.from_any(cells.to_pylist(), rows)
    return pc.cast(cells, pa.int64()).to_numpy(zero_copy_only=False)


def values(cells: Any, place: Place, column: str, rows: Sequence[int]) -> FloatArray:
    """Return float64[n] of the `cells`, NaN where a value is missing.

    Raises
    ------
    Invalid
        At the first cell that is no number, or an infinite one.
    """
    found = _floats(cells, place, column, rows)
    infinite = np.isinf(found)
    if infinite.any():
        raise place.invalid("the value is infinite", rows[int(np.argmax(infinite))], column)
    return found


def _floats(cells: Any, place: Place, column: str, rows: Sequence[int]) -> FloatArray:
    if isinstance(cells, list):
        return _listed_floats(cells, place, column, rows)  # pyright: ignore[reportUnknownArgumentType]
    kind = cells.type
    if pa.types.is_dictionary(kind):
        return _floats(cells.dictionary_decode(), place, column, rows)
    if pa.types.is_null(kind):
        return np.full(len(cells), np.nan)
    if _is_text(kind):
        try:
            return _to_floats(cells)
        except pa.ArrowInvalid:
            return _each_float(cells.to_pylist(), place, column, rows)
    if not _is_number(kind):
        raise place.invalid(f"holds {kind}, not numbers", column=column)
    return _to_floats(cells)


def _to_floats(cells: Any) -> FloatArray:
    found = pc.cast(cells, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return found.astype(np.float64, copy=False)


def _listed_floats(cells: list[Any], place: Place, column: str, rows: Sequence[int]) -> FloatArray:
    if {type(cell) for cell in cells} <= {int, float, bool, type(None)}:
        try:
            return np.array(cells, dtype=np.float64)
        except OverflowError:  # a whole number beyond the largest float
            pass
    return _each_float(cells, place, column, rows)


def _each_float(cells: Sequence[Any], place: Place, column: str, rows: Sequence[int]) -> FloatArray:
    return np.array([_float(c, place, column, r) for c, r in zip(cells, rows, strict=True)], dtype=np.float64)


def _float(cell: Any, place: Place, column: str, row: int) -> float:
    text = "" if cell is None else cell.strip() if isinstance(cell, str) else cell
    if isinstance(text, str) and text.lower() in MISSING:
        return np.nan
    try:
        if isinstance(text, dict | list) or "_" in str(text):  # 1_000 is a number in Python only
            raise ValueError
        return float(text)
    except (ValueError, TypeError, OverflowError):
        raise place.invalid(f"{str(cell)[:40]!r} is not a number", row, column) from None


def names(cells: Any, place: Place, column: str, rows: Sequence[int]) -> list[str]:
    """Return the series named by the `cells`.

    Raises
    ------
    Invalid
        At the first cell without a name.
    """
    found: list[Any] = [*cells] if isinstance(cells, list) else cells.to_pylist()  # pyright: ignore[reportUnknownVariableType]
    texts = [cell if isinstance(cell, str) else _name(cell) for cell in found]
    if not all(texts):
        raise place.invalid("the series has no name", rows[texts.index("")], column)
    return texts


def _name(cell: Any) -> str:
    return str(cell) if isinstance(cell, int) and not isinstance(cell, bool) else ""


def _is_text(kind: Any) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(kind: Any) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    )
