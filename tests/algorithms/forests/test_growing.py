"""Trees as arrays, and what is said without scikit-learn."""

import sys

import numpy as np
import pytest
from sklearn import ensemble

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.forests.growing import grow, tree_of
from atalaia.core.errors import Unavailable


def test_children_stand_behind_their_parents_and_leaves_lead_nowhere():
    fitted = ensemble.IsolationForest(n_estimators=5, random_state=0).fit(plant(0))
    for estimator in fitted.estimators_:
        tree = tree_of(estimator)
        leaf = tree.left < 0
        place = np.arange(len(leaf))
        assert ((tree.left > place) == ~leaf).all()
        assert ((tree.right > place) == ~leaf).all()
        assert (tree.feature[leaf] == -1).all()
        assert tree.sizes[0] == 256
        assert tree.sizes[leaf].sum() == 256


def test_the_same_seed_grows_the_same_trees():
    values = plant(0).astype(np.float32)
    one, two, other = (grow(values, 3, 64, seed) for seed in (42, 42, 43))
    assert all(np.array_equal(a, b) for x, y in zip(one, two, strict=True) for a, b in zip(x, y, strict=True))
    assert any(len(x.left) != len(y.left) for x, y in zip(one, other, strict=True))


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(Unavailable, match=r"atalaia\[detect\]") as refusal:
        grow(plant(0).astype(np.float32), 3, 64, 42)
    assert refusal.value.code == "missing_package"
