"""Pure decisions of lifecycle: which data may train, how long a window is."""

import re

import numpy as np

from atalaia.core.errors import Fault, Invalid
from atalaia.core.points import MAX_MAGNITUDE, FloatArray, IntArray

_WINDOW = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def check_training_data(
    timestamps: IntArray, values: FloatArray, *, min_points: int, max_points: int, min_std: float
) -> None:
    """Refuse data that cannot train one series.

    Parameters
    ----------
    timestamps
        int64[n], microseconds since the epoch.
    values
        float64[n].

    Raises
    ------
    Invalid
        For too few or too many points, timestamps that do not increase, values that are not finite, or a
        standard deviation of at most `min_std`. The fault names the first index that is wrong.
    """
    n = len(values)
    if len(timestamps) != n:
        raise _refused("/timestamps", f"{len(timestamps)} timestamps for {n} values")
    if n < min_points:
        raise _refused("/values", f"{n} points are too few, at least {min_points} are needed")
    if n > max_points:
        raise _refused("/values", f"{n} points are too many, at most {max_points} are taken")
    bad = np.flatnonzero(~(np.abs(values) <= MAX_MAGNITUDE))
    if len(bad):
        raise _refused(f"/values/{bad[0]}", f"{values[bad[0]]!s} is not a usable number")
    back = np.flatnonzero(np.diff(timestamps) <= 0)
    if len(back):
        at = int(back[0]) + 1
        what = "repeats the one before" if timestamps[at] == timestamps[at - 1] else "is older than the one before"
        raise _refused(f"/timestamps/{at}", f"the timestamp {what}; they must increase")
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if not spread > min_std:
        raise _refused(
            "/values", f"the standard deviation {spread:.3g} does not exceed {min_std:g}: nothing to learn"
        )


def parse_window(text: str) -> int:
    """Return a window such as ``24h``, ``90m`` or ``7d`` in microseconds.

    Raises
    ------
    Invalid
        When it is none.
    """
    found = _WINDOW.fullmatch(text)
    if not found or not int(found[1]):
        fault = Fault("/window", "expected a number and s, m, h or d, e.g. 24h")
        raise Invalid("invalid_request", f"window: {fault.message}", faults=[fault])
    return int(found[1]) * _SECONDS[found[2]] * 1_000_000


def _refused(pointer: str, reason: str) -> Invalid:
    return Invalid("invalid_training_data", f"{pointer}: {reason}", faults=[Fault(pointer, reason)])
