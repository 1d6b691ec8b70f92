"""The walk through the trees against scikit-learn's own."""

from typing import Any

import numpy as np
import pytest
from sklearn import ensemble

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.forests.growing import tree_of
from atalaia.algorithms.forests.walking import Trees, isolation, path_length


def trees_of(forest, nodes):
    trees = [tree_of(estimator) for estimator in forest.estimators_]
    padded = []
    for name in Trees._fields:
        arrays = [getattr(tree, name) for tree in trees]
        padded.append(np.array([np.pad(array, (0, nodes - len(array))) for array in arrays]))
    return Trees(*padded)


@pytest.mark.parametrize("moments", [2, 30, 600])
def test_isolation_is_that_of_scikit_learn(moments):
    history = plant(0, moments).astype(np.float32)
    forest: Any = ensemble.IsolationForest(n_estimators=100, random_state=42).fit(history)
    asked = np.vstack([history, plant(1, 500), plant(1, 20) * 1e6, np.full((1, 6), 3e38)]).astype(np.float32)
    found = np.empty(len(asked))
    isolation(trees_of(forest, 511), forest.max_samples_, asked, found)
    assert np.abs(found + forest.score_samples(asked)).max() < 1e-9


@pytest.mark.parametrize(("size", "length"), [(0, 0.0), (1, 0.0), (2, 1.0), (256, 10.244770920116851)])
def test_path_lengths_are_those_of_the_paper(size, length):
    assert path_length(size) == pytest.approx(length, rel=1e-12)
