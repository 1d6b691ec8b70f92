"""The face of signals: its use cases. Each takes the session of the request's one transaction."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from sqlalchemy.orm import Session

from atalaia.algorithms.buckets import Buckets, aggregate
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Fault, Invalid, Missing
from atalaia.core.points import Group, IntArray, NumberArray, Points
from atalaia.core.series import Fleet, Series, Statistics
from atalaia.kit.blobs import Blobs
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.kit.database import Database, after_commit
from atalaia.kit.erasures import Subject
from atalaia.kit.facts import Outbox
from atalaia.kit.privacy import Privacy
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop
from atalaia.signals.anomalies import Anomalies
from atalaia.signals.calendar import Calendar
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.history import History
from atalaia.signals.ingest import Batch
from atalaia.signals.intake import POINT_BYTES, Delivery, Intake, Kept
from atalaia.signals.memory import Memory
from atalaia.signals.ports import Scorer
from atalaia.signals.scoring import Scoring
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import catalogue, history
from atalaia.signals.thresholds import Thresholds

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
        memory: Memory,
        settings: SignalsSettings,
        telemetry: Telemetry,
        privacy: Privacy,
    ) -> None:
        self.database = database
        self.settings = settings
        self.telemetry = telemetry
        self.privacy = privacy
        self.catalogue = Catalogue(settings)
        self.history = History(database, blobs, settings)
        self.memory = memory
        self.calendar = Calendar(database)
        self.history.horizon = memory.horizon
        self.thresholds = Thresholds(database, scorer, settings)
        self.anomalies = Anomalies(database, outbox, self.catalogue, self.thresholds, privacy, telemetry)
        at = (self.memory, self.history, self.thresholds, settings, telemetry, self.calendar)
        self.scoring = Scoring(database, outbox, scorer, *at)
        self.intake = Intake(database, self.history, telemetry, settings.intake_bytes, self._kept, self.catalogue)
        self.follower = Loop("scoring", self.scoring.drain, every_s=0.5, pause_s=settings.score_pause_s)
        self._scorer = scorer
        telemetry.gauge("scoring_lag_rows", self.lag, asks=True)
        telemetry.gauge("alarm_budget_realised_ratio", self._realised, asks=True)
        telemetry.gauge("series_silent", lambda: self.scoring.lapses.silent)

    def numbered(self, session: Session, batch: Batch) -> tuple[Points, int]:
        """Return the points of a batch by number, and how many series are new; those are added.

        Raises
        ------
        Invalid, Missing
            When an id cannot name a series, or a number stands for none.
        """
        created = 0
        if batch.numbers is not None:
            numbers = batch.numbers
            self.catalogue.check_numbers(session, numbers)
        else:
            ids = batch.series_ids
            numbers, created = self.catalogue.resolve(session, ids, batch.id_pointer, place=batch.place)
            numbers = numbers if batch.indexes is None else numbers[batch.indexes]
        return Points(numbers, batch.timestamps, batch.values), created

    async def keep_points(self, points: Points) -> Kept:
        """Return once the points, of known series, are durable."""
        delivery = Delivery(lambda session: (points, {}), POINT_BYTES * len(points), can_fail=False)
        return await self.intake.keep(delivery)

    async def keep_labelled(
        self,
        series: Mapping[str, Mapping[str, str]],
        points: Callable[[Sequence[int]], Points],
        learn: Callable[[NumberArray], None],
        nbytes: int,
    ) -> Kept:
        """Find or make series, keep the points that follow from their numbers; return once both are durable."""

        def prepare(session: Session) -> tuple[Points, Kept]:
            numbers, created = self.catalogue.resolve(session, list(series), "/series/{}", series)
            after_commit(session, lambda: learn(numbers))
            return points(numbers.tolist()), {"created": created}

        return await self.intake.keep(Delivery(prepare, nbytes, can_fail=True))

    def resolve(self, session: Session, series_ids: Sequence[str]) -> tuple[list[int], int]:
        """Return the numbers of series, in their order, and how many of them are new; those are added."""
        numbers, created = self.catalogue.resolve(session, self.privacy.series_ids(series_ids), "/series_ids/{}")
        return numbers.tolist(), created

    def share(self) -> bool:
        """Let streaming models of this process, which does not follow, learn what the follower has stored."""
        self.memory.share(self._scorer)
        with self.database.read() as session:
            columns, _ = self.memory.statistics(session)
        self.thresholds.follow(columns)
        return False

    def _kept(self) -> None:
        self.follower.wake()

    def stop(self) -> None:
        """Keep what was taken in, and stop following; what was learnt is stored for whoever follows next."""
        self.scoring.stop()  # what takes long is given up meanwhile
        self.intake.stop()
        self.follower.stop()
        self.scoring.release()

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
        labels: Sequence[str],
        cursor: str | None,
        limit: int,
    ) -> tuple[list[Series], str | None]:
        """Return series in order of id that have all `labels`, each ``name:value``."""
        keys = decode_cursor(cursor, str)
        after = keys[0] if keys else None
        found = self._rows(session, labels, limit, after=after, fleet_id=fleet_id, prefix=prefix)
        page, following = page_of(found, limit, lambda row: encode_cursor(row.series_id))
        return [self._series(session, row) for row in page], following

    def _rows(
        self,
        session: Session,
        labels: Sequence[str],
        limit: int,
        *,
        after: str | None = None,
        fleet_id: str | None = None,
        prefix: str | None = None,
    ) -> list[catalogue.SeriesRow]:
        """Return, in order of id, rows of series that have all `labels`: all of them, or more than `limit`."""
        wanted = [self._wanted(label) for label in labels]
        size = max(limit + 1, _LABEL_ROWS) if wanted else limit + 1
        found: list[catalogue.SeriesRow] = []
        while len(found) <= limit:
            rows = catalogue.series_page(session, after=after, limit=size, fleet_id=fleet_id, prefix=prefix)
            found += [row for row in rows if all(row.labels.get(name) in known for name, known in wanted)]
            if len(rows) < size:
                break
            after = rows[-1].series_id
        return found

    def _wanted(self, label: str) -> tuple[str, list[str]]:
        """Return the name of a label, and as what its value may have been kept."""
        name, separator, value = label.partition(":")
        if not (name and separator):
            fault = Fault("/label", "expected name:value")
            raise Invalid("invalid_request", "label: expected name:value", faults=[fault])
        return name, self.privacy.known_as(value)

    def series(self, session: Session, series_id: str) -> Series:
        """Return one series, or raise `Missing`."""
        return self._series(session, self.catalogue.row(session, series_id))

    def label(self, session: Session, series_id: str, changed: Mapping[str, str | None]) -> Series:
        """Set labels of a series, or remove those set to None; see `Catalogue.label`."""
        hidden = {
            name: None if value is None else self.privacy.label(name, value) for name, value in changed.items()
        }
        return self._series(session, self.catalogue.label(session, series_id, hidden))

    def subject(self, session: Session, asked: Subject) -> dict[str, int]:
        """Return ids and numbers of the series of a subject; what became a pseudonym is found by either."""
        if asked.kind == "series_id":
            return catalogue.numbers_of(session, self.privacy.known_as(asked.value))
        name, _, value = asked.value.partition(":")
        known = self.privacy.known_as(value)
        found: dict[str, int] = {}
        after: str | None = None
        while True:
            rows = catalogue.series_page(session, after=after, limit=_LABEL_ROWS, fleet_id=None, prefix=None)
            found |= {row.series_id: row.number for row in rows if row.labels.get(name) in known}
            if len(rows) < _LABEL_ROWS:
                break
            after = rows[-1].series_id
        return found

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
            newest = self._newest(session, [row.number])
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

    # what other slices ask for through their ports

    def members(self, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, or raise `Missing`."""
        with self.database.read() as session:
            return self.catalogue.members(session, fleet_id)

    def described(self, series_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the labels of those of the series that are known, in their order."""
        with self.database.read() as session:
            found = catalogue.labels_of(session, series_ids)
        return {series_id: found[series_id] for series_id in series_ids if series_id in found}

    def matching(self, fleet_id: str | None, labels: Sequence[str], most: int) -> dict[str, Mapping[str, str]]:
        """Return the labels of series of a fleet, or of all, that have all of ``name:value``; at most `most`.

        Raises
        ------
        Missing, Invalid
            When there is no such fleet, or a label is not written so.
        """
        with self.database.read() as session:
            if fleet_id is not None:
                self.catalogue.members(session, fleet_id)
            rows = self._rows(session, labels, most, fleet_id=fleet_id)
        return {row.series_id: row.labels for row in rows[:most]}

    def check(self, session: Session, series_id: str) -> None:
        """Raise `Missing` when there is no such series; one that is remembered is not looked up."""
        if self.catalogue.known([series_id]) is None:
            self.catalogue.number(session, series_id)

    def newest(self, series_ids: Sequence[str]) -> int | None:
        """Return when the newest point of any of the series was measured, or None; each must be known."""
        with self.database.read() as session:
            numbers = catalogue.numbers_of(session, series_ids)
            for series_id in series_ids:
                if series_id not in numbers:
                    self.catalogue.number(session, series_id)  # raises what others raise for it
            return self._newest(session, sorted(numbers.values()))

    def gather_fleets(self) -> list[str]:
        """Put every series that has no fleet into one, of those with neighbouring numbers; return all fleets."""
        with self.database.write() as session:
            return self.catalogue.gather(session)

    def groups(self, series_ids: Sequence[str], start_us: int, end_us: int) -> Iterator[tuple[IntArray, Group]]:
        """Yield the points of the series in [start, end) part by part, each at most a few million.

        A part is positions in `series_ids`, and the points of those series. Series without points are in no part.
        """
        with self.database.read() as session:
            numbers = catalogue.numbers_of(session, series_ids)
        position = {number: i for i, series_id in enumerate(series_ids) if (number := numbers.get(series_id))}
        for points in self.history.parts(sorted(position), start_us, end_us, self.settings.part_points):
            starts = np.flatnonzero(np.diff(points.series, prepend=-1))
            places = [position[number] for number in points.series[starts].tolist()]
            indptr = np.append(starts, len(points)).astype(np.int64)
            yield np.array(places, np.int64), Group(points.timestamps, points.values, indptr)

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
                return self.series(session, series_id).statistics
            except Missing:
                return None

    def _realised(self) -> float:
        with self.database.read() as session:
            columns, _ = self.memory.statistics(session)
            return self.thresholds.realised(session, columns)

    def _series(self, session: Session, row: catalogue.SeriesRow) -> Series:
        columns, _ = self.memory.statistics(session)
        return catalogue.series_of(row, columns.of(row.number))

    def _newest(self, session: Session, numbers: Sequence[int]) -> int | None:
        # Statistics follow scoring; whoever was told that points are kept must find them at once.
        columns, covered = self.memory.statistics(session)
        waiting = self.history.newest_waiting(session, numbers, covered)
        return max(
            (stamp for stamp in (waiting, columns.newest(np.array(numbers, np.int32))) if stamp is not None),
            default=None,
        )
