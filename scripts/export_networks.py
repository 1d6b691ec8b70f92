"""Writes the graphs of the networks anew: ``python -m scripts.export_networks``.

To be run after a change to `atalaia.algorithms.deep.networks` or `exporting`; a test tells when it was not.
"""

from pathlib import Path

from atalaia.algorithms import deep
from atalaia.algorithms.deep.exporting import graph
from atalaia.algorithms.deep.networks import AUTOENCODER, LSTM


def main() -> None:
    """Write one file for each network."""
    for network in (LSTM, AUTOENCODER):
        Path(deep.__path__[0], f"{network.name}.onnx").write_bytes(graph(network))


if __name__ == "__main__":
    main()
