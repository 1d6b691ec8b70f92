"""Anomalies as people ask for them, and what they say of them."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from atalaia.core.anomalies import Anomaly, AnomalyState, Feedback, FeedbackKind
from atalaia.core.clock import from_us, now_us
from atalaia.core.errors import Missing
from atalaia.core.facts import FeedbackGiven
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database, after_commit
from atalaia.kit.facts import Outbox
from atalaia.kit.notes import note as write_note
from atalaia.kit.privacy import Privacy
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.store import anomalies, catalogue
from atalaia.signals.thresholds import Thresholds


class Anomalies:
    """What was found, and what it was worth."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        known: Catalogue,
        thresholds: Thresholds,
        privacy: Privacy,
        telemetry: Telemetry,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._catalogue = known
        self._thresholds = thresholds
        self._privacy = privacy
        self._telemetry = telemetry
        for kind in FeedbackKind:
            telemetry.begin("anomaly_feedback_total", kind.value)

    def page(
        self,
        session: Session,
        *,
        series_id: str | None,
        from_us: int | None,
        to_us: int | None,
        state: AnomalyState | None,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[Anomaly], str | None]:
        """Return anomalies that overlap [from, to), newest first."""
        number = None if series_id is None else self._catalogue.number(session, series_id)
        before = decode_cursor(cursor, int, str)
        rows = anomalies.anomalies_page(
            session,
            number=number,
            from_us=from_us,
            to_us=to_us,
            state=state,
            before=before,
            limit=limit + 1,
        )
        page, following = page_of(rows, limit, lambda row: encode_cursor(row.opened_at, row.id))
        said = anomalies.feedback_of(session, [row.id for row in page])
        return [anomalies.anomaly_of(row, said.get(row.id, ())) for row in page], following

    def get(self, session: Session, anomaly_id: str) -> Anomaly:
        """Return one anomaly, or raise `Missing`."""
        row = self._row(session, anomaly_id)
        return anomalies.anomaly_of(row, anomalies.feedback_of(session, [row.id]).get(row.id, ()))

    def give_feedback(
        self, session: Session, anomaly_id: str, kind: FeedbackKind, note: str
    ) -> tuple[Feedback, int | None]:
        """Keep what a person says of an anomaly; return that, and by which change its threshold is moved, if so."""
        row = self._row(session, anomaly_id)
        now, note = now_us(), self._privacy.note(note)
        session.add(anomalies.FeedbackRow(anomaly_id=row.id, kind=kind.value, note=note, created_at=now))
        change_id = self._thresholds.heed(session, row, kind)
        self._outbox.publish(session, FeedbackGiven(row.id, row.series_id, kind.value))
        write_note(session, "feedback_given", row.id, series_id=row.series_id, kind=kind.value, note=note)
        after_commit(session, lambda: self._telemetry.count("anomaly_feedback_total", kind.value))
        return Feedback(kind, note, from_us(now)), change_id

    def judged(self, series_ids: Sequence[str], start_us: int, end_us: int) -> list[Anomaly]:
        """Return the anomalies of the series in [start, end) of which somebody said something, oldest first."""
        with self._database.read() as session:
            numbers = catalogue.numbers_of(session, series_ids)
            rows = anomalies.judged(session, list(numbers.values()), start_us, end_us)
            said = anomalies.feedback_of(session, [row.id for row in rows])
            return [anomalies.anomaly_of(row, said[row.id]) for row in rows]

    def _row(self, session: Session, anomaly_id: str) -> anomalies.AnomalyRow:
        row = session.get(anomalies.AnomalyRow, anomaly_id)
        if row is None or row.state == anomalies.PENDING:
            raise Missing("unknown_anomaly", f"there is no anomaly {anomaly_id[:80]!r}")
        return row
