"""Prints how many bytes of memory one scikit-learn IsolationForest takes. Argument: how many are made.

Runs in the environment of MLflow: nothing of Atalaia is imported.
"""
# pyright: basic, reportMissingImports=false

import gc
import os
import resource
import sys

import numpy as np
from sklearn.ensemble import IsolationForest


def resident() -> int:
    """Return the memory of this process in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    count = int(sys.argv[1])
    values = np.random.default_rng(0).normal(50.0, 2.0, (10_080, 1))
    IsolationForest(random_state=0).fit(values)
    gc.collect()
    before = resident()
    forests = [IsolationForest(random_state=i).fit(values) for i in range(count)]
    gc.collect()
    print((resident() - before) / len(forests), file=sys.stdout)
    os._exit(0)
