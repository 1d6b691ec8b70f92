"""A certificate says what went, what stays and why, and what people must do: no more, and no less."""

from pathlib import Path
from typing import Any

import pytest

from atalaia.app.erasure.certificate import COUNTED, certificate_of
from atalaia.app.settings import Settings
from atalaia.kit.erasures import STATEMENT, ErasureRow, encoded

FOUND = {
    "words": 2,
    "rows": {"audit_events": 3, "series": 1},
    "files": {"atalaia.db": 1, "audit": 2},
    "objects": {"audit/journal": 4, "unread": 1},
}


def certificate(told: dict[str, Any], **settings: Any) -> dict[str, Any]:
    row = ErasureRow(
        id="ers_1",
        subject_kind="label",
        subject_hash="ab" * 32,
        told=told,
        job_id="job_1",
        asked_by="ada",
        asked_at=1_700_000_000_000_000,
        finished_at=1_700_000_060_000_000,
    )
    return certificate_of(row, Settings(data_dir=Path("x"), **settings))


def test_a_certificate_says_who_asked_and_counts_all() -> None:
    made = certificate({"series_blanked": 2, "unread": [], "search": FOUND})
    assert (made["type"], made["certificate_id"], made["asked_by"]) == (STATEMENT, "ers_1", "ada")
    assert made["subject"] == {"kind": "label", "hash": f"hmac-sha256:{'ab' * 32}"}
    assert made["done_at"] > made["asked_at"]
    assert set(made["counts"]) == set(COUNTED)
    assert made["counts"]["series_blanked"] == 2
    assert encoded(made) == encoded(dict(reversed(made.items())))


def test_evidence_stays_for_its_time_and_all_else_is_told_apart() -> None:
    remains = {one["where"]: one for one in certificate({"search": FOUND})["remains"]}
    for where in (
        "table: audit_events",
        "data folder: atalaia.db",
        "data folder: audit",
        "object store: audit/journal",
    ):
        assert "GDPR Art. 17(3)" in remains[where]["why"]
        assert "audit.keep_days" in remains[where]["until"]
    assert "GDPR" not in remains["table: series"]["why"]
    assert "No key" in remains["object store: unread"]["why"]
    assert [one["count"] for one in remains.values()] == [3, 1, 1, 2, 4, 1]


def test_a_database_file_is_no_evidence_when_the_trail_names_nobody() -> None:
    (only,) = certificate({"search": {"rows": {}, "files": {"atalaia.db": 1}, "objects": {}}})["remains"]
    assert "GDPR" not in only["why"]


def test_what_could_not_be_read_and_what_a_server_keeps_is_told() -> None:
    made = certificate({"unread": ["fleet:f v1"], "registry_keeps": "runs"})
    assert [one["where"] for one in made["remains"]] == ["model: fleet:f v1", "model registry"]
    assert any("mlflow gc" in one for one in made["to_do"])


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"database_url": "postgresql://a@b/c"}, "PostgreSQL"),
        ({"blobs_url": "s3://bucket"}, "bucket"),
        ({}, "Backups"),
    ],
)
def test_what_people_must_do_depends_on_the_site(settings: dict[str, Any], word: str) -> None:
    assert any(word in one for one in certificate({}, **settings)["to_do"])
    assert not any("PostgreSQL" in one or "mlflow gc" in one for one in certificate({})["to_do"])
