"""All that stands beside other servers and stores: ``make bench-peers``, or ``python -m bench.peers store``.

A name is that of a part, or that of a peer: then single points are measured beside that peer alone. Each peer is
installed into an environment of its own when it is first needed; ``make bench-peers`` also installs wrk and
PostgreSQL on the machine.
"""

import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.fleet import fleet
from bench.memory import memory
from bench.parts import Part, check_names, run
from bench.peers.single import single_points
from bench.peers.targets import PEERS
from bench.peers.wave import publishing
from bench.stage import SERIES, names, publish_wave
from bench.store import store

STAGED = ("memory", "wave", "single")
"""Parts that need a data folder with a whole fleet in Production; they share one."""
ALONE: dict[str, Part] = {"batches": fleet, "store": store}
FILE = "fleet.json"


def main(wanted: Sequence[str], series: int = SERIES) -> int:
    """Measure, and write into `bench/results/fleet.json`; return 1 when a target was missed."""
    check_names(wanted, [*STAGED, *ALONE, *PEERS])
    chosen = list(wanted) or [*STAGED, *ALONE]
    peers = [name for name in chosen if name in PEERS]
    staged = [name for name in STAGED if name in chosen or (name == "single" and peers)]
    passed = True
    if staged:
        passed &= _run_staged(staged, peers, series)
    passed &= run(FILE, {name: part for name, part in ALONE.items() if name in chosen})
    return 0 if passed else 1


def _run_staged(chosen: Sequence[str], peers: Sequence[str], series: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        stage = publish_wave(Path(folder) / "stage", names(series))
        parts: dict[str, Part] = {
            "memory": partial(memory, stage),
            "wave": partial(publishing, stage),
            "single": partial(single_points, stage, Path(folder), peers),
        }
        return run(FILE, {name: parts[name] for name in chosen})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
