"""The graphs of the networks as ONNX, and the one door to the package that writes them.

The files beside this module are what `graph` returns; who only asks networks needs neither this package nor
PyTorch. Weights come in with the windows, a row of them for each window. So each product is that of one row with
one matrix, whatever else is in the batch, and rounds the same; and no graph ever comes from an artefact.
"""

from importlib import import_module
from math import prod
from typing import Any

from atalaia.algorithms.deep.networks import AUTOENCODER, HIDDEN, LENGTH, LSTM, MOST, STEP, Network
from atalaia.core.errors import Unavailable

OPSET, IR = 17, 8
"""Of 2022: every runtime since reads them."""


def graph(network: Network) -> bytes:
    """Return the graph of a network; the same each time.

    Its inputs are ``windows``, float32[n, 32], in scales of the series, and ``weights``, float32[n, weights]; its
    output is ``answers``, float32[n, outputs].

    Raises
    ------
    Unavailable
        ``missing_package`` when onnx is not installed.
    """
    writer = _Writer(network)
    seen = writer.op("Clip", "windows", writer.number(-MOST), writer.number(MOST))
    answers = {LSTM.name: _lstm, AUTOENCODER.name: _autoencoder}[network.name](writer, seen)
    return writer.written(answers)


def _lstm(w: "_Writer", seen: str) -> str:
    steps = w.op("Reshape", seen, w.numbers([-1, LENGTH // STEP, STEP]))
    given = w.op("Add", w.op("MatMul", steps, w.part("from_points")), w.part("gates"))
    hidden = cell = ""
    for i, gates in enumerate(w.ops("Split", [given, w.numbers([1] * (LENGTH // STEP))], LENGTH // STEP, axis=1)):
        if i:
            gates = w.op("Add", gates, w.op("MatMul", hidden, w.part("from_before")))
        doors, new = w.ops("Split", [gates, w.numbers([3 * HIDDEN, HIDDEN])], 2, axis=2)
        doors = w.op("Sigmoid", doors)
        enter, stay, leave = w.ops("Split", [doors, w.numbers([HIDDEN] * 3)], 3, axis=2)
        added = w.op("Mul", enter, w.op("Tanh", new))
        cell = w.op("Add", w.op("Mul", stay, cell), added) if i else added
        hidden = w.op("Mul", leave, w.op("Tanh", cell))
    return w.op("Add", w.op("MatMul", hidden, w.part("out")), w.part("shift"))


def _autoencoder(w: "_Writer", seen: str) -> str:
    layer = w.op("Reshape", seen, w.numbers([-1, 1, LENGTH]))
    for name in ("widen", "squeeze", "unfold", "restore"):
        layer = w.op("Add", w.op("MatMul", layer, w.part(name)), w.part(f"{name}_bias"))
        if name in ("widen", "unfold"):
            layer = w.op("Tanh", layer)
    return layer


class _Writer:
    """Collects the nodes of a graph."""

    def __init__(self, network: Network) -> None:
        self._onnx = _package()
        self._network = network
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._parts: dict[str, str] = {}
        sizes = [prod(shape) for shape in network.parts.values()]
        flat = self.ops("Split", ["weights", self.numbers(sizes)], len(sizes), axis=1)
        for (name, shape), part in zip(network.parts.items(), flat, strict=True):
            matrix = shape if len(shape) == 2 else (1, *shape)
            self._parts[name] = self.op("Reshape", part, self.numbers([-1, *matrix]))

    def part(self, name: str) -> str:
        """Return where a part of the weights is, one matrix for each window."""
        return self._parts[name]

    def op(self, kind: str, *inputs: str) -> str:
        """Add a node with one output, and return that."""
        return self.ops(kind, list(inputs), 1)[0]

    def ops(self, kind: str, inputs: list[str], outputs: int, **attributes: int) -> list[str]:
        """Add a node, and return its outputs."""
        names = [f"{kind.lower()}{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, names, **attributes))
        return names

    def number(self, value: float) -> str:
        """Return the name of a constant."""
        return self._constant(self._onnx.TensorProto.FLOAT, [], [value])

    def numbers(self, values: list[int]) -> str:
        """Return the name of a constant of whole numbers."""
        return self._constant(self._onnx.TensorProto.INT64, [len(values)], values)

    def _constant(self, kind: int, shape: list[int], values: list[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(self._onnx.helper.make_tensor(name, kind, shape, values))
        return name

    def written(self, answers: str) -> bytes:
        """Return the graph that answers what `answers` holds."""
        helper, single = self._onnx.helper, self._onnx.TensorProto.FLOAT
        flat = self.op("Reshape", answers, self.numbers([-1, self._network.outputs]))
        self._nodes.append(helper.make_node("Identity", [flat], ["answers"]))

        def told(name: str, width: int) -> Any:
            return helper.make_tensor_value_info(name, single, ["n", width])

        inputs = [told("windows", LENGTH), told("weights", self._network.weights)]
        outputs = [told("answers", self._network.outputs)]
        made = helper.make_graph(self._nodes, self._network.name, inputs, outputs, self._constants)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(made, opset_imports=[opset], ir_version=IR, producer_name="atalaia")
        self._onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def _package() -> Any:
    try:
        return import_module("onnx")
    except ImportError as error:
        detail = "graphs are written with onnx; install `atalaia[dev]`"
        raise Unavailable("missing_package", detail) from error
