"""What sealing costs: CPU of a megabyte that is written and read, beside the same in clear and beside bare AES-GCM.

The object is as large as a block or a model of a fleet. Clear or sealed, its SHA-256 is made and checked.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from atalaia.kit.blobs import Blobs, Seals, sha256_of
from atalaia.kit.envelopes import PIECE
from atalaia.kit.keyring import Keyring, Secret
from bench.report import Figure, less_is_better

_MEGABYTES = 16
_RUNS = 15


def sealing() -> Sequence[Figure]:
    """Write and read one object in clear and sealed; return the figures."""
    data = os.urandom(_MEGABYTES * 10**6)
    with tempfile.TemporaryDirectory() as folder:
        clear = Blobs(Path(folder) / "clear", durable=False)
        keyring = Keyring(Secret(os.urandom(32), is_key=True))
        sealed = Blobs(Path(folder) / "sealed", durable=False, seals=Seals(keyring))
        sha256 = clear.put("a", data).sha256
        sealed.put("a", data)
        cipher, pieces = AESGCM(os.urandom(32)), [data[i : i + PIECE] for i in range(0, len(data), PIECE)]
        told = _cpu_us(
            bare=lambda: [cipher.encrypt(number.to_bytes(12), one, b"") for number, one in enumerate(pieces)],
            hash=lambda: sha256_of(data),
            clear_put=lambda: clear.put("a", data),
            sealed_put=lambda: sealed.put("a", data),
            clear_view=lambda: clear.view("a", sha256),
            sealed_view=lambda: sealed.view("a", sha256),
        )
    floor, limit = told["bare"] + told["hash"], "AES-GCM and SHA-256 alone"
    return [
        _figure("sealed_write", told["sealed_put"], "in clear", told["clear_put"], 0.25),
        _figure("sealed_read", told["sealed_view"], "mapped, in clear", told["clear_view"], 0.2),
        _figure("sealed_write_limit", told["sealed_put"], limit, floor, 0.3),
        _figure("sealed_read_limit", told["sealed_view"], limit, floor, 0.3),
    ]


def _figure(name: str, value: float, baseline: str, baseline_value: float, reach: float) -> Figure:
    return less_is_better(name, value, "us CPU/MB", baseline, baseline_value, reach=reach)


def _cpu_us(**acts: Callable[[], object]) -> dict[str, float]:
    """Return the median CPU time of each, in microseconds a megabyte; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(_RUNS):
        for name, act in acts.items():
            started = time.process_time()
            act()
            times[name].append((time.process_time() - started) * 1e6 / _MEGABYTES)
    return {name: statistics.median(taken) for name, taken in times.items()}
