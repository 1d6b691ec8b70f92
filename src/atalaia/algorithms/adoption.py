"""Fleet models that grow by series which were not there at the training."""

from collections.abc import Mapping, Sequence

import numpy as np

from atalaia.algorithms.detectors.protocol import Adopting, State, empty_state
from atalaia.algorithms.models import FleetModel


def adopting(model: FleetModel, newcomers: Mapping[str, Sequence[int]], trained: FleetModel) -> FleetModel:
    """Return a model with further series, each beginning with what its peers have in common.

    Parameters
    ----------
    newcomers
        The names of those series, and the rows of their peers.
    trained
        The model as its training left it: what peers give does not depend on when a series comes.
    """
    nothing = empty_state(model.detector.layout(), len(newcomers))
    for row, peers in enumerate(newcomers.values()):
        _adopt(model, nothing, row, peers, trained)
    state = {name: np.concatenate([array, nothing[name]]) for name, array in model.state.items()}
    readiness = np.concatenate([model.readiness, np.zeros(len(newcomers), np.int8)])
    adopted = (*model.adopted, *(tuple(peers) for peers in newcomers.values()))
    names = (*model.series_ids, *newcomers)
    return FleetModel(model.detector, names, state, readiness, model.trained, adopted)


def begun(model: FleetModel, row: int) -> State:
    """Return the state of an adopted series before its first point, from what its peers know by now."""
    state = empty_state(model.detector.layout(), 1)
    _adopt(model, state, 0, model.peers_of(row) or (), model)
    return state


def _adopt(model: FleetModel, state: State, row: int, peers: Sequence[int], known: FleetModel) -> None:
    detector, rows = model.detector, np.array(peers, np.int64)
    assert isinstance(detector, Adopting), "only those that learn from a stream adopt"
    detector.adopt(state, row, {name: array[rows] for name, array in known.state.items()})
