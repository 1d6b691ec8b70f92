"""How long a site takes to recover from each fault, under a light load; the same faults as those of the soak."""

import sys
from collections.abc import Sequence

from bench.report import Figure, bounded, none_at_all
from bench.soak.course import RECOVERY_S, Wanted, soak
from bench.soak.faults import FAULTS
from bench.soak.figures import MTTR_S

_ROUNDS = 2
_EVERY_S = 30.0
_LASTS_S = 8.0


def recovery(rounds: int = _ROUNDS) -> Sequence[Figure]:
    """Let each fault happen some times; return the slowest recovery from each."""
    seconds = (rounds * len(FAULTS) + 2) * _EVERY_S
    wanted = Wanted(seconds, 100, 300, every_s=_EVERY_S, lasts_s=_LASTS_S, warm_up_s=seconds / 4)
    outcome = soak(wanted, sys.stderr.write)
    figures: list[Figure] = []
    for fault in FAULTS:
        took_s = [one.recovery_s for one in outcome.suffered if one.name == fault.name]
        if not took_s:
            continue
        what = f"the MTTR asked for; slowest of {len(took_s)}, until {fault.what}"
        figures.append(bounded(f"recovery_s_{fault.name}", max(took_s), "s", what, MTTR_S, at_most=RECOVERY_S))
    lost = outcome.lost_points + outcome.unacknowledged_batches + len(outcome.failed_trainings)
    left_out = len(FAULTS) - len(figures)
    figures.append(none_at_all("recovery_faults_left_out", left_out, "faults", "time for all of them"))
    return [*figures, none_at_all("recovery_lost", lost, "points", "points and trainings that were acknowledged")]
