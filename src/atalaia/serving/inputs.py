"""Points that look like somebody plays with a model: far outside what it has learnt, replayed, or too many.

They are answered all the same, with flags, and counted. The score is the distance from what is expected, in allowed
deviations, so that it says how far outside a point lies without anything else being remembered. Of each series that
is asked for, the last few points and how often it was asked in this second are kept, in one line of the cache.
"""

import threading
import time

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled
from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.kit.telemetry import Telemetry
from atalaia.serving.settings import ServingSettings

OUT_OF_ENVELOPE, REPLAYED, FLOODING = 1, 2, 4
FLAGS = {OUT_OF_ENVELOPE: "out_of_envelope", REPLAYED: "replayed", FLOODING: "flooding"}
_REMEMBERED = 6
"""Points of a series that are remembered."""
_SECOND, _COUNT = 6, 7
_LEAST = 1024
_MIX = np.int64(-7046029254386353131)


def names_of(bits: int) -> list[str]:
    """Return the names of flags."""
    return [name for bit, name in FLAGS.items() if bits & bit]


class Inputs:
    """Looks at the points that are asked for."""

    def __init__(self, settings: ServingSettings, telemetry: Telemetry) -> None:
        self._envelope = settings.envelope_score
        self._most = settings.max_asks_per_s
        self._telemetry = telemetry
        self._growing = threading.Lock()
        self._cells: NDArray[np.int64] = np.zeros((_LEAST, 8), np.int64)

    def look(self, index: int, timestamp: int, value: float, score: float) -> int:
        """Return the flags of one point of a series, and count them."""
        cells = self._cells
        if index >= len(cells):
            cells = self._grown(index + 1)
        bits = _look(cells, index, timestamp, value, int(time.monotonic()), self._most)
        if score > self._envelope:
            bits |= OUT_OF_ENVELOPE
        if bits:
            for name in names_of(bits):
                self._telemetry.count("prediction_inputs_flagged_total", name)
        return bits

    def look_at_all(
        self, indexes: NumberArray, timestamps: IntArray, values: FloatArray, scores: FloatArray
    ) -> NDArray[np.uint8]:
        """Return the flags of n points, and count them; series without an index are not remembered."""
        highest = int(indexes.max(initial=-1))
        cells = self._grown(highest + 1) if highest >= len(self._cells) else self._cells
        flags = np.zeros(len(values), np.uint8)
        _look_at_all(cells, indexes, timestamps, values, int(time.monotonic()), self._most, flags)
        flags[scores > self._envelope] |= OUT_OF_ENVELOPE
        for bit, name in FLAGS.items():
            if found := int(np.count_nonzero(flags & bit)):
                self._telemetry.count("prediction_inputs_flagged_total", name, by=found)
        return flags

    def count_outside(self, scores: FloatArray) -> None:
        """Count the points far outside alone, where nobody asked for flags."""
        if found := int(np.count_nonzero(scores > self._envelope)):
            self._telemetry.count("prediction_inputs_flagged_total", FLAGS[OUT_OF_ENVELOPE], by=found)

    def _grown(self, series: int) -> NDArray[np.int64]:
        with self._growing:
            if series > len(self._cells):  # what another thread notes in the old ones meanwhile is forgotten
                cells = np.zeros((max(series, 2 * len(self._cells)), 8), np.int64)
                cells[: len(self._cells)] = self._cells
                self._cells = cells
            return self._cells


@compiled
def _look(cells: NDArray[np.int64], index: int, timestamp: int, value: float, second: int, most: int) -> int:
    said = (np.int64(timestamp) * _MIX) ^ np.float64(value).view(np.int64) | 1
    bits = 0
    for i in range(_REMEMBERED):
        if cells[index, i] == said:
            bits = REPLAYED
    if cells[index, _SECOND] != second:
        cells[index, _SECOND], cells[index, _COUNT] = second, 0
    cells[index, _COUNT] += 1
    if bits == 0:
        for i in range(_REMEMBERED - 1, 0, -1):
            cells[index, i] = cells[index, i - 1]
        cells[index, 0] = said
    if cells[index, _COUNT] > most:
        bits |= FLOODING
    return bits


@compiled
def _look_at_all(
    cells: NDArray[np.int64],
    indexes: NumberArray,
    timestamps: IntArray,
    values: FloatArray,
    second: int,
    most: int,
    flags: NDArray[np.uint8],
) -> None:
    for i in range(len(indexes)):
        if indexes[i] >= 0:
            flags[i] = _look(cells, indexes[i], timestamps[i], values[i], second, most)
