"""Readings of the sensors of one asset become moments as they arrive, each once it is complete.

A moment is complete when no later reading of it is to be expected: every sensor has been read at it or later, or is
not due yet by its own step. A sensor that is `wait` moments behind the newest is not waited for. All of it goes by
the times of the readings and their order alone, never by a clock: the same readings give the same moments, however
they come in batches. A reading that comes after its moment is complete is left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from atalaia.algorithms.assets.moments import NEVER, Pace
from atalaia.algorithms.compiled import compiled
from atalaia.core.points import MAX_MAGNITUDE, FloatArray, IntArray

NONE = -(2**62)
"""Stands for the number of a moment where there is none."""
_NEXT, _TOP = 0, 1
_CELLS = 2_000_000
"""Values that come out in one go."""


class Waiting(NamedTuple):
    """What was read and is in no complete moment yet, of k sensors and at most w moments at a time.

    Attributes
    ----------
    newest
        int64[k]: the moment of the newest reading of each sensor.
    sums, counts, stamps, seen
        float64[w, k], int64[w, k] twice, and float64[w, k]: of the readings at a moment their sum and number, when
        the last one was, and what it showed.
    held, held_at
        float64[k] and int64[k]: what each sensor showed last at a complete moment, and at which.
    clock
        int64[2]: the first moment that is not complete, and the newest with any reading.
    """

    newest: IntArray
    sums: FloatArray
    counts: IntArray
    stamps: IntArray
    seen: FloatArray
    held: FloatArray
    held_at: IntArray
    clock: IntArray

    @staticmethod
    def after(pace: Pace, wait: int) -> "Waiting":
        """Return what waits behind a training: nothing."""
        sensors, width = len(pace.spans), wait + 2
        newest = np.where(pace.last_us == NEVER, NONE, pace.places(pace.last_us))
        top = int(newest.max(initial=NONE))
        numbers, counts = np.zeros((width, sensors)), np.zeros((width, sensors), np.int64)
        return Waiting(
            newest,
            numbers,
            counts,
            counts.copy(),
            numbers.copy(),
            np.full(sensors, np.nan),
            np.full(sensors, NONE),
            np.array([top + 1, top], np.int64),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """m complete moments of k sensors, in order.

    Attributes
    ----------
    places
        int64[m]: their numbers, see `Pace.places`.
    values
        float64[m, k]: what the sensors show, NaN where nothing.
    stamps, seen, rows
        int64[m, k], float64[m, k], int64[m, k]: of the last reading of a sensor at a moment when it was, what it
        showed, and where it stood among the readings given last; -1 without one.
    """

    places: IntArray
    values: FloatArray
    stamps: IntArray
    seen: FloatArray
    rows: IntArray


def gather(
    waiting: Waiting, pace: Pace, wait: int, sensors: IntArray, timestamps: IntArray, values: FloatArray
) -> Iterator[Gathered]:
    """Take readings in the order in which they arrived, in order of time inside each sensor; yield moments.

    `waiting` holds what is not complete; the moments must be taken before the next are asked for.
    """
    width, count = len(waiting.sums), len(waiting.newest)
    most = max(_CELLS // max(count, 1), 4 * width)
    rows = np.full((width, count), -1, np.int64)
    clock = (pace.step_us, pace.origin_us, pace.spans, pace.holds, wait)
    at = 0
    while at < len(sensors):
        room: int = min(most, len(sensors) - at + 2 * width)
        out = Gathered(
            np.empty(room, np.int64),
            np.empty((room, count)),
            np.empty((room, count), np.int64),
            np.empty((room, count)),
            np.empty((room, count), np.int64),
        )
        told = (out.places, out.values, out.stamps, out.seen, out.rows)
        at, found = _take(waiting, rows, *clock, sensors, timestamps, values, at, *told)
        if found:
            part = slice(0, found)
            yield Gathered(out.places[part], out.values[part], out.stamps[part], out.seen[part], out.rows[part])


@compiled
def _take(
    waiting: Waiting,
    rows: IntArray,
    step: int,
    origin: int,
    spans: IntArray,
    holds: IntArray,
    wait: int,
    sensors: IntArray,
    timestamps: IntArray,
    values: FloatArray,
    start: int,
    places: IntArray,
    out: FloatArray,
    stamps: IntArray,
    seen: FloatArray,
    from_rows: IntArray,
) -> tuple[int, int]:
    """Take readings from `start` on, as long as there is room for what they complete; return how far, and how many
    moments are complete."""
    found, width = 0, len(waiting.sums)
    for n in range(start, len(sensors)):
        if found + 2 * width > len(places):
            return n, found
        i = sensors[n]
        if not abs(values[n]) <= MAX_MAGNITUDE:
            continue
        place = (timestamps[n] - origin + step // 2) // step
        if place < waiting.newest[i]:
            continue
        waiting.newest[i] = place
        if place > waiting.clock[_TOP]:
            waiting.clock[_TOP] = place
            done = _complete_until(waiting, spans, wait, place - 1)
            found = _finish(waiting, rows, holds, done, found, places, out, stamps, seen, from_rows)
        if place < waiting.clock[_NEXT]:
            continue
        slot = place % width
        waiting.sums[slot, i] += values[n]
        waiting.counts[slot, i] += 1
        waiting.stamps[slot, i], waiting.seen[slot, i], rows[slot, i] = timestamps[n], values[n], n
        done = _complete_until(waiting, spans, wait, waiting.clock[_TOP])
        found = _finish(waiting, rows, holds, done, found, places, out, stamps, seen, from_rows)
    return len(sensors), found


@compiled
def _complete_until(waiting: Waiting, spans: IntArray, wait: int, limit: int) -> int:
    """Return the last moment, `limit` at most, for which no sensor that is waited for owes a reading."""
    last = limit
    for i in range(len(spans)):
        due = waiting.newest[i] + spans[i]
        if waiting.newest[i] > NONE and due + wait >= waiting.clock[_TOP]:
            last = min(last, due - 1)
    return last


@compiled
def _finish(
    waiting: Waiting,
    rows: IntArray,
    holds: IntArray,
    done: int,
    found: int,
    places: IntArray,
    out: FloatArray,
    stamps: IntArray,
    seen: FloatArray,
    from_rows: IntArray,
) -> int:
    """Write the moments up to `done` at which anything was read; return how many there are by now."""
    width, count = waiting.sums.shape
    first = waiting.clock[_NEXT]
    for place in range(first, min(done, first + width - 1) + 1):
        slot = place % width
        if waiting.counts[slot].sum() == 0:
            continue
        places[found] = place
        for i in range(count):
            number = waiting.counts[slot, i]
            from_rows[found, i], stamps[found, i], seen[found, i] = -1, -1, np.nan
            if number > 0:
                waiting.held[i], waiting.held_at[i] = waiting.sums[slot, i] / number, place
                stamps[found, i], seen[found, i] = waiting.stamps[slot, i], waiting.seen[slot, i]
                from_rows[found, i] = rows[slot, i]
                waiting.sums[slot, i], waiting.counts[slot, i], rows[slot, i] = 0.0, 0, -1
            is_held = place - waiting.held_at[i] <= holds[i]
            out[found, i] = waiting.held[i] if is_held else np.nan
        found += 1
    waiting.clock[_NEXT] = max(first, done + 1)
    return found
