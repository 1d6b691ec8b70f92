"""The course of a soak: load all the time, a fault every so often, and the account at the end."""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.soak.faults import FAULTS, Suffered, faults_of, suffer
from bench.soak.load import Load
from bench.soak.memory import Growth, Memory
from bench.soak.plan import Plan
from bench.soak.site import ROLES, Site, prepare, running
from bench.soak.stored import lost_points
from bench.soak.trainings import Trainings
from tests.journeys.servers import until

Say = Callable[[str], object]
RECOVERY_S = 60.0
"""How long after the cause of a fault is gone a site may take to recover."""
_ROOM_S = 20.0
"""A fault that would begin later than so long before the end does not begin."""
_GRACE_S = 3.0
"""How long after that errors are still excused: requests that were under way end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a soak is to be.

    Attributes
    ----------
    every_s
        From the beginning of one fault to that of the next.
    lasts_s
        How long the cause of a fault stays.
    warm_up_s
        Time after a start that does not count as growth of memory.
    names
        Faults, in their order; None takes all that there are, again and again.
    """

    seconds: float
    predictions_per_s: float = 1_000
    points_per_s: float = 3_000
    series: int = 300
    trainings_every_s: float = 5.0
    every_s: float = 120.0
    lasts_s: float = 15.0
    warm_up_s: float = 420.0
    mlflow: bool = True
    names: tuple[str, ...] | None = None


@dataclass
class Outcome:
    """What a soak showed.

    Attributes
    ----------
    excused, errors
        Error answers within the windows of faults, and outside of them.
    """

    wanted: Wanted
    seconds: float = 0.0
    predictions_per_s: float = 0.0
    points_per_s: float = 0.0
    p99_ms: float = 0.0
    slowest_ms: float = 0.0
    fallbacks: int = 0
    generator_cores: float = 0.0
    excused: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    errors: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    suffered: list[Suffered] = field(default_factory=list[Suffered])
    growths: dict[str, Growth] = field(default_factory=dict[str, Growth])
    acknowledged_points: int = 0
    unacknowledged_batches: int = 0
    lost_points: int = 0
    trainings: int = 0
    promoted: int = 0
    failed_trainings: list[str] = field(default_factory=list[str])


def soak(wanted: Wanted, say: Say = sys.stderr.write, folder: Path | None = None) -> Outcome:
    """Run a soak in a folder, one that goes away if none is given."""
    unknown = set(wanted.names or ()) - {fault.name for fault in FAULTS}
    if unknown:
        raise ValueError(f"there is no fault {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="atalaia-soak-", ignore_cleanup_errors=True) as made:
        with running(folder or Path(made), mlflow=wanted.mlflow) as site:
            say("soak: the site runs; history and a first model\n")
            plan, numbers = prepare(
                site,
                predictions_per_s=wanted.predictions_per_s,
                points_per_s=wanted.points_per_s,
                series=wanted.series,
            )
            return _under_load(site, wanted, plan, numbers, say)


def _under_load(site: Site, wanted: Wanted, plan: Plan, numbers: list[int], say: Say) -> Outcome:
    outcome = Outcome(wanted)
    with Memory(site) as memory, Load(site, plan, numbers) as load:
        with Trainings(site, wanted.trainings_every_s) as trainings:
            _suffer_all(site, wanted, outcome, lambda what: say(_progress(what, load, memory)))
        load.stop()
        say(f"soak: {load.acknowledged} batches are acknowledged; the account\n")
        trainings.wait_all()
        with site.client() as client:
            until(lambda: client.health().scoring_lag_rows == 0, "all points to be scored", timeout_s=180)
        outcome.growths = {role: memory.growth(role, wanted.warm_up_s) for role in ROLES}
    _rates(outcome, load)
    outcome.trainings, outcome.promoted = len(trainings.accepted), trainings.promoted
    outcome.failed_trainings = [f"{job.job_id}: {job.error}" for job in trainings.failed]
    for error in [*load.errors, *trainings.errors]:
        (outcome.excused if _is_excused(error["at"], outcome.suffered) else outcome.errors).append(error)
    outcome.acknowledged_points = load.acknowledged * plan.series
    outcome.unacknowledged_batches = int(load.last.get("batches", -1)) - load.acknowledged
    outcome.lost_points = lost_points(site, plan, load.acknowledged)
    return outcome


def _suffer_all(site: Site, wanted: Wanted, outcome: Outcome, say: Say) -> None:
    began = time.monotonic()
    known = {fault.name: fault for fault in faults_of(site)}
    faults = [known[name] for name in wanted.names or known]
    number = 0
    while time.monotonic() - began < wanted.seconds:
        due = began + (number + 0.5) * wanted.every_s
        end = began + wanted.seconds
        if due + wanted.lasts_s + _ROOM_S > end:
            due = end
        while (left_s := due - time.monotonic()) > 0:
            time.sleep(min(left_s, 10))
            say("well")
        if due < end:
            fault = faults[number % len(faults)]
            say(f"{fault.name} for {wanted.lasts_s:g} s")
            done = suffer(site, fault, wanted.lasts_s)
            outcome.suffered.append(done)
            say(f"{fault.name}: {fault.what} {done.recovery_s:.2f} s after its end")
        number += 1
    outcome.seconds = time.monotonic() - began


def _progress(what: str, load: Load, memory: Memory) -> str:
    last = load.seconds[-1] if load.seconds else {"predictions": 0, "points": 0, "pending": 0, "p99_ms": 0}
    held = " ".join(f"{role} {mib}" for role, mib in memory.now_mib().items())
    return (
        f"soak: {time.monotonic() - load.began:6.0f} s  {last['predictions']:5} predictions/s"
        f" (P99 {last['p99_ms']} ms)  {last['points']:6} points/s  {last['pending']} batches wait"
        f"  {len(load.errors)} errors  MiB: {held}  {what}\n"
    )


def _rates(outcome: Outcome, load: Load) -> None:
    outcome.predictions_per_s = load.rate("predictions")
    outcome.points_per_s = load.rate("points")
    p99s = sorted(second["p99_ms"] for second in load.seconds)
    outcome.p99_ms = p99s[len(p99s) // 2]
    outcome.slowest_ms = max(second["slowest_ms"] for second in load.seconds)
    outcome.fallbacks = sum(second["fallbacks"] for second in load.seconds)
    outcome.generator_cores = load.cpu_s / max(1e-9, load.stopped - load.began)


def _is_excused(at: float, suffered: Sequence[Suffered]) -> bool:
    return any(one.began <= at <= one.recovered + _GRACE_S for one in suffered)
