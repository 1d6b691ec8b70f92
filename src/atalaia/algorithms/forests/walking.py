"""The walk through the trees: how soon they set a moment apart from what they were grown on."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled_without_gil
from atalaia.core.points import FloatArray

EULER = 0.5772156649015329


class Trees(NamedTuple):
    """Trees side by side, each filled up to the same number of nodes; see `growing.Tree`."""

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: FloatArray
    sizes: NDArray[np.int32]


@compiled_without_gil
def path_length(size: int) -> float:
    """Return the mean length of the paths that set apart `size` points (Liu, Ting and Zhou, 2008)."""
    if size <= 1:
        return 0.0
    if size == 2:
        return 1.0
    return 2.0 * (math.log(size - 1.0) + EULER) - 2.0 * (size - 1.0) / size


@compiled_without_gil
def isolation(trees: Trees, samples: int, moments: NDArray[np.float32], found: FloatArray) -> None:
    """Write to `found` how isolated each moment is, 0 to 1; as scikit-learn's ``-score_samples``."""
    count = len(trees.left)
    scale = count * path_length(samples)
    for t in range(len(moments)):
        total = 0.0
        for tree in range(count):
            node, depth = 0, 0
            while trees.left[tree, node] >= 0:
                low = moments[t, trees.feature[tree, node]] <= trees.threshold[tree, node]
                node = trees.left[tree, node] if low else trees.right[tree, node]
                depth += 1
            total += depth + path_length(trees.sizes[tree, node])
        found[t] = 2.0 ** (-total / scale) if scale > 0.0 else 0.5
