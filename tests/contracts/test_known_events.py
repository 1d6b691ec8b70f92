"""Known events cover the same points on every twin of the database, and lapses are apart from other anomalies."""

from typing import Any

import numpy as np
from sqlalchemy import insert

from atalaia.kit.database import Database
from atalaia.signals.calendar import Calendar
from atalaia.signals.store import anomalies, catalogue
from atalaia.signals.store import events as store
from tests.contracts.test_explanations import LABELS, ODD, anomaly

SCOPES: list[tuple[dict[str, Any], list[bool]]] = [
    ({"everything": True}, [True, True, True, True]),
    ({"fleet_id": "f"}, [True, False, False, False]),
    ({"numbers": [2, 4]}, [False, True, False, True]),
    ({"labels": {"hall": "2"}}, [True, True, False, False]),
    ({"labels": {"hall": "2", "kind": "pump"}}, [True, False, False, False]),
    ({"labels": {ODD[0]: "x'y", ODD[1]: "x'y"}}, [False, False, True, False]),
]


def test_a_scope_covers_the_same_series(database: Database) -> None:
    calendar, numbers = Calendar(database), np.arange(1, 5, dtype=np.int32)
    fleets = ["f", None, None, None]
    rows = [
        {
            "number": number,
            "series_id": f"s{number}",
            "fleet_id": fleets[number - 1],
            "labels": labels,
            "created_at": 0,
        }
        for number, labels in enumerate(LABELS, 1)
    ]
    with database.write() as session:
        session.execute(insert(catalogue.FleetRow), [{"fleet_id": "f", "source": "hand", "created_at": 0}])
        session.execute(insert(catalogue.SeriesRow), rows)
    for at, (scope, _) in enumerate(SCOPES):
        with database.write() as session:
            told = {"kind": "other", "title": "t", "scope": scope, "repeats": {}, "created_at": 0}
            session.add(store.EventRow(id=f"evt_{at}", starts_at=10 * at, ends_at=10 * at + 5, **told))
            store.changed(session)
    for at, (scope, covered) in enumerate(SCOPES):
        found = calendar.known(numbers, np.full(4, 10 * at, np.int64))
        assert found is not None
        assert found.tolist() == covered, scope
        assert calendar.known(numbers, np.full(4, 10 * at + 5, np.int64)) is None
    with database.write() as session:
        session.delete(session.get_one(store.EventRow, "evt_0"))
        store.changed(session)
    assert calendar.known(numbers, np.zeros(4, np.int64)) is None


def test_lapses_do_not_grow_and_are_not_judged(database: Database) -> None:
    rows = [
        {**anomaly(1, 100, 100, "open"), "part": "missing"},
        {**anomaly(2, 100, 100, "open"), "part": "flat"},
        anomaly(2, 300, 300, "open"),
        {**anomaly(3, 100, 100, "closed"), "part": "flat"},
    ]
    series = [
        {"number": number, "series_id": f"s{number}", "fleet_id": None, "labels": {}, "created_at": 0}
        for number in (1, 2, 3)
    ]
    said = [{"anomaly_id": row["id"], "kind": "useful", "note": "", "created_at": 0} for row in rows]
    with database.write() as session:
        session.execute(insert(catalogue.SeriesRow), series)
        session.execute(insert(anomalies.AnomalyRow), rows)
        session.execute(insert(anomalies.FeedbackRow), said)
    with database.read() as session:
        assert {row.id for row in anomalies.growing(session).values()} == {"2/300"}
        assert sorted((row.id, row.part) for row in anomalies.lapses(session)) == [
            ("1/100", "missing"),
            ("2/100", "flat"),
        ]
        assert [row.id for row in anomalies.judged(session, [1, 2, 3], 0, 1_000)] == ["2/300"]
