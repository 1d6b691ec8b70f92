"""Names are found as a whole, in texts and in JSON, and nothing that only looks like one."""

from pathlib import Path
from typing import Any

import pytest

from atalaia.kit.facts import Outbox, OutboxRow, ReceiptRow
from atalaia.kit.idempotency import IdempotencyRow, erase_keys
from atalaia.kit.mentions import Mentions
from tests.signals.builders import fresh_database

NAMES = ["pump 1", "água/7", "a%b_c", 'quo"te']


@pytest.mark.parametrize(
    "value",
    [
        "pump 1",
        "series:pump 1",
        "no point of 'pump 1' was ever received",
        {"series_id": "água/7"},
        {"deep": [{"in": ("a%b_c",)}]},
        {'quo"te': 1},
        ["POST training pump 1 5"],
    ],
)
def test_a_name_is_found(value: Any) -> None:
    assert Mentions(NAMES).are_in(value)


@pytest.mark.parametrize(
    "value", ["pump 10", "pump 1-b", "pump 1.5", "my-pump 1", "água/70", "aXbYc", "", None, 7, {}, [], {"a": 1.5}]
)
def test_what_only_looks_like_a_name_is_not(value: Any) -> None:
    assert not Mentions(NAMES).are_in(value)


def test_nobody_is_found_nowhere() -> None:
    assert not Mentions([]).are_in("anything")
    assert not Mentions([""]).are_in("")


def test_facts_that_name_somebody_are_erased_with_their_receipts(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    told = [{"series_id": name, "anomaly_id": f"anm_{i}"} for i, name in enumerate([*NAMES, "pump 10"])]
    with database.write() as session:
        session.add_all([OutboxRow(id=i + 1, name="A", payload=one, created_at=1) for i, one in enumerate(told)])
        session.flush()
        session.add(ReceiptRow(fact_id=1, handler="h"))
    with database.write() as session:
        assert Outbox(database).erase(session, [*NAMES, "anm_9"]) == 4
    with database.read() as session:
        assert [row.payload["series_id"] for row in session.query(OutboxRow)] == ["pump 10"]
        assert session.query(ReceiptRow).count() == 0
    database.close()


def test_answers_that_name_somebody_are_erased(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    rows = [
        ("k1", "POST training series:água/7", {"job_id": "j"}),
        ("k2", "POST /points", {"accepted": 1}),
        ("água/7", "POST /points", {"accepted": 1}),
        ("k3", "POST promote", {"model_id": "series:água/7"}),
    ]
    with database.write() as session:
        for key, route, answer in rows:
            session.add(IdempotencyRow(key=key, route=route, fingerprint="", answer=answer, created_at=1))
    with database.write() as session:
        assert erase_keys(session, NAMES) == 3
        assert erase_keys(session, NAMES) == 0
    with database.read() as session:
        assert [row.key for row in session.query(IdempotencyRow)] == ["k2"]
    database.close()
