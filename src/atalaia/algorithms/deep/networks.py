"""What the networks are made of.

A network is one row of numbers: its weights, part after part. All series share the graph and none shares weights,
so that a series learns the same alone and in a fleet, and artefacts hold arrays, never a graph from elsewhere.
"""

from dataclasses import dataclass
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

SingleArray = NDArray[np.float32]

LENGTH = 32
"""Points of the window that a network is shown."""

MOST = 10.0
"""What is farther from the middle, in scales of the series, is shown to a network as if it was so far."""

STEP = 8
"""Points that the LSTM reads at once: four steps in place of 32 cost a sixth, and find no less."""

JUDGED = 16
"""Points of a restored window whose errors count, the newest."""

HIDDEN = 16
"""Width of the LSTM."""

WIDE, CODE = 32, 6
"""Widths of the autoencoder beside its bottleneck, and there: a window is squeezed into six numbers."""


@dataclass(frozen=True)
class Network:
    """A kind of network.

    Attributes
    ----------
    name
        Of the file that holds its graph.
    outputs
        Numbers that it answers for one window.
    parts
        Shapes of its weights, in their order; the first axis of a matrix is what comes in.
    """

    name: str
    outputs: int
    parts: dict[str, tuple[int, ...]]

    @property
    def weights(self) -> int:
        """How many numbers one network takes."""
        return sum(prod(shape) for shape in self.parts.values())

    def start(self, seed: int) -> SingleArray:
        """Return the weights before training: matrices are random and small, biases are 0."""
        rng = np.random.default_rng(seed)
        drawn = [
            rng.uniform(-1.0, 1.0, shape) / sqrt(shape[0]) if len(shape) == 2 else np.zeros(shape)
            for shape in self.parts.values()
        ]
        return np.concatenate([part.ravel() for part in drawn]).astype(np.float32)


LSTM = Network(
    name="lstm",
    outputs=1,
    parts={
        "from_points": (STEP, 4 * HIDDEN),
        "from_before": (HIDDEN, 4 * HIDDEN),
        "gates": (4 * HIDDEN,),
        "out": (HIDDEN, 1),
        "shift": (1,),
    },
)
"""Foretells by how much the next point differs from the last of the window. The gates stand in the order in,
forget, out, new. With all weights 0 it says that nothing changes."""

AUTOENCODER = Network(
    name="autoencoder",
    outputs=LENGTH,
    parts={
        "widen": (LENGTH, WIDE),
        "widen_bias": (WIDE,),
        "squeeze": (WIDE, CODE),
        "squeeze_bias": (CODE,),
        "unfold": (CODE, WIDE),
        "unfold_bias": (WIDE,),
        "restore": (WIDE, LENGTH),
        "restore_bias": (LENGTH,),
    },
)
"""Gives back the window that it is shown, through six numbers. With all weights 0 it gives back 0."""
