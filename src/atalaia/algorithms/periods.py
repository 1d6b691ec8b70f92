"""After how many points a series repeats itself."""

import numpy as np

from atalaia.core.points import FloatArray

NO_PERIOD = 125
"""Taken for the period of a series that shows none."""

_PERIOD_POINTS, _MOST_LAG, _LEAST_LAG, _MOST_PERIOD = 20_000, 400, 3, 300


def period(values: FloatArray) -> int:
    """Return the lag in points at which a series resembles itself most, as TSB-AD tells it.

    This is the strongest local maximum of the autocorrelation of the first 20,000 points between lags 6 and 303,
    and 125 where there is none. Missing values count as the mean.
    """
    x = np.asarray(values, np.float64)[:_PERIOD_POINTS]
    known = np.isfinite(x)
    if len(x) < 10 or not known.any():
        return NO_PERIOD
    x = x / max(float(np.abs(x[known]).max()), 1e-300)  # so that no square is too large
    x = np.where(known, x - x[known].mean(), 0.0)
    if not x.any():
        return NO_PERIOD
    spectrum = np.fft.rfft(x, 2 * len(x))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[_LEAST_LAG : min(_MOST_LAG, len(x) - 1) + 1]
    inner = correlation[1:-1]
    peaks = np.flatnonzero((inner > correlation[:-2]) & (inner > correlation[2:])) + 1
    if not len(peaks):
        return NO_PERIOD
    best = int(peaks[np.argmax(correlation[peaks])])
    return best + _LEAST_LAG if 3 <= best <= _MOST_PERIOD else NO_PERIOD
