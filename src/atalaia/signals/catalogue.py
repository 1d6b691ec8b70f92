"""The catalogue: which series there are, by which number arrays know them, and in which fleet they are."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Fault, Invalid, Missing
from atalaia.core.points import NumberArray
from atalaia.core.series import MAX_ID_CHARACTERS, Fleet, Series, check_id
from atalaia.kit.database import after_commit
from atalaia.signals.rules import fleet_of
from atalaia.signals.settings import SignalsSettings
from atalaia.signals.store import catalogue as store

MAX_LABELS = 64
"""Labels that one series may have."""


class Catalogue:
    """Finds series by id and numbers new ones.

    Numbers of known series are kept in memory; they never change.
    """

    def __init__(self, settings: SignalsSettings) -> None:
        self._settings = settings
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()

    def resolve(
        self, session: Session, series_ids: Sequence[str], pointer: str = "/points/{}/series_id"
    ) -> tuple[NumberArray, int]:
        """Return the number of each of the n ids, and how many series are new; new ones are added.

        Raises
        ------
        Invalid
            When an id cannot name a series; the fault is `pointer` with the position for ``{}``.
        """
        known = self._numbers
        try:
            return np.array([known[series_id] for series_id in series_ids], np.int32), 0
        except KeyError:
            unknown = list(dict.fromkeys(s for s in series_ids if s not in known))
        _check_ids(unknown, series_ids, pointer)
        fresh = store.numbers_of(session, unknown)
        missing = [series_id for series_id in unknown if series_id not in fresh]
        if missing:
            self._add(session, missing)
            fresh.update(store.numbers_of(session, missing))
        after_commit(session, lambda: self._learn(fresh))
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

    def series(self, session: Session, series_id: str) -> Series:
        """Return one series, or raise `Missing`."""
        return store.series_of(self.row(session, series_id))

    def label(self, session: Session, series_id: str, changed: Mapping[str, str | None]) -> Series:
        """Set labels of a series, or remove those set to None; a rule may put one without fleet into one.

        Raises
        ------
        Missing, Invalid
            When the series is unknown, or would have more than `MAX_LABELS`.
        """
        row = self.row(session, series_id)
        merged = {**row.labels, **changed}
        labels = {name: value for name, value in merged.items() if value is not None}
        if len(labels) > MAX_LABELS:
            detail = f"a series may have {MAX_LABELS} labels, this would make {len(labels)}"
            raise Invalid("invalid_request", detail, faults=[Fault("/labels", detail)])
        row.labels = labels
        if row.fleet_id is None:
            row.fleet_id = self._place(session, series_id, labels, store.fleet_sizes(session))
        session.flush()
        return store.series_of(row)

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
        known = store.numbers_of(session, wanted)
        for position, series_id in enumerate(wanted):
            if series_id not in known:
                fault = Fault(f"/series_ids/{position}", "unknown series")
                raise Missing("unknown_series", f"no point of {series_id[:80]!r} was ever received", faults=[fault])
        self._fleet(session, fleet_id, "hand")
        session.flush()
        store.assign(session, fleet_id, wanted)
        return Fleet(fleet_id, "hand", len(wanted))

    def members(self, session: Session, fleet_id: str) -> list[str]:
        """Return the ids of the series of a fleet, sorted, or raise `Missing`."""
        if session.get(store.FleetRow, fleet_id) is None:
            detail = f"there is no fleet {fleet_id[:80]!r}; `atalaia fleets list` shows what there is"
            raise Missing("unknown_fleet", detail)
        return store.members_of(session, fleet_id)

    def _add(self, session: Session, series_ids: Sequence[str]) -> None:
        sizes = store.fleet_sizes(session) if self._settings.fleet_rules else {}
        now = now_us()
        rows: list[dict[str, Any]] = [
            {"series_id": s, "fleet_id": self._place(session, s, {}, sizes), "labels": {}, "created_at": now}
            for s in series_ids
        ]
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

    def _learn(self, numbers: dict[str, int]) -> None:
        with self._lock:
            self._numbers.update(numbers)


def _check_ids(unknown: Sequence[str], series_ids: Sequence[str], pointer: str) -> None:
    for series_id in unknown:
        try:
            check_id(series_id)
        except AtalaiaError as error:
            position = series_ids.index(series_id)
            fault = Fault(pointer.format(position), error.faults[0].message)
            raise Invalid("invalid_id", f"point {position}: {error.detail}", faults=[fault]) from error
