"""Run benchmarks and write their figures: ``make bench`` for all, ``python -m bench start tick`` for some.

They need nothing but the development environment. What stands beside other servers and stores is in `bench.peers`.
"""

import sys
from collections.abc import Sequence

from bench.audit import audit
from bench.backup import backup
from bench.catch_up import catch_up
from bench.decoding import decoding
from bench.fleet_training import train_all
from bench.history import history
from bench.ingest import ingest
from bench.jobs import jobs
from bench.parts import Part, check_names, run
from bench.recovery import recovery
from bench.sealing import sealing
from bench.start import help_text, second_run
from bench.store import commits
from bench.tick import tick

SPINE: dict[str, Part] = {
    "start": lambda: [second_run(), help_text()],
    "ingest": ingest,
    "history": history,
}
FLEET: dict[str, Part] = {"tick": tick, "decoding": decoding, "commits": commits}
PRODUCTION: dict[str, Part] = {
    "jobs": jobs,
    "audit": audit,
    "backup": backup,
    "sealing": sealing,
    "recovery": recovery,
}
ALONE: dict[str, Part] = {"train": train_all, "catch_up": catch_up}
"""Parts that take long, and are run only when they are named."""


def main(names: Sequence[str]) -> int:
    """Run the named parts, without names all but those that take long; return 1 when a target was missed."""
    check_names(names, [*SPINE, *FLEET, *PRODUCTION, *ALONE])
    chosen = list(names) or [*SPINE, *FLEET]
    passed = True
    for file, parts in (("spine.json", SPINE), ("fleet.json", {**FLEET, **ALONE}), ("production.json", PRODUCTION)):
        passed &= run(file, {name: part for name, part in parts.items() if name in chosen})
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
