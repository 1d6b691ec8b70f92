"""Run benchmarks and write their figures: ``make bench`` for all, ``python -m bench start tick`` for some.

What stands beside other servers and stores needs them installed: `bench.peers` and `bench.store`.
"""

import sys
from collections.abc import Callable, Sequence

from bench.decoding import decoding
from bench.fleet import fleet
from bench.fleet_training import train_all
from bench.history import history
from bench.ingest import ingest
from bench.report import Figure, write
from bench.start import help_text, second_run
from bench.store import store
from bench.tick import tick

Part = Callable[[], Sequence[Figure]]
SPINE: dict[str, Part] = {
    "start": lambda: [second_run(), help_text()],
    "ingest": ingest,
    "history": history,
}
FLEET: dict[str, Part] = {"tick": tick, "decoding": decoding, "fleet": fleet, "store": store}
ALONE: dict[str, Part] = {"train": train_all}
"""Parts that take long, and are run only when they are named."""


def main(names: Sequence[str]) -> int:
    """Run the named parts, without names all but those that take long; return 1 when a target was missed."""
    chosen = list(names) or [*SPINE, *FLEET]
    passed = True
    for file, parts in (("spine.json", SPINE), ("fleet.json", {**FLEET, **ALONE})):
        for name in [name for name in chosen if name in parts]:
            figures = parts[name]()
            write(file, figures)
            passed &= all(figure.passed for figure in figures)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
