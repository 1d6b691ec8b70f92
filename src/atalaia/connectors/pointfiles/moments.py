"""Times of many writings, as microseconds since the epoch. NumPy and the standard library only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atalaia.connectors.pointfiles.reading import Place, Unit
from atalaia.core.clock import to_us
from atalaia.core.errors import Invalid
from atalaia.core.points import IntArray

_PER_S = {Unit.S: 1, Unit.MS: 10**3, Unit.US: 10**6, Unit.NS: 10**9}
_FARTHEST_S = 1e11
"""The year 5138. Seconds of today are 1e9, milliseconds 1e12: what lies behind is counted in another unit."""


@dataclass(frozen=True, slots=True)
class Clock:
    """How the times of one file are to be understood, and where to point when they cannot be."""

    unit: Unit
    zone: tzinfo
    place: Place
    column: str

    def from_numbers(self, numbers: NDArray[Any], rows: Sequence[int]) -> IntArray:
        """Return the microseconds of int64 or float64 `numbers`, which stand in `rows` of the file.

        Raises
        ------
        Invalid
            At the first number that is missing, infinite or farther than the year 5138.
        """
        with np.errstate(invalid="ignore"):
            wrong = ~(np.abs(numbers.astype(np.float64)) <= _FARTHEST_S * _PER_S[self.unit])
        if wrong.any():
            first = int(np.argmax(wrong))
            raise self._far(float(numbers[first]), rows[first])
        if numbers.dtype.kind == "f":
            return self._from_floats(numbers)
        per_s = _PER_S[self.unit]
        return numbers * (10**6 // per_s) if per_s <= 10**6 else numbers // (per_s // 10**6)

    def _from_floats(self, numbers: NDArray[np.float64]) -> IntArray:
        if self.unit is not Unit.S:
            return np.rint(numbers * (10**6 / _PER_S[self.unit])).astype(np.int64)
        fraction, whole = np.modf(numbers)  # apart, so that no microsecond is lost to the size of the number
        return whole.astype(np.int64) * 10**6 + np.rint(fraction * 1e6).astype(np.int64)

    def from_any(self, cells: Sequence[Any], rows: Sequence[int]) -> IntArray:
        """Return the microseconds of numbers, texts and datetimes, one by one.

        Raises
        ------
        Invalid
            At the first that is none of these.
        """
        return np.array([self._one(cell, row) for cell, row in zip(cells, rows, strict=True)], dtype=np.int64)

    def _one(self, cell: Any, row: int) -> int:
        if isinstance(cell, str):
            cell = _number_or_moment(cell.strip())
        if isinstance(cell, datetime):
            return self._from_datetime(cell, row)
        if isinstance(cell, int | float) and not isinstance(cell, bool):
            fits = isinstance(cell, float) or abs(cell) < 2**62
            return int(self.from_numbers(np.array([cell if fits else np.inf]), [row])[0])
        if cell is None or cell == "":
            raise self.place.invalid("the timestamp is missing", row, self.column)
        raise self.place.invalid(
            f"{str(cell)[:40]!r} is not a time; write Unix seconds, 2014-04-10T07:15:00Z or 2014-04-10 07:15:00",
            row,
            self.column,
        )

    def _from_datetime(self, moment: datetime, row: int) -> int:
        if moment.tzinfo is not None:
            return to_us(moment.astimezone(UTC))
        early, late = moment.replace(tzinfo=self.zone), moment.replace(tzinfo=self.zone, fold=1)
        if early.utcoffset() != late.utcoffset():
            raise self.place.invalid(
                f"{moment} happens twice or never in {self.zone}, where the clock is changed; "
                "write it with its offset, like +01:00",
                row,
                self.column,
            )
        return to_us(early.astimezone(UTC))

    def _far(self, number: float, row: int) -> Invalid:
        if np.isnan(number):
            return self.place.invalid("the timestamp is missing", row, self.column)
        likely = next((u for u in (Unit.NS, Unit.US, Unit.MS) if abs(number) > _FARTHEST_S * _PER_S[u] / 1e3), None)
        advice = f"it looks like {likely.value}: pass --unit {likely.value}" if likely else "check the unit"
        return self.place.invalid(
            f"timestamp {number:.0f} lies beyond the year 5000 when it counts {self.unit.value}; {advice}",
            row,
            self.column,
        )


def _number_or_moment(text: str) -> Any:
    """Return the number or datetime that `text` writes, else `text`."""
    for parse in (int, float, datetime.fromisoformat):
        try:
            return parse(text) if "_" not in text else text
        except (ValueError, OverflowError):
            continue
    return text
