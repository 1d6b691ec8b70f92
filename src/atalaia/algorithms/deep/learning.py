"""The one door to PyTorch: it trains the networks, nothing else."""

from collections.abc import Callable
from importlib import import_module
from math import ceil
from typing import Any

import numpy as np

from atalaia.algorithms.deep.networks import AUTOENCODER, HIDDEN, LENGTH, LSTM, MOST, STEP, Network, SingleArray
from atalaia.core.errors import Unavailable

WINDOWS = 4096
"""Windows that a network is trained on at most, at even distances in the history."""

_BATCH = 256
_UPDATES = 100
_RATE = 0.01
_LATE_DECAY = 0.02


def train(network: Network, windows: SingleArray, wanted: SingleArray, seed: int) -> SingleArray:
    """Return the weights that answer `windows` with about what is `wanted`; the same on each run.

    What is strange in a history shall not be learnt: beyond one scale an error counts by its size, not its square.

    Parameters
    ----------
    windows
        float32[n, 32], in scales of the series, at least one.
    wanted
        float32[n, `network.outputs`].
    seed
        Decides the first weights and the order of the windows.

    Raises
    ------
    Unavailable
        ``missing_package`` when PyTorch is not installed.
    """
    torch = _package()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums keep their order; workers share the cores among series already
    try:
        return _trained(torch, network, windows, wanted, seed)
    finally:
        torch.set_num_threads(threads)


def _trained(torch: Any, network: Network, windows: SingleArray, wanted: SingleArray, seed: int) -> SingleArray:
    seen, goal = (torch.tensor(given).clamp(-MOST, MOST) for given in (windows, wanted))
    weights = torch.from_numpy(network.start(seed)).requires_grad_()
    sizes, shapes = _sizes(network), network.parts
    teacher = torch.optim.Adam([weights], lr=_RATE)
    rest = torch.optim.lr_scheduler.CosineAnnealingLR(teacher, _UPDATES, _RATE * _LATE_DECAY)
    rng = np.random.default_rng(seed)
    batch = min(_BATCH, len(windows))
    rounds = ceil(_UPDATES * batch / len(windows))
    order = torch.from_numpy(np.concatenate([rng.permutation(len(windows)) for _ in range(rounds)]))
    for update in range(_UPDATES):
        some = order[update * batch : (update + 1) * batch]
        split = torch.split(weights, sizes)
        parts = {name: part.view(shapes[name]) for name, part in zip(shapes, split, strict=True)}
        error = torch.nn.functional.smooth_l1_loss(_ANSWERS[network.name](torch, parts, seen[some]), goal[some])
        teacher.zero_grad()
        error.backward()
        teacher.step()
        rest.step()
    return weights.detach().numpy().copy()


def _sizes(network: Network) -> list[int]:
    return [int(np.prod(shape)) for shape in network.parts.values()]


def answers(network: Network, weights: SingleArray, windows: SingleArray) -> SingleArray:
    """Return what one network answers in PyTorch: what its ONNX graph is held against."""
    torch = _package()
    split = np.split(weights, np.cumsum(_sizes(network))[:-1])
    shapes = network.parts
    parts = {name: torch.tensor(part.reshape(shapes[name])) for name, part in zip(shapes, split, strict=True)}
    seen = torch.tensor(windows).clamp(-MOST, MOST)
    return _ANSWERS[network.name](torch, parts, seen).numpy()


def _lstm(torch: Any, parts: dict[str, Any], seen: Any) -> Any:
    given = seen.view(-1, LENGTH // STEP, STEP) @ parts["from_points"] + parts["gates"]
    hidden = cell = torch.zeros(len(seen), HIDDEN)
    for i in range(LENGTH // STEP):
        gates = given[:, i] + hidden @ parts["from_before"]
        enter, stay, leave = torch.sigmoid(gates[:, : 3 * HIDDEN]).split(HIDDEN, 1)
        cell = stay * cell + enter * torch.tanh(gates[:, 3 * HIDDEN :])
        hidden = leave * torch.tanh(cell)
    return hidden @ parts["out"] + parts["shift"]


def _autoencoder(torch: Any, parts: dict[str, Any], seen: Any) -> Any:
    wide = torch.tanh(seen @ parts["widen"] + parts["widen_bias"])
    code = wide @ parts["squeeze"] + parts["squeeze_bias"]
    wide = torch.tanh(code @ parts["unfold"] + parts["unfold_bias"])
    return wide @ parts["restore"] + parts["restore_bias"]


_ANSWERS: dict[str, Callable[[Any, dict[str, Any], Any], Any]] = {LSTM.name: _lstm, AUTOENCODER.name: _autoencoder}


def _package() -> Any:
    try:
        return import_module("torch")
    except ImportError as error:
        detail = "networks are trained by PyTorch; install `atalaia[deep]`"
        raise Unavailable("missing_package", detail) from error
