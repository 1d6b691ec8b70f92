"""What a soak showed, as figures beside what is asked for."""

from collections import Counter

from bench.report import Figure, bounded, more_is_better, none_at_all
from bench.soak.course import RECOVERY_S, Outcome

MTTR_S = 900.0
"""What the requirements ask for."""
_SHARE = 0.95
_GROWTH_MIB, _GROWTH_SHARE = 30.0, 0.10


def growth_bound_mib(start_mib: float) -> float:
    """Return by how much a role may grow in a soak after its warm-up: a tenth, and a little for the small ones."""
    return _GROWTH_MIB + _GROWTH_SHARE * start_mib


def figures(outcome: Outcome) -> list[Figure]:
    """Return the figures; their names begin with ``soak_``."""
    wanted = outcome.wanted
    what = f"asked for; {outcome.seconds / 60:.1f} minutes, {len(outcome.suffered)} faults"
    rates = [
        ("predictions", outcome.predictions_per_s, wanted.predictions_per_s),
        ("points", outcome.points_per_s, wanted.points_per_s),
    ]
    nothing = [
        ("soak_errors_outside_faults", len(outcome.errors), "errors"),
        ("soak_lost_points", outcome.lost_points + outcome.unacknowledged_batches, "points"),
        ("soak_lost_trainings", len(outcome.failed_trainings), "trainings"),
        ("soak_failed_predictions", _of_door(outcome, "predict"), "errors"),
        ("soak_not_recovered", sum(not one.has_recovered for one in outcome.suffered), "faults"),
    ]
    return [
        *(more_is_better(f"soak_{name}", rate, "/s", what, asked, reach=_SHARE) for name, rate, asked in rates),
        *(none_at_all(name, count, unit, what) for name, count, unit in nothing),
        bounded("soak_predict_p99", outcome.p99_ms, "ms", "asked for; median of seconds", 100.0, at_most=100.0),
        *_recoveries(outcome),
        *_memory(outcome),
    ]


def _of_door(outcome: Outcome, door: str) -> int:
    return sum(error["door"] == door for error in [*outcome.errors, *outcome.excused])


def _recoveries(outcome: Outcome) -> list[Figure]:
    slowest: dict[str, float] = {}
    for one in outcome.suffered:
        slowest[one.name] = max(slowest.get(one.name, 0.0), one.recovery_s)
    return [
        bounded(f"soak_recovery_{name}", took_s, "s", "the MTTR asked for", MTTR_S, at_most=RECOVERY_S)
        for name, took_s in slowest.items()
    ]


def _memory(outcome: Outcome) -> list[Figure]:
    found: list[Figure] = []
    for role, growth in outcome.growths.items():
        what = f"its start; {growth.start_mib:.0f} to {growth.end_mib:.0f}, at most {growth.most_mib:.0f} MiB"
        at_most = growth_bound_mib(growth.start_mib)
        grown = max(growth.grown_mib, 0.1)
        found.append(bounded(f"soak_growth_{role}", grown, "MiB", what, growth.start_mib, at_most=at_most))
    return found


def told(outcome: Outcome) -> str:
    """Return what a reader wants to know beside the figures."""
    lines = [
        f"{outcome.acknowledged_points:,} points and {outcome.trainings} trainings acknowledged,"
        f" {outcome.promoted} promotions; the generator took {outcome.generator_cores:.2f} cores",
        f"slowest prediction {outcome.slowest_ms} ms; {outcome.fallbacks} answered by the fallback",
        f"errors within the windows of faults: {_counted(outcome.excused)}",
        f"errors outside: {_counted(outcome.errors)}",
        *outcome.failed_trainings[:20],
    ]
    for one in outcome.suffered:
        lines.append(f"recovery: {one.name} after {one.recovery_s:.2f} s")
    for role, growth in outcome.growths.items():
        lines.append(
            f"memory: {role} {growth.start_mib:.0f} to {growth.end_mib:.0f} MiB in {growth.seconds:.0f} s,"
            f" {growth.slope_mib_h:+.1f} MiB an hour"
        )
    return "\n".join(lines) + "\n"


def _counted(errors: list[dict[str, object]]) -> str:
    counts = Counter(f"{error['door']} {error.get('status', '')} {error['code']}" for error in errors)
    return ", ".join(f"{count} x {what}" for what, count in counts.most_common()) or "none"
