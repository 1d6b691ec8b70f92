"""Peers that are libraries: they take part where they are installed (``pip install atalaia[peers]``)."""

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from atalaia.algorithms.evaluation.contest import Judge, Retrospect
from atalaia.algorithms.evaluation.peers.causal import filled, with_threshold
from atalaia.algorithms.local_time import MINUTE_US
from atalaia.algorithms.periods import period
from atalaia.core.points import FloatArray

_WINDOW = 16
_SAMPLE = 4096
_SEED = 42


def pyod_iforest(values: FloatArray, step_us: float, past: int) -> FloatArray:
    """Return the scores of PyOD's isolation forest on windows, with the parameters that buyers ask for.

    100 trees, contamination 0.1, random_state 42; it learns from windows of 16 points that end in the history.
    """
    return _scored("pyod.models.iforest", "IForest", values, past, {"random_state": _SEED, "contamination": 0.1})


def pyod_knn(values: FloatArray, step_us: float, past: int) -> FloatArray:
    """Return the scores of PyOD's nearest neighbours on windows of 16 points."""
    return _scored("pyod.models.knn", "KNN", values, past, {"n_neighbors": 5})


def matrix_profile(values: FloatArray) -> FloatArray:
    """Return stumpy's matrix profile, each point the mean of the windows that hold it."""
    stumpy: Any = import_module("stumpy")
    x = filled(values)
    length = min(max(period(x), 8), len(x) // 4)
    if length < 4 or float(x.std()) == 0.0:
        return np.zeros(len(x))
    x = (x - x.mean()) / x.std()
    profile = np.asarray(stumpy.stump(x, m=length)[:, 0], np.float64)
    profile = np.where(np.isfinite(profile), profile, 0.0)
    sums = np.concatenate([[0.0], np.cumsum(profile)])
    at = np.arange(len(x))
    first, last = np.maximum(at - length + 1, 0), np.minimum(at, len(profile) - 1)
    return (sums[last + 1] - sums[first]) / (last - first + 1)


def spectral_residual(values: FloatArray) -> FloatArray:
    """Return how far the saliency of each point is over the mean of those around it.

    Ren et al., "Time-series anomaly detection service at Microsoft", KDD 2019: the logarithm of the spectrum is
    compared with a moving mean of itself, and what is left, back in time, is the saliency. Online, with five
    guessed points behind the newest one, it found next to nothing on the development data, so that it only looks
    back here.
    """
    x = filled(values)
    spectrum = np.fft.fft(x - x.mean())
    size = np.log(np.abs(spectrum) + 1e-8)
    salient = np.abs(np.fft.ifft(spectrum / np.exp(size) * np.exp(size - _mean_around(size, 3))))
    around = _mean_around(salient, 21)
    return (salient - around) / (around + 1e-8)


def _mean_around(x: FloatArray, width: int) -> FloatArray:
    edged = np.pad(x, (width // 2, width // 2), "edge")
    return sliding_window_view(edged, width).mean(axis=1)


def _scored(module: str, name: str, values: FloatArray, past: int, parameters: Mapping[str, Any]) -> FloatArray:
    model: Any = getattr(import_module(module), name)(**parameters)
    windows = sliding_window_view(np.concatenate([np.full(_WINDOW - 1, values[0]), values]), _WINDOW)
    scale = max(float(np.abs(values[:past]).max(initial=0.0)), 1e-300)  # so that no square is too large
    windows = np.clip(windows / scale, -1e6, 1e6)
    known = windows[:past]
    model.fit(known[np.linspace(0, past - 1, min(past, _SAMPLE)).astype(np.int64)])
    return np.asarray(model.decision_function(windows), np.float64)


def _whole(judged: Any) -> Retrospect:
    """Return a peer that learns from the whole series and then scores it."""
    return lambda values: judged(filled(values), MINUTE_US, len(values))


def causal_libraries() -> dict[str, Judge]:
    """Return the peers that are installed and score point by point."""
    if find_spec("pyod") is None:
        return {}
    return {
        "peer:pyod_iforest": with_threshold(pyod_iforest),
        "peer:pyod_knn": with_threshold(pyod_knn),
    }


def whole_peers() -> dict[str, Retrospect]:
    """Return the peers that look back at whole series."""
    peers: dict[str, Retrospect] = {"peer:spectral_residual": spectral_residual}
    if find_spec("pyod") is not None:
        peers |= {"peer:pyod_iforest": _whole(pyod_iforest), "peer:pyod_knn": _whole(pyod_knn)}
    if find_spec("stumpy") is not None:
        peers["peer:stumpy"] = matrix_profile
    return peers
