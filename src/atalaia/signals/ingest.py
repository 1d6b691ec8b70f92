"""Bodies with points, as rows or as columns, become arrays; what cannot be a point is refused with its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import msgspec
import numpy as np

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import MAX_MAGNITUDE, FloatArray, IntArray, NumberArray
from atalaia.kit.web import wire
from atalaia.kit.web.wire import Body, check_crowd, decode, refuse_places
from atalaia.signals.settings import SignalsSettings

_TOO_HIGH = 2**31
_NOTHING_KEPT = "; nothing was kept"


class PointIn(msgspec.Struct, forbid_unknown_fields=True):
    """One point on the wire."""

    series_id: str
    timestamp: float | str
    value: float


class PointsIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch on the wire: rows in `points`, or three columns of one length; `series` are numbers, not ids."""

    points: list[PointIn] | None = None
    series_ids: list[str] | None = None
    series: list[int] | None = None
    timestamps: list[float | str] | None = None
    values: list[float] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked points whose series are still named as the sender names them.

    Attributes
    ----------
    series_ids
        Ids, one for each point, or where there are `indexes` those that occur.
    indexes
        int64[n], for each point the position of its id in `series_ids`; None when they go in step.
    numbers
        int32[n], when the sender names series by their numbers; `series_ids` is empty then.
    id_pointer
        Where in the body the id of a point stands, its position for ``{}``.
    """

    series_ids: Sequence[str]
    timestamps: IntArray
    values: FloatArray
    id_pointer: str
    indexes: IntArray | None = None
    numbers: NumberArray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def place(self, position: int) -> int:
        """Return the first point whose id is the one at a position in `series_ids`."""
        return position if self.indexes is None else int(np.argmax(self.indexes == position))


_decoder = msgspec.json.Decoder(PointsIn)


def parse_points(body: Body, settings: SignalsSettings) -> Batch:
    """Return the batch that `body` brings.

    Raises
    ------
    Invalid
        When the body is not of either form, or points are not acceptable; the faults say which and why.
    """
    check_crowd(body, settings.max_batch_points)
    sent = decode(body, _decoder)
    if sent.points is not None:
        _refuse_columns(sent)
        ids = [point.series_id for point in sent.points]
        stamps: Sequence[float | str] = [point.timestamp for point in sent.points]
        values = [point.value for point in sent.points]
        pointers = ("/points/{}/series_id", "/points/{}/timestamp", "/points/{}/value")
    else:
        name = "series_ids" if sent.series is None else "series"
        ids, stamps, values = _columns(sent, name)
        pointers = (f"/{name}/{{}}", "/timestamps/{}", "/values/{}")
    check_count(len(ids), settings.max_batch_points, pointers[0].partition("/{}")[0])
    timestamps = parse_times(stamps, pointers[1], settings.max_ahead_s)
    checked = check_values(values, pointers[2])
    if sent.series is not None:
        return Batch((), timestamps, checked, pointers[0], numbers=_numbers(sent.series))
    return Batch(cast("Sequence[str]", ids), timestamps, checked, pointers[0])


def _numbers(series: Sequence[int]) -> NumberArray:
    wide = np.array([min(max(number, 0), _TOO_HIGH) for number in series], np.int64)
    refuse_places(
        "invalid_points",
        (wide < 1) | (wide >= _TOO_HIGH),
        "/series/{}",
        lambda i: "not the number of a series",
        so=_NOTHING_KEPT,
    )
    return wide.astype(np.int32)


def parse_times(stamps: Sequence[float | str], pointer: str, max_ahead_s: float) -> IntArray:
    """Return times on the wire as int64[n] microseconds.

    Raises
    ------
    Invalid
        When one is not a time, looks like milliseconds, or lies more than `max_ahead_s` in the future.
    """
    micros = wire.parse_times(stamps, pointer)
    limit = now_us() + int(max_ahead_s * MICROS)
    why = "it lies too far in the future; check the clock"
    refuse_places("invalid_time", micros > limit, pointer, lambda _: why, so=_NOTHING_KEPT)
    return micros


def check_values(values: Sequence[float], pointer: str) -> FloatArray:
    """Return values as float64[n].

    Raises
    ------
    Invalid
        When one is not finite, or so large that it cannot be a measurement.
    """
    numbers = np.array(values, np.float64)
    bad = ~(np.abs(numbers) <= MAX_MAGNITUDE)
    refuse_places(
        "invalid_points", bad, pointer, lambda i: f"{values[i]!r} is not a usable number", so=_NOTHING_KEPT
    )
    return numbers


def _columns(sent: PointsIn, name: str) -> tuple[Sequence[str | int], Sequence[float | str], list[float]]:
    if sent.series is not None and sent.series_ids is not None:
        fault = Fault("/series", "stands beside `series_ids`")
        raise Invalid("invalid_request", "send either `series` (numbers) or `series_ids`", faults=[fault])
    ids: Sequence[str | int] | None = sent.series if name == "series" else sent.series_ids
    columns = {name: ids, "timestamps": sent.timestamps, "values": sent.values}
    absent = [name for name, column in columns.items() if column is None]
    if absent:
        faults = [Fault(f"/{name}", "is missing") for name in absent]
        detail = "send either `points`, or the columns `series_ids`, `timestamps` and `values`"
        raise Invalid("invalid_request", detail, faults=faults)
    lengths = {name: len(column or ()) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        detail = f"the columns differ in length: {', '.join(f'{name} {n}' for name, n in lengths.items())}"
        raise Invalid("invalid_points", detail, faults=[Fault("/values", detail)])
    return ids or [], sent.timestamps or [], sent.values or []


def _refuse_columns(sent: PointsIn) -> None:
    columns = {
        "series_ids": sent.series_ids,
        "series": sent.series,
        "timestamps": sent.timestamps,
        "values": sent.values,
    }
    if faults := [
        Fault(f"/{name}", "stands beside `points`") for name, column in columns.items() if column is not None
    ]:
        raise Invalid(
            "invalid_request", "send either `points` or columns, not both; nothing was kept", faults=faults
        )


def check_count(count: int, most: int, pointer: str) -> None:
    """Refuse no points at all, and more than one request may bring."""
    if not count:
        raise Invalid("invalid_points", "there is no point in the body", faults=[Fault(pointer, "is empty")])
    if count > most:
        detail = f"{count} points are too many for one request, at most {most}"
        raise Invalid("invalid_points", detail, faults=[Fault(pointer, detail)])
