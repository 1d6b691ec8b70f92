"""Bodies with points, as rows or as columns, become arrays; what cannot be a point is refused with its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import MAX_MAGNITUDE, FloatArray, IntArray
from atalaia.kit.web.wire import MAX_SECONDS, decode, parse_time, why_not_seconds
from atalaia.signals.settings import SignalsSettings

_MAX_FAULTS = 20


class PointIn(msgspec.Struct, forbid_unknown_fields=True):
    """One point on the wire."""

    series_id: str
    timestamp: float | str
    value: float


class PointsIn(msgspec.Struct, forbid_unknown_fields=True):
    """A batch on the wire: rows in `points`, or three columns of one length."""

    points: list[PointIn] | None = None
    series_ids: list[str] | None = None
    timestamps: list[float | str] | None = None
    values: list[float] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked points whose series are still named by their ids.

    Attributes
    ----------
    id_pointer
        Where in the body the id of a point stands, its position for ``{}``.
    """

    series_ids: Sequence[str]
    timestamps: IntArray
    values: FloatArray
    id_pointer: str


_decoder = msgspec.json.Decoder(PointsIn)


def parse_points(body: bytes, settings: SignalsSettings) -> Batch:
    """Return the batch that `body` brings.

    Raises
    ------
    Invalid
        When the body is not of either form, or points are not acceptable; the faults say which and why.
    """
    sent = decode(body, _decoder)
    if sent.points is not None:
        _refuse_columns(sent)
        ids = [point.series_id for point in sent.points]
        stamps: Sequence[float | str] = [point.timestamp for point in sent.points]
        values = [point.value for point in sent.points]
        pointers = ("/points/{}/series_id", "/points/{}/timestamp", "/points/{}/value")
    else:
        ids, stamps, values = _columns(sent)
        pointers = ("/series_ids/{}", "/timestamps/{}", "/values/{}")
    _check_count(len(ids), settings.max_batch_points, pointers[0].partition("/{}")[0])
    timestamps = parse_times(stamps, pointers[1], settings.max_ahead_s)
    return Batch(ids, timestamps, check_values(values, pointers[2]), pointers[0])


def parse_times(stamps: Sequence[float | str], pointer: str, max_ahead_s: float) -> IntArray:
    """Return times on the wire as int64[n] microseconds.

    Raises
    ------
    Invalid
        When one is not a time, looks like milliseconds, or lies more than `max_ahead_s` in the future.
    """
    if all(isinstance(stamp, float) for stamp in stamps):
        seconds = np.array(stamps, np.float64)
        usable = (seconds >= 0) & (seconds <= MAX_SECONDS)
        _refuse("invalid_time", ~usable, pointer, lambda i: why_not_seconds(float(seconds[i])) or "not a time")
        whole = np.floor(seconds)
        micros = whole.astype(np.int64) * MICROS + np.rint((seconds - whole) * MICROS).astype(np.int64)
    else:
        micros = np.array([parse_time(s, pointer.format(i)) for i, s in enumerate(stamps)], np.int64)
    limit = now_us() + int(max_ahead_s * MICROS)
    _refuse("invalid_time", micros > limit, pointer, lambda _: "it lies too far in the future; check the clock")
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
    _refuse("invalid_points", bad, pointer, lambda i: f"{values[i]!r} is not a usable number")
    return numbers


def _columns(sent: PointsIn) -> tuple[list[str], Sequence[float | str], list[float]]:
    columns = {"series_ids": sent.series_ids, "timestamps": sent.timestamps, "values": sent.values}
    absent = [name for name, column in columns.items() if column is None]
    if absent:
        faults = [Fault(f"/{name}", "is missing") for name in absent]
        detail = "send either `points`, or the columns `series_ids`, `timestamps` and `values`"
        raise Invalid("invalid_request", detail, faults=faults)
    lengths = {name: len(column or ()) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        detail = f"the columns differ in length: {', '.join(f'{name} {n}' for name, n in lengths.items())}"
        raise Invalid("invalid_points", detail, faults=[Fault("/values", detail)])
    return sent.series_ids or [], sent.timestamps or [], sent.values or []


def _refuse_columns(sent: PointsIn) -> None:
    columns = {"series_ids": sent.series_ids, "timestamps": sent.timestamps, "values": sent.values}
    if faults := [
        Fault(f"/{name}", "stands beside `points`") for name, column in columns.items() if column is not None
    ]:
        raise Invalid(
            "invalid_request", "send either `points` or columns, not both; nothing was kept", faults=faults
        )


def _check_count(count: int, most: int, pointer: str) -> None:
    if not count:
        raise Invalid("invalid_points", "there is no point in the body", faults=[Fault(pointer, "is empty")])
    if count > most:
        detail = f"{count} points are too many for one request, at most {most}"
        raise Invalid("invalid_points", detail, faults=[Fault(pointer, detail)])


def _refuse(code: str, bad: NDArray[np.bool_], pointer: str, why: Callable[[int], str]) -> None:
    places = np.flatnonzero(bad)
    if not len(places):
        return
    faults = [Fault(pointer.format(place), why(int(place))) for place in places[:_MAX_FAULTS]]
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    raise Invalid(code, f"{faults[0].pointer}: {faults[0].message}{more}; nothing was kept", faults=faults)
