"""How much of what the alarmed metric shows each other one explains."""

import numpy as np

from atalaia.core.points import FloatArray


def explained(extra: FloatArray, alarmed: FloatArray, *, is_comparable: bool = True) -> FloatArray:
    """Return the part of the alarmed metric's extra that each row explains, 0.0 to 1.0.

    It is the slope of a line through the points (alarmed, row) of the window and through (0, 0), which stands for
    all the time before: what was off by the same amount before and after the incident began explains nothing of
    it, and what rises and falls with the alarm explains as much as it is large. Moments of which either is not
    known do not count, and a row that is not known while the alarm is loud explains less by that.

    Parameters
    ----------
    extra
        float64[n, w], how much worse than usual each row is, in the unit of the alarm (see `ranking`). NaN where it
        is not known.
    alarmed
        float64[w], the same of the alarmed one.
    is_comparable
        Whether the sizes of two rows can be compared. If not, how faithfully a row follows counts as well: the part
        is multiplied by the correlation.
    """
    rows = len(extra)
    loud = np.where(np.isfinite(alarmed), alarmed, 0.0)
    most = float(np.abs(loud).max(initial=0.0))
    if not rows or not most > 0:
        return np.zeros(rows)
    is_there = np.isfinite(extra) & np.isfinite(alarmed)
    is_point = np.pad(is_there, ((0, 0), (0, 1)), constant_values=True)
    right = np.where(is_point, np.pad(loud / most, (0, 1)), 0.0)
    left = np.where(is_point, np.pad(np.where(is_there, extra, 0.0), ((0, 0), (0, 1))), 0.0)
    covered = (right**2).sum(axis=1) / float(((loud / most) ** 2).sum())
    count = is_point.sum(axis=1)
    right = np.where(is_point, right - (right.sum(axis=1) / count)[:, None], 0.0)
    left = np.where(is_point, left - (left.sum(axis=1) / count)[:, None], 0.0)
    both, spread = (left * right).sum(axis=1), (right**2).sum(axis=1)
    with np.errstate(over="ignore"):  # an alarm may be as near to nothing as numbers go
        slope = np.divide(both, spread * most, out=np.zeros(rows), where=spread * most > 0)
    part = np.clip(slope, 0.0, 1.0) * covered
    if is_comparable:
        return part
    size = np.sqrt((left**2).sum(axis=1) * spread)
    return part * np.clip(np.divide(both, size, out=np.zeros(rows), where=size > 0), 0.0, 1.0)
