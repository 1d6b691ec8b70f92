"""Isolation forests over moments of an asset, grown by scikit-learn and kept as plain arrays."""

from atalaia.algorithms.forests.detector import FEATURES, IsolationForest

__all__ = ["FEATURES", "IsolationForest"]
