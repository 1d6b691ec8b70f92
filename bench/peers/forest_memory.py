"""Prints how many bytes of memory one scikit-learn IsolationForest takes. Argument: how many are made.

Each has the documented parameters, a week at one minute to learn from, and is kept as it was fitted. Runs in the
environment of MLflow: nothing of Atalaia is imported.
"""
# pyright: basic, reportMissingImports=false

import gc
import os
import resource
import sys
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest


def resident() -> int:
    """Return the memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def forest(seed: int) -> IsolationForest:
    """Return a forest that has learnt one series."""
    values = np.random.default_rng(seed).normal(50.0, 2.0, (10_080, 1))
    parameters: dict[str, Any] = {"n_estimators": 100, "contamination": 0.1, "random_state": 42}
    return IsolationForest(**parameters).fit(values)


if __name__ == "__main__":
    count = int(sys.argv[1])
    forest(count)  # so that what fitting needs besides is there already
    gc.collect()
    before = resident()
    forests = [forest(seed) for seed in range(count)]
    gc.collect()
    print((resident() - before) / len(forests), file=sys.stdout, flush=True)
    os._exit(0)
