"""ONNX Runtime answers as PyTorch does, each window as if it was alone, and without PyTorch."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import atalaia
from atalaia.algorithms.deep import asking
from atalaia.algorithms.deep.asking import ask
from atalaia.algorithms.deep.learning import answers
from atalaia.algorithms.deep.networks import AUTOENCODER, LENGTH, LSTM
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.probes import fleet
from atalaia.core.errors import Unavailable

NETWORKS = pytest.mark.parametrize("network", [LSTM, AUTOENCODER], ids=lambda network: network.name)


def asked(network, points=300, series=4):
    rng = np.random.default_rng(5)
    weights = np.stack([network.start(seed) for seed in range(series)])
    weights += rng.normal(size=weights.shape).astype(np.float32)
    windows = (8.0 * rng.normal(size=(points, LENGTH))).astype(np.float32)
    return weights, rng.integers(0, series, points), windows


@NETWORKS
def test_the_answers_are_those_of_pytorch(network):
    weights, rows, windows = asked(network)
    told = ask(network, weights, rows, windows)
    assert told.shape == (300, network.outputs)
    for row in range(4):
        wanted = answers(network, weights[row], windows[rows == row])
        assert np.allclose(told[rows == row], wanted, rtol=1e-4, atol=1e-4)


@NETWORKS
def test_an_answer_does_not_depend_on_what_is_asked_beside_it(network):
    weights, rows, windows = asked(network)
    told = ask(network, weights, rows, windows)
    for edges in ([0, 1, 2, 5, 13, 30, 300], [0, 255, 256, 257, 300]):
        parts = [ask(network, weights, rows[a:b], windows[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
        assert np.concatenate(parts).tobytes() == told.tobytes()
    order = np.random.default_rng(1).permutation(300)
    assert ask(network, weights, rows[order], windows[order]).tobytes() == told[order].tobytes()


@NETWORKS
def test_nothing_asked_is_nothing_answered_and_odd_weights_break_nothing(network):
    weights, rows, windows = asked(network)
    assert ask(network, weights, rows[:0], windows[:0]).shape == (0, network.outputs)
    weights[0], weights[1] = np.nan, 3e38
    told = ask(network, weights, rows, windows)
    sane = rows > 1
    assert told[sane].tobytes() == ask(network, weights, rows[sane], windows[sane]).tobytes()
    assert not np.isfinite(told[rows == 0]).any()


def test_without_onnx_runtime_it_is_said_what_to_install(monkeypatch):
    asking._session.cache_clear()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(Unavailable, match=r"atalaia\[onnx\]") as refusal:
        ask(LSTM, *asked(LSTM))
    assert refusal.value.code == "missing_package"


TORCH_FREE = """
import sys
sys.modules["torch"] = sys.modules["onnx"] = None  # an import of either fails
import numpy as np
from atalaia.algorithms.models import FleetModel
model = FleetModel.from_bytes(open(sys.argv[1], "rb").read()).alive()
rows, moments = np.arange(5), np.full(5, 1_800_000_000_000_000)
told = model.detector.advance(model.state, rows, moments, 50.0 * rows)
print(",".join(float(x).hex() for x in told.scores.score))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lstm", "autoencoder"])
def test_a_process_without_torch_scores_what_one_with_it_has_trained(tmp_path, name):
    model = FleetModel.fit(make_detector(name, {}), [f"series {row}" for row in range(5)], fleet())
    (tmp_path / "model").write_bytes(model.to_bytes())
    source = Path(atalaia.__file__).parent.parent
    command = [sys.executable, "-c", TORCH_FREE, str(tmp_path / "model")]
    out = subprocess.run(command, env={"PYTHONPATH": str(source)}, capture_output=True, text=True, check=True)
    rows, moments = np.arange(5), np.full(5, 1_800_000_000_000_000)
    values = np.array([0.0, 50.0, 100.0, 150.0, 200.0])
    here = model.detector.score(model.state, rows, moments, values).score
    assert [float.fromhex(text) for text in out.stdout.split(",")] == here.tolist()
