"""Trees without the cuts of some of their sensors."""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.protocol import State


def left_alone(state: State, kept: NDArray[np.intp]) -> State:
    """Return the state of the sensors that are `kept`; the others count as usual for good, as missing ones do.

    Where a tree cut a sensor that is gone, both branches become the one that its usual value took, and nothing
    stays of where the cut was. With no sensor left to cut, nothing is known.
    """
    found = {name: array.copy() for name, array in state.items()}
    for name in ("points", "usual", "low", "high", "last"):
        found[name] = found[name][kept]
    learnt = np.flatnonzero(~np.isnan(found["usual"]))
    inner = state["left"] >= 0
    place = np.full(len(state["usual"]), -1, np.int32)
    place[kept] = np.arange(len(kept))
    if not len(learnt):
        found["usual_isolation"][:] = np.nan
        for name in ("left", "right", "feature"):
            found[name][:] = -1
        found["threshold"][:], found["sizes"][:], found["samples"][:] = 0.0, 0, 0
        return found
    feature = np.where(inner, state["feature"], 0)
    usual = np.where(np.isnan(state["usual"]), 0.0, state["usual"]).astype(np.float32)
    low = usual[feature] <= state["threshold"]
    gone = inner & (place[feature] < 0)
    taken = np.where(low, state["left"], state["right"])
    found["left"][gone], found["right"][gone] = taken[gone], taken[gone]
    found["feature"][inner] = place[feature][inner]
    found["feature"][gone], found["threshold"][gone] = learnt[0], 0.0
    return found
