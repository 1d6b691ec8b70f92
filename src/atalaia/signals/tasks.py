"""Jobs of signals: compaction, retention."""

from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.kit.facts import Outbox
from atalaia.kit.idempotency import forget_keys
from atalaia.kit.jobs import JobQueue, Outcome, Run, Work
from atalaia.signals.service import Signals
from atalaia.signals.store import anomalies

COMPACT = "compact_history"
RETAIN = "apply_retention"
_HOUR_US = 3_600 * MICROS
_DAY_US = 24 * _HOUR_US


def works(signals: Signals, queue: JobQueue, outbox: Outbox) -> dict[str, Work]:
    """Return what a worker does for signals."""

    def compact(run: Run) -> Outcome:
        history = signals.history
        # Both at once: neither waits for the other while there is much to do of one of them.
        rewrite = history.division(_share(run, 0.0, 0.7)) or history.merge(_share(run, 0.0, 0.7))
        run.report(0.7)
        swaps = [swap for swap in (rewrite, history.compaction()) if swap is not None]
        run.report(0.9)

        def apply(session: Session) -> dict[str, Any]:
            return {name: value for swap in swaps for name, value in swap(session).items()}

        return Outcome({"more": bool(swaps)}, apply)

    def retain(run: Run) -> Outcome:
        run.report(0.1)
        swap = signals.history.expiry(_share(run, 0.1, 0.8))
        before_s = now_us() / MICROS - signals.settings.sweep_after_s
        swept = signals.history.sweep() + signals.memory.sweep(before_s)
        run.report(0.9)

        def apply(session: Session) -> dict[str, int]:
            now, settings = now_us(), signals.settings
            forget_keys(session, now - int(settings.idempotency_retention_hours * _HOUR_US))
            outbox.forget(session, now - int(settings.fact_retention_days * _DAY_US))
            told = {"jobs_forgotten": queue.forget(session, now - int(settings.job_retention_days * _DAY_US))}
            if settings.anomaly_retention_days is not None:
                before = now - int(settings.anomaly_retention_days * _DAY_US)
                told["anomalies_forgotten"] = anomalies.forget(session, before)
            return {**(swap(session) if swap else {}), **told}

        return Outcome({"blobs_swept": swept}, apply)

    return {COMPACT: compact, RETAIN: retain}


def _share(run: Run, start: float, end: float) -> Callable[[float], None]:
    """Return what reports the progress of a part of a run, so that it can be stopped meanwhile."""
    return lambda progress: run.report(start + (end - start) * progress)


def schedule(signals: Signals, queue: JobQueue) -> None:
    """Queue what is due: a compaction when the tail or the blocks ask for it, retention once an hour."""
    due: list[str] = []
    with signals.database.read() as session:  # the manifest may be long: nobody waits for this look at it
        if signals.history.wants_compaction(session):
            due.append(COMPACT)
        last = queue.last(session, RETAIN, "history")
        if last is None or now_us() - last.created_at > 3_600 * MICROS:
            due.append(RETAIN)
    if not due:
        return
    with signals.database.write() as session:
        for kind in due:
            queue.enqueue_unless_waiting(session, kind, "history")
