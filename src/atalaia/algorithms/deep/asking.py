"""The one door to ONNX Runtime: it asks networks, nothing else.

It runs the two graphs that came with this package and no other. An artefact brings weights, which are plain arrays.
"""

from functools import cache
from importlib import import_module
from pkgutil import get_data
from typing import Any

import numpy as np

from atalaia.algorithms.deep.networks import LENGTH, Network, SingleArray
from atalaia.core.errors import Unavailable
from atalaia.core.points import IntArray

_AT_ONCE = 256
"""Windows that are asked about in one run: their weights are the most that has to be in memory."""

_WHOLE = 16
"""Windows come in multiples of so many, so that no processor has a remainder that it would round otherwise."""


def ask(network: Network, weights: SingleArray, rows: IntArray, windows: SingleArray) -> SingleArray:
    """Return what the networks of n windows answer, each the same to the last bit whatever is asked beside it.

    Parameters
    ----------
    network
        Which kind.
    weights
        float32[m, `network.weights`], of each series.
    rows
        int64[n], the series of each window.
    windows
        float32[n, 32], in scales of the series, the oldest point first.

    Returns
    -------
    float32[n, `network.outputs`]

    Raises
    ------
    Unavailable
        ``missing_package`` when ONNX Runtime is not installed.
    """
    session = _session(network.name)
    answers = np.empty((len(rows), network.outputs), np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        some = rows[start : start + _AT_ONCE]
        padding = -len(some) % _WHOLE
        given = {
            "windows": np.concatenate([windows[start : start + _AT_ONCE], np.zeros((padding, LENGTH), np.float32)]),
            "weights": weights[np.concatenate([some, np.repeat(some[:1], padding)])],
        }
        answers[start : start + _AT_ONCE] = session.run(["answers"], given)[0][: len(some)]
    return answers


@cache
def _session(name: str) -> Any:
    try:
        runtime: Any = import_module("onnxruntime")
    except ImportError as error:
        detail = "networks are asked by ONNX Runtime; install `atalaia[onnx]`"
        raise Unavailable("missing_package", detail) from error
    options: Any = runtime.SessionOptions()
    # One thread: workers share the cores among series already, and sums keep their order.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False  # nothing is kept for the largest batch
    options.log_severity_level = 3
    graph = get_data(__package__ or "", f"{name}.onnx")
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
