"""The memory of each role over time, and whether it grows."""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import psutil

from bench.soak.site import ROLES, Site

_EVERY_S = 2.0
_BIN = 5
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """What a role took at a time, with its children."""

    at: float
    pid: int
    mib: float


@dataclass(frozen=True, slots=True)
class Growth:
    """How the memory of a role went, after the warm-up and since its last start before the longest stretch.

    Attributes
    ----------
    slope_mib_h
        The median of the slopes between all pairs, which single peaks do not move; in MiB an hour.
    grown_mib
        What that makes over the stretch.
    """

    start_mib: float
    end_mib: float
    most_mib: float
    seconds: float
    slope_mib_h: float
    grown_mib: float


class Memory:
    """A thread that measures all roles every few seconds."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.samples: dict[str, list[Sample]] = {role: [] for role in ROLES}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(30)

    def now_mib(self) -> dict[str, int]:
        """Return the last sample of each role."""
        return {role: round(samples[-1].mib) for role, samples in self.samples.items() if samples}

    def growth(self, role: str, warm_up_s: float) -> Growth:
        """Return how the memory of a role went."""
        return growth(self.samples[role], warm_up_s)

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            for role, samples in self.samples.items():
                with suppress(psutil.Error):
                    family = self._site.family(role)
                    if family:
                        used = sum(one.memory_info().rss for one in family)
                        samples.append(Sample(time.monotonic(), family[0].pid, used / _MIB))


def growth(samples: Sequence[Sample], warm_up_s: float) -> Growth:
    """Return how memory went in the longest stretch without a restart, leaving out the time after its start."""
    stretches: dict[int, list[Sample]] = {}
    for sample in samples:
        stretches.setdefault(sample.pid, []).append(sample)
    warm = [[one for one in stretch if one.at - stretch[0].at >= warm_up_s] for stretch in stretches.values()]
    longest = max(warm, key=len)
    if len(longest) < 2 * _BIN:
        raise ValueError("there are too few samples after the warm-up")
    cut = len(longest) // _BIN * _BIN
    at = np.array([one.at for one in longest[:cut]]).reshape(-1, _BIN).mean(axis=1)
    mib = np.median(np.array([one.mib for one in longest[:cut]]).reshape(-1, _BIN), axis=1)
    first, second = np.triu_indices(len(at), 1)
    slope = float(np.median((mib[second] - mib[first]) / (at[second] - at[first])))
    seconds = longest[-1].at - longest[0].at
    most = max(one.mib for one in longest)
    return Growth(float(mib[0]), float(mib[-1]), most, seconds, slope * 3600, slope * seconds)
