"""Jobs of signals: compaction, retention."""

from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.kit.facts import Outbox
from atalaia.kit.idempotency import forget_keys
from atalaia.kit.jobs import JobQueue, Outcome, Run, Work
from atalaia.signals.service import Signals

COMPACT = "compact_history"
RETAIN = "apply_retention"
_DAY_US = 86_400 * MICROS
_KEEP_JOBS_US = 30 * _DAY_US


def works(signals: Signals, queue: JobQueue, outbox: Outbox) -> dict[str, Work]:
    """Return what a worker does for signals."""

    def compact(run: Run) -> Outcome:
        run.report(0.1)
        swap = signals.history.merge() or signals.history.compaction()
        run.report(0.9)
        return Outcome({"more": swap is not None}, swap)

    def retain(run: Run) -> Outcome:
        run.report(0.1)
        swap = signals.history.expiry()
        swept = signals.history.sweep()
        run.report(0.9)

        def apply(session: Session) -> dict[str, int]:
            now = now_us()
            forget_keys(session, now - _DAY_US)
            outbox.forget(session, now - 7 * _DAY_US)
            ended = queue.forget(session, now - _KEEP_JOBS_US)
            return {**(swap(session) if swap else {}), "jobs_forgotten": ended}

        return Outcome({"blobs_swept": swept}, apply)

    return {COMPACT: compact, RETAIN: retain}


def schedule(signals: Signals, queue: JobQueue) -> None:
    """Queue what is due: a compaction when the tail or the blocks ask for it, retention once an hour."""
    with signals.database.write() as session:
        if signals.history.wants_compaction(session):
            queue.enqueue_unless_waiting(session, COMPACT, "history")
        last = queue.last(session, RETAIN, "history")
        if last is None or now_us() - last.created_at > 3_600 * MICROS:
            queue.enqueue_unless_waiting(session, RETAIN, "history")
