"""The face of signals: its use cases. Each takes the session of the request's one transaction."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.buckets import Buckets, aggregate
from atalaia.core.anomalies import Anomaly, AnomalyState, Feedback, FeedbackKind
from atalaia.core.clock import MICROS, from_us, now_us
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.core.facts import FeedbackGiven
from atalaia.core.points import Group, Points
from atalaia.core.series import Fleet, Series, Statistics
from atalaia.kit.blobs import Blobs
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database, after_commit
from atalaia.kit.facts import Outbox
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.history import History
from atalaia.signals.ingest import Batch
from atalaia.signals.ports import Scorer
from atalaia.signals.scoring import Scoring
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import anomalies, catalogue, history

_WEEK_US = 7 * 86_400 * MICROS
_LABEL_ROWS = 1_000
"""Rows that are read at a time to find those with a label, however small the page."""


class Signals:
    """Points in, anomalies out."""

    def __init__(
        self,
        database: Database,
        blobs: Blobs,
        outbox: Outbox,
        scorer: Scorer,
        settings: SignalsSettings,
        telemetry: Telemetry,
    ) -> None:
        self.database = database
        self.settings = settings
        self.telemetry = telemetry
        self.catalogue = Catalogue(settings)
        self.history = History(database, blobs, settings)
        self.scoring = Scoring(database, outbox, scorer, settings, telemetry)
        self.follower = Loop("scoring", self.scoring.drain, every_s=0.5, pause_s=settings.score_pause_s)
        self._outbox = outbox
        telemetry.gauge("scoring_lag_rows", self.lag)

    def ingest(self, session: Session, batch: Batch) -> tuple[int, int, int]:
        """Keep a batch; return how many points, series and new series it brought.

        It is durable once the session's transaction has committed, and scored soon after.
        """
        numbers, created = self.catalogue.resolve(session, batch.series_ids, batch.id_pointer)
        self.history.append(session, Points(numbers, batch.timestamps, batch.values))
        count = len(numbers)
        after_commit(session, self.follower.wake)
        after_commit(session, lambda: self.telemetry.count("points_received_total", by=count))
        return count, len(np.unique(numbers)), created

    def lag(self) -> int:
        """Return how many accepted batches wait to be scored."""
        with self.database.read() as session:
            return history.lag(session)

    def list_series(
        self,
        session: Session,
        *,
        fleet_id: str | None,
        prefix: str | None,
        label: str | None,
        cursor: str | None,
        limit: int,
    ) -> tuple[list[Series], str | None]:
        """Return series in order of id; `label` is ``name:value``."""
        name, separator, value = (label or "").partition(":")
        if label and not (name and separator):
            raise Invalid(
                "invalid_request", "label: expected name:value", faults=[Fault("/label", "expected name:value")]
            )
        keys = decode_cursor(cursor, str)
        after = keys[0] if keys else None
        size = max(limit + 1, _LABEL_ROWS) if label else limit + 1
        found: list[catalogue.SeriesRow] = []
        while len(found) <= limit:
            rows = catalogue.series_page(session, after=after, limit=size, fleet_id=fleet_id, prefix=prefix)
            found += [row for row in rows if not label or row.labels.get(name) == value]
            if len(rows) < size:
                break
            after = rows[-1].series_id
        page, following = page_of(found, limit, lambda row: encode_cursor(row.series_id))
        return [catalogue.series_of(row) for row in page], following

    def list_fleets(self, session: Session, *, cursor: str | None, limit: int) -> tuple[list[Fleet], str | None]:
        """Return fleets in order of id."""
        keys = decode_cursor(cursor, str)
        rows = catalogue.fleets_page(session, after=keys[0] if keys else None, limit=limit + 1)
        return page_of(rows, limit, lambda fleet: encode_cursor(fleet.fleet_id))

    def fleet(self, session: Session, fleet_id: str) -> tuple[Fleet, list[str]]:
        """Return a fleet and the ids of its members, or raise `Missing`."""
        members = self.catalogue.members(session, fleet_id)
        row = session.get_one(catalogue.FleetRow, fleet_id)
        return Fleet(fleet_id, row.source, len(members)), members

    def points(self, series_id: str, from_us: int | None, to_us: int | None) -> tuple[int, int, Points]:
        """Return a range and the series' points in it; by default the last week that has any.

        Raises
        ------
        Missing, Invalid
            When the series is unknown, or the range ends before it begins.
        """
        with self.database.read() as session:
            row = self.catalogue.row(session, series_id)
            newest = self._newest(session, [row])
        newest = newest if newest is not None else now_us()
        end = to_us if to_us is not None else max(newest, from_us or 0) + 1  # whoever asks what is new gets nothing
        start = from_us if from_us is not None else max(0, end - _WEEK_US)
        if start >= end:
            fault = Fault("/from", "must lie before `to`")
            raise Invalid("invalid_time", "the range ends before it begins", faults=[fault])
        return start, end, self.history.read([row.number], start, end)

    def buckets(
        self, series_id: str, from_us: int | None, to_us: int | None, count: int
    ) -> tuple[int, int, Buckets]:
        """Return a range and the series' points in it, aggregated into at most `count` buckets."""
        start, end, points = self.points(series_id, from_us, to_us)
        return start, end, aggregate(points.timestamps, points.values, start, end, count)

    def list_anomalies(
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
        number = None if series_id is None else self.catalogue.number(session, series_id)
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

    def anomaly(self, session: Session, anomaly_id: str) -> Anomaly:
        """Return one anomaly, or raise `Missing`."""
        row = self._anomaly(session, anomaly_id)
        return anomalies.anomaly_of(row, anomalies.feedback_of(session, [row.id]).get(row.id, ()))

    def give_feedback(self, session: Session, anomaly_id: str, kind: FeedbackKind, note: str) -> Feedback:
        """Keep what a person says of an anomaly."""
        row = self._anomaly(session, anomaly_id)
        now = now_us()
        session.add(anomalies.FeedbackRow(anomaly_id=row.id, kind=kind.value, note=note, created_at=now))
        self._outbox.publish(session, FeedbackGiven(row.id, row.series_id, kind.value))
        return Feedback(kind, note, from_us(now))

    # what other slices ask for through their ports

    def members(self, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, or raise `Missing`."""
        with self.database.read() as session:
            return self.catalogue.members(session, fleet_id)

    def newest(self, series_ids: Sequence[str]) -> int | None:
        """Return when the newest point of any of the series was measured, or None; each must be known."""
        with self.database.read() as session:
            return self._newest(session, [self.catalogue.row(session, series_id) for series_id in series_ids])

    def group(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Group:
        """Return the points of the series in [start, end), in the order of `series_ids`."""
        with self.database.read() as session:
            numbers = catalogue.numbers_of(session, series_ids)
        points = self.history.read(list(numbers.values()), start_us, end_us)
        wanted = np.array([numbers.get(series_id, -1) for series_id in series_ids], np.int32)
        first = np.searchsorted(points.series, wanted, side="left").tolist()
        last = np.searchsorted(points.series, wanted, side="right").tolist()
        return Group.of(
            (points.timestamps[start:end], points.values[start:end]) for start, end in zip(first, last, strict=True)
        )

    def statistics(self, series_id: str) -> Statistics | None:
        """Return the running statistics of a series, None when it is unknown."""
        with self.database.read() as session:
            try:
                return self.catalogue.series(session, series_id).statistics
            except Missing:
                return None

    def _newest(self, session: Session, rows: Sequence[catalogue.SeriesRow]) -> int | None:
        # The catalogue follows scoring; whoever was told that points are kept must find them at once.
        waiting = self.history.newest_waiting(session, [row.number for row in rows])
        return max(
            (stamp for stamp in (waiting, *(row.last_ts for row in rows)) if stamp is not None), default=None
        )

    def _anomaly(self, session: Session, anomaly_id: str) -> anomalies.AnomalyRow:
        row = session.get(anomalies.AnomalyRow, anomaly_id)
        if row is None or row.state == anomalies.PENDING:
            raise Missing("unknown_anomaly", f"there is no anomaly {anomaly_id[:80]!r}")
        return row
