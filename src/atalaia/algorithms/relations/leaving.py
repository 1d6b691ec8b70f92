"""Relations without some of their sensors."""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.protocol import State
from atalaia.algorithms.relations.passing import LEAST_LEFT


def left_alone(state: State, kept: NDArray[np.intp]) -> State:
    """Return the state of the sensors that are `kept`, as if the others were missing for good.

    The precision of these is what Schur's complement leaves: the inverse of their own covariance, in which nothing
    is of the others. They are foretold worse without them, so that their bands, levels and last residuals widen by
    as much as the spread of what is left of them grows.
    """
    gone = np.setdiff1d(np.arange(len(state["mean"])), kept)
    precision = state["precision"][np.ix_(kept, kept)]
    if len(gone):
        between = state["precision"][np.ix_(kept, gone)]
        shared = between @ np.linalg.solve(state["precision"][np.ix_(gone, gone)], between.T)
        whole = np.diag(precision).copy()
        precision = precision - (shared + shared.T) / 2.0
        left = np.maximum(np.diag(precision), LEAST_LEFT * whole)
        precision[np.diag_indices(len(kept))] = left
        wider = np.sqrt(whole / left)
    else:
        wider = np.ones(len(kept))
    found = {name: state[name][kept] for name in ("points", "mean", "scale", "freedom")}
    found |= {name: state[name][kept] * wider for name in ("limit", "level")}
    found |= {
        "precision": np.ascontiguousarray(precision),
        "residuals": np.ascontiguousarray(state["residuals"][:, kept] * wider),
        "readings": np.ascontiguousarray(state["readings"][:, kept]),
        "powers": state["powers"].copy(),
        "seen": state["seen"].copy(),
    }
    return found
