"""What explanations read is the same on every twin of the database."""

from typing import Any

from sqlalchemy import insert, select

from atalaia.core.scores import BrokenRelation, Explanation, ModelRef
from atalaia.kit.database import Database
from atalaia.signals.store import anomalies, catalogue

ODD = ("日本 ' ; --", "%s", "$.a[0]", "a.b", "", ":x", 'x"y', "x\\y", '", "hall": "2')
LABELS: list[dict[str, str]] = [
    {"hall": "2", "kind": "pump"},
    {"hall": "2"},
    {"hall": "3", **dict.fromkeys(ODD, "x'y")},
    {"note": '"hall": "2"', "HALL": "2", "hall": "22", "kind": "%"},
]


def anomaly(number: int, opened: int, last: int, state: str) -> dict[str, Any]:
    peak = {"peak_at": opened, "peak_score": 2.0, "seen": 9.0, "expected": None, "lower": None, "upper": None}
    told = {"part": "level", "text": "", "model_id": "m", "model_version": "v1", "algorithm": "plain"}
    at = {"opened_at": opened, "last_at": last, "state": state, "strange": 2, "quiet": 0}
    return {"id": f"{number}/{opened}", "number": number, "series_id": f"s{number}", **at, **peak, **told}


def filled(database: Database) -> None:
    series = [
        {"number": number, "series_id": f"s{number}", "fleet_id": None, "labels": labels, "created_at": 0}
        for number, labels in enumerate(LABELS, 1)
    ]
    rows = [
        anomaly(1, 100, 200, "closed"),
        anomaly(1, 300, 400, "pending"),
        anomaly(2, 150, 160, "closed"),
        anomaly(2, 10, 20, "open"),
        anomaly(3, 201, 300, "closed"),
        anomaly(4, 120, 130, "pending"),
        anomaly(4, 50, 99, "closed"),
    ]
    with database.write() as session:
        session.execute(insert(catalogue.SeriesRow), series)
        session.execute(insert(anomalies.AnomalyRow), rows)


def test_labels_are_counted_whatever_their_names(database: Database) -> None:
    filled(database)
    asked = [("hall", "2"), ("kind", "pump"), ("hall", "9"), *((name, "x'y") for name in ODD)]
    with database.read() as session:
        assert catalogue.label_counts(session, asked) == ([2, 1, 0, *[1] * len(ODD)], 4)
        assert catalogue.label_counts(session, []) == ([], 4)
        assert catalogue.labelled(session, "hall", "2", 9) == [1, 2]
        assert catalogue.labelled(session, "hall", "2", 1) == [1]
        assert catalogue.labelled(session, ODD[0], "x'y", 9) == [3]
        assert catalogue.values_of(session, "hall") == {"2": 2, "3": 1, "22": 1}
        assert [catalogue.values_of(session, name) for name in (*ODD, "2", "none")] == [
            *[{"x'y": 1}] * len(ODD),
            {},
            {},
        ]


def test_the_sensors_that_were_off_are_kept_with_an_anomaly(database: Database) -> None:
    off = BrokenRelation("p\u00e9 'x\"", 2.5, 1.0, 0.0, -1.0, 1.0)
    told = anomalies.columns_of_peak(
        Explanation(0.0, -1.0, 1.0, "relation", ""), ModelRef("a", "v1", "r"), 1.0, [off]
    )
    filled(database)
    with database.write() as session:
        session.get_one(anomalies.AnomalyRow, "2/10").relations = told["relations"]
    with database.read() as session:
        rows = {row.id: row for row in session.scalars(select(anomalies.AnomalyRow))}
        assert anomalies.anomaly_of(rows["2/10"]).relations == (off,)
        assert anomalies.anomaly_of(rows["2/150"]).relations == ()
        kept = select(anomalies.AnomalyRow.id).where(anomalies.AnomalyRow.relations.is_not(None))
        assert list(session.scalars(kept)) == ["2/10"]


def test_what_overlaps_a_stretch_is_found_with_its_labels(database: Database) -> None:
    filled(database)
    with database.read() as session:
        found = anomalies.overlapping(session, 100, 200, other_than=1, limit=9)
        assert [(row.id, labels) for row, labels in found] == [("2/150", LABELS[1]), ("2/10", LABELS[1])]
        assert [row.id for row, _ in anomalies.overlapping(session, 100, 201, other_than=2, limit=1)] == ["3/201"]


def test_earlier_episodes_and_what_holds_a_moment_are_found(database: Database) -> None:
    filled(database)
    with database.read() as session:
        assert [row.id for row in anomalies.episodes(session, [1, 2], 200, limit=9)] == ["2/150", "1/100", "2/10"]
        assert [row.id for row in anomalies.episodes(session, [1, 2], 150, limit=1)] == ["1/100"]
        assert anomalies.episodes(session, [], 150, limit=1) == []
        held = [anomalies.holding(session, 1, moment) for moment in (99, 100, 299, 300)]
        assert [row and row.id for row in held] == [None, "1/100", "1/100", "1/300"]
