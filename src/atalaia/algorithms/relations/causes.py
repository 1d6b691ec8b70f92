"""Which sensors broke their relations: those without which the relations of the others hold."""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.assets.protocol import Deviation
from atalaia.algorithms.relations.passing import LEAST_LEFT, MOST_STRANGE, Known, widening
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD

MOST_CAUSES = 16
"""With so many sensors off, one more says nothing new: they have left each other altogether."""

MOST_CANDIDATES = 8
"""So many of the strangest sensors are tried as the cause, each at the price of k² multiplications."""


def causes(known: Known) -> tuple[Deviation, ...]:
    """Return the causes of the last moment, the one that explains most first.

    One sensor that is off breaks the relations of all that lean on it, and theirs may look worse than its own. So
    each of the strangest is tried: what do the others look like when they are told without it? The one that leaves
    the least is the first cause; it is left out, and the search goes on until all others are within their bands, or
    `MOST_CAUSES` are named.
    """
    if int(known.seen[0]) == 0:
        return ()
    points = len(known.readings)
    last = known.readings[(int(known.seen[0]) - 1) % points]
    inside = ~np.isnan(last)
    counts = (~np.isnan(known.readings)).sum(axis=0)
    mean = np.nansum(known.readings, axis=0) / np.maximum(counts, 1)
    few = np.sqrt(points / np.maximum(counts, 1))
    z = np.where(inside, mean, 0.0)
    precision = known.precision
    for sensor in np.flatnonzero(~inside & ~np.isnan(known.mean)):
        precision = _left_out(precision, int(sensor))
    found: list[Deviation] = []
    while inside.any() and len(found) < MOST_CAUSES:
        away, allowed, strange = _strange(known, precision, z, inside, few)
        candidates = [
            int(i) for i in np.argsort(-strange, kind="stable")[:MOST_CANDIDATES] if strange[i] > THRESHOLD
        ]
        if not candidates:
            break
        first = min(candidates, key=lambda i: _rest(known, precision, z, inside, few, i))
        seen = known.mean[first] + known.scale[first] * mean[first]
        expected = seen - known.scale[first] * away[first]
        band = known.scale[first] * allowed[first]
        found.append(
            Deviation(
                first,
                float(strange[first]),
                *(float(x) for x in (seen, expected, expected - band, expected + band)),
            )
        )
        inside = inside.copy()
        inside[first], z[first] = False, 0.0
        precision = _left_out(precision, first)
    return tuple(found)


def _strange(
    known: Known, precision: FloatArray, z: FloatArray, inside: NDArray[np.bool_], few: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return how far each sensor is off, how far it may be, in scales, and the first in parts of the second."""
    whole, left = np.diag(known.precision), np.diag(precision)
    left = np.maximum(left, LEAST_LEFT * whole)
    wider = np.sqrt(whole / left)
    shown = (precision @ z) / left
    away = shown - known.level * wider
    distance, others = float(z @ precision @ z), int(inside.sum()) - 1
    beyond = [widening(distance - x * x * y, others, known.distrust) for x, y in zip(shown, left, strict=True)]
    allowed = known.limit * few * wider * np.array(beyond)
    with np.errstate(invalid="ignore"):
        strange = np.minimum(np.abs(away) / allowed, MOST_STRANGE)
    return away, allowed, np.where(inside, strange, 0.0)


def _rest(
    known: Known, precision: FloatArray, z: FloatArray, inside: NDArray[np.bool_], few: FloatArray, gone: int
) -> tuple[float, float]:
    """Return how strange the strangest of the others is without one sensor, and all of them together."""
    others, shown = inside.copy(), z.copy()
    others[gone], shown[gone] = False, 0.0
    strange = _strange(known, _left_out(precision, gone), shown, others, few)[2]
    return max(float(strange.max()), THRESHOLD), float(strange.sum())


def _left_out(precision: FloatArray, sensor: int) -> FloatArray:
    """Return the precision of the other sensors; the row of the one that is left out becomes 0 but for rounding."""
    column = precision[:, sensor]
    return precision - np.outer(column, column) / max(column[sensor], 1e-300)
