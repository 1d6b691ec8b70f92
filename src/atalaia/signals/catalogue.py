"""The catalogue: which series there are, by which number arrays know them, and in which fleet they are."""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Fault, Invalid, Missing
from atalaia.core.points import NumberArray
from atalaia.core.series import MAX_ID_CHARACTERS, Fleet, check_id
from atalaia.kit.database import after_commit, serialize
from atalaia.kit.notes import note
from atalaia.signals.rules import BUCKET_SERIES, fleet_of
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import catalogue as store
from atalaia.signals.store import events

MAX_LABELS = 64
"""Labels that one series may have."""


class Catalogue:
    """Finds series by id and numbers new ones.

    Numbers of known series are kept in memory; they never change. Those of series that were erased are dropped as
    soon as this process hears of it: a name that comes again is a new series.

    Attributes
    ----------
    erasures
        Up to which erasure it has heard.
    """

    def __init__(self, settings: SignalsSettings) -> None:
        self._settings = settings
        self._numbers: dict[str, int] = {}
        self._highest = 0
        self.erasures = 0
        self._erased: NumberArray = np.empty(0, np.int32)
        self._lock = threading.Lock()

    def known(self, series_ids: Sequence[str]) -> NumberArray | None:
        """Return the number of each of the n ids if all are known in memory, else None."""
        known = self._numbers
        try:
            return np.fromiter((known[series_id] for series_id in series_ids), np.int32, len(series_ids))
        except KeyError:
            return None

    def erased(self, session: Session) -> NumberArray:
        """Return the numbers of all series that were erased, sorted, as the database has them now."""
        fresh = store.erased_since(session, self.erasures)
        if fresh:
            with self._lock:
                numbers = [number for number, _ in fresh]
                self._erased = np.union1d(self._erased, np.array(numbers, np.int32))
                gone = set(self._erased.tolist())
                self._numbers = {name: number for name, number in self._numbers.items() if number not in gone}
                self.erasures = max(erasure for _, erasure in fresh)
        return self._erased

    def check_numbers(self, session: Session, numbers: NumberArray) -> None:
        """Refuse numbers that stand for no series.

        Raises
        ------
        Missing
            With the first of them and where it stands.
        """
        if not len(numbers):
            return
        highest = self._highest
        if int(numbers.max()) > highest:
            highest = store.highest_number(session)
            after_commit(session, lambda: self._reach(highest))  # until then, its series may come to nothing
        bad = (numbers < 1) | (numbers > highest) | np.isin(numbers, self.erased(session))
        if bool(bad.any()):
            place = int(np.argmax(bad))
            detail = f"no series has the number {int(numbers[place])}; POST /api/v1/series/resolve tells numbers"
            raise Missing("unknown_series", detail, faults=[Fault(f"/series/{place}", "unknown number")])

    def resolve(
        self,
        session: Session,
        series_ids: Sequence[str],
        pointer: str = "/points/{}/series_id",
        labels: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
        place: Callable[[int], int] = int,
    ) -> tuple[NumberArray, int]:
        """Return the number of each of the n ids, and how many series are new; new ones are added with `labels`.

        Parameters
        ----------
        place
            Where the id at a position stands in the body.

        Raises
        ------
        Invalid
            When an id cannot name a series; the fault is `pointer` with its place for ``{}``.
        """
        self.erased(session)
        numbers = self.known(series_ids)
        if numbers is not None:
            return numbers, 0
        known = self._numbers
        unknown = list(dict.fromkeys(s for s in series_ids if s not in known))
        _check_ids(unknown, lambda series_id: place(series_ids.index(series_id)), pointer)
        fresh = store.numbers_of(session, unknown)
        missing = [series_id for series_id in unknown if series_id not in fresh]
        if missing:
            _alone(session)
            fresh.update(store.numbers_of(session, missing))  # others may just have added some of them
            missing = [series_id for series_id in missing if series_id not in fresh]
        if len(missing) > self._settings.max_new_series:
            most = self._settings.max_new_series
            detail = f"{len(missing)} new series are too many for one request, at most {most}; nothing was kept"
            raise Invalid("too_many_new_series", detail, faults=[Fault(pointer.partition("/{}")[0], detail)])
        if missing:
            self._add(session, missing, labels)
            fresh.update(store.numbers_of(session, missing))
        heard = self.erasures
        after_commit(session, lambda: self._learn(fresh, heard))
        numbers = np.array([known.get(s) or fresh[s] for s in series_ids], np.int32)
        return numbers, len(missing)

    def number(self, session: Session, series_id: str) -> int:
        """Return the number of a series.

        Raises
        ------
        Missing
            When no point of it was ever received.
        """
        return self.row(session, series_id).number

    def row(self, session: Session, series_id: str) -> store.SeriesRow:
        """Return the row of a series, or raise `Missing`."""
        number = (
            store.numbers_of(session, [series_id]).get(series_id) if len(series_id) <= MAX_ID_CHARACTERS else None
        )
        row = session.get(store.SeriesRow, number) if number is not None else None
        if row is None:
            detail = f"no point of {series_id[:80]!r} was ever received; `atalaia series list` shows what there is"
            raise Missing("unknown_series", detail)
        return row

    def label(self, session: Session, series_id: str, changed: Mapping[str, str | None]) -> store.SeriesRow:
        """Set labels of a series, or remove those set to None; a rule may put one without fleet into one.

        Raises
        ------
        Missing, Invalid
            When the series is unknown, or would have more than `MAX_LABELS`.
        """
        _alone(session)
        row = self.row(session, series_id)
        merged = {**row.labels, **changed}
        labels = {name: value for name, value in merged.items() if value is not None}
        if len(labels) > MAX_LABELS:
            detail = f"a series may have {MAX_LABELS} labels, this would make {len(labels)}"
            raise Invalid("invalid_request", detail, faults=[Fault("/labels", detail)])
        row.labels = labels
        events.touch(session)
        note(session, "series_labelled", series_id, changed=dict(changed))
        if row.fleet_id is None:
            row.fleet_id = self._place(session, series_id, labels, store.fleet_sizes(session))
        session.flush()
        return row

    def set_fleet(self, session: Session, fleet_id: str, series_ids: Sequence[str]) -> Fleet:
        """Make exactly `series_ids` the members of a fleet, by hand.

        Raises
        ------
        Invalid, Missing
            When there are too many, or one of them is unknown.
        """
        check_id(fleet_id, "/fleet_id")
        wanted = list(dict.fromkeys(series_ids))
        if len(wanted) > self._settings.fleet_max_series:
            detail = f"{len(wanted)} series are too many for one fleet, at most {self._settings.fleet_max_series}"
            raise Invalid("fleet_too_large", detail, faults=[Fault("/series_ids", detail)])
        _alone(session)
        known = store.numbers_of(session, wanted)
        for position, series_id in enumerate(wanted):
            if series_id not in known:
                fault = Fault(f"/series_ids/{position}", "unknown series")
                raise Missing("unknown_series", f"no point of {series_id[:80]!r} was ever received", faults=[fault])
        self._fleet(session, fleet_id, "hand")
        session.flush()
        store.assign(session, fleet_id, wanted)
        events.touch(session)
        note(session, "fleet_set", fleet_id, series=len(wanted), first=wanted[:20])
        return Fleet(fleet_id, "hand", len(wanted))

    def members(self, session: Session, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, sorted, or raise `Missing`."""
        if session.get(store.FleetRow, fleet_id) is None:
            detail = f"there is no fleet {fleet_id[:80]!r}; `atalaia fleets list` shows what there is"
            raise Missing("unknown_fleet", detail)
        return store.members_of(session, fleet_id)

    def gather(self, session: Session) -> list[str]:
        """Put every series that has no fleet into one, of those with neighbouring numbers; return all fleets.

        Neighbours lie in the same blocks of history, so that a training reads few of them.
        """
        _alone(session)
        width = min(self._settings.fleet_max_series, BUCKET_SERIES)
        for part in store.fleetless_parts(session, width):
            fleet = f"numbers-{part * width:07d}"
            self._fleet(session, fleet, "rule")
            session.flush()
            store.assign_range(session, fleet, part * width, (part + 1) * width)
            note(session, "fleet_gathered", fleet)
        events.touch(session)
        return store.fleet_ids(session)

    def _add(self, session: Session, series_ids: Sequence[str], labels: Mapping[str, Mapping[str, str]]) -> None:
        sizes = store.fleet_sizes(session) if self._settings.fleet_rules else {}
        now = now_us()
        first = store.highest_number(session) + 1  # no gaps: all numbers up to the highest are series
        rows: list[dict[str, Any]] = []
        for number, series_id in enumerate(series_ids, first):
            own = dict(labels.get(series_id, {}))
            fleet = self._place(session, series_id, own, sizes)
            rows.append(
                {"number": number, "series_id": series_id, "fleet_id": fleet, "labels": own, "created_at": now}
            )
        session.flush()
        session.execute(insert(store.SeriesRow), rows)

    def _place(self, session: Session, series_id: str, labels: dict[str, str], sizes: dict[str, int]) -> str | None:
        name = fleet_of(series_id, labels, self._settings.fleet_rules)
        if name is None:
            return None
        fleet, part = name, 1
        while sizes.get(fleet, 0) >= self._settings.fleet_max_series:
            part += 1
            fleet = f"{name}-{part}"
        sizes[fleet] = sizes.get(fleet, 0) + 1
        self._fleet(session, fleet, "rule")
        return fleet

    def _fleet(self, session: Session, fleet_id: str, source: str) -> None:
        row = session.get(store.FleetRow, fleet_id)
        if row is None:
            session.add(store.FleetRow(fleet_id=fleet_id, source=source, created_at=now_us()))
        else:
            row.source = source if source == "hand" else row.source

    def _learn(self, numbers: dict[str, int], heard: int) -> None:
        with self._lock:
            if heard == self.erasures:  # else one of them may have been erased since; they are found again
                self._numbers.update(numbers)

    def _reach(self, highest: int) -> None:
        with self._lock:
            self._highest = max(self._highest, highest)


def _alone(session: Session) -> None:
    """Let nobody else change the catalogue until the transaction ends.

    Series are numbered without gaps, each once, and fleets stay within their bounds.
    """
    serialize(session, "catalogue")


def _check_ids(unknown: Sequence[str], place: Callable[[str], int], pointer: str) -> None:
    for series_id in unknown:
        try:
            check_id(series_id)
        except AtalaiaError as error:
            position = place(series_id)
            fault = Fault(pointer.format(position), error.faults[0].message)
            raise Invalid("invalid_id", f"point {position}: {error.detail}", faults=[fault]) from error
