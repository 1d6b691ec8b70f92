"""The one door to scikit-learn: it grows the trees, nothing else."""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atalaia.core.errors import Unavailable
from atalaia.core.points import FloatArray


class Tree(NamedTuple):
    """One tree as arrays over its nodes, the root first and children behind their parents; -1 at leaves."""

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: FloatArray
    sizes: NDArray[np.int32]


def grow(values: NDArray[np.float32], trees: int, samples: int, seed: int) -> list[Tree]:
    """Return the trees of scikit-learn's isolation forest over `values`, float32[n, k] without gaps.

    Raises
    ------
    Unavailable
        ``missing_package`` when scikit-learn is not installed.
    """
    try:
        ensemble: Any = import_module("sklearn.ensemble")
    except ImportError as error:
        detail = "isolation forests are grown by scikit-learn; install `atalaia[detect]`"
        raise Unavailable("missing_package", detail) from error
    forest: Any = ensemble.IsolationForest(n_estimators=trees, max_samples=samples, random_state=seed)
    forest.fit(values)
    return [tree_of(estimator) for estimator in forest.estimators_]


def tree_of(estimator: Any) -> Tree:
    """Return the arrays of one fitted tree of scikit-learn."""
    inner = estimator.tree_
    leaf = inner.children_left < 0
    return Tree(
        left=np.where(leaf, -1, inner.children_left).astype(np.int32),
        right=np.where(leaf, -1, inner.children_right).astype(np.int32),
        feature=np.where(leaf, -1, inner.feature).astype(np.int32),
        threshold=np.where(leaf, 0.0, inner.threshold).astype(np.float64),
        sizes=np.asarray(inner.n_node_samples, np.int32),
    )
