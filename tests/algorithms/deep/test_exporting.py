"""The graphs that the package holds are those of its networks, and do nothing but arithmetic."""

import sys
from pkgutil import get_data

import onnx
import pytest

from atalaia.algorithms import deep
from atalaia.algorithms.deep.exporting import graph
from atalaia.algorithms.deep.networks import AUTOENCODER, LENGTH, LSTM
from atalaia.core.errors import Unavailable

NETWORKS = pytest.mark.parametrize("network", [LSTM, AUTOENCODER], ids=lambda network: network.name)
ARITHMETIC = {"Add", "Clip", "Identity", "MatMul", "Mul", "Reshape", "Sigmoid", "Split", "Tanh"}


@NETWORKS
def test_the_graph_in_the_package_is_that_of_the_network(network):
    said = "run `python -m scripts.export_networks`"
    assert get_data(deep.__name__, f"{network.name}.onnx") == graph(network), said


@NETWORKS
def test_a_graph_does_nothing_but_arithmetic_on_windows_and_weights(network):
    model = onnx.load_from_string(graph(network))
    assert {node.op_type for node in model.graph.node} <= ARITHMETIC
    assert {node.domain for node in model.graph.node} == {""}
    assert not model.functions
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    widths = {one.name: one.type.tensor_type.shape.dim[1].dim_value for one in model.graph.input}
    assert widths == {"windows": LENGTH, "weights": network.weights}
    (answers,) = model.graph.output
    assert answers.type.tensor_type.shape.dim[1].dim_value == network.outputs
    assert len(graph(network)) < 10_000


def test_without_onnx_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(Unavailable, match=r"atalaia\[dev\]") as refusal:
        graph(LSTM)
    assert refusal.value.code == "missing_package"
