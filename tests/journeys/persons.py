"""A site with data of one person among others, and what is left of them when they were erased."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
import pytest

from atalaia.app.embedded import Embedded
from atalaia.connectors.atalaia import Client, Columns, TrainingConfig
from atalaia.core.anomalies import FeedbackKind
from atalaia.core.clock import MICROS
from atalaia.core.errors import Missing
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.erasures import judge
from atalaia.kit.signatures import Verdict
from tests.journeys.measurements import START_S
from tests.journeys.servers import until
from tests.parts.journey import all_scored, blocks

PERSON = "ada-lovelace-1815"
WATCH = f"watch of {PERSON}"
OTHERS = ("watch 1", "watch 2", "watch 3")
FLEET = ModelKey(Scope.FLEET, "watches")
AT = START_S + 900 * 60


def fill(client: Client, start: int, count: int, *names: str) -> None:
    values = 50 + np.sin(np.arange(start, start + count) / 30) + np.arange(start, start + count) % 7 / 10
    stamps = (START_S + np.arange(start, start + count, dtype=np.int64) * 60) * MICROS
    for name in names:
        client.points.add(Columns([name] * count, stamps, values + len(name) / 100))


def train(client: Client, key: ModelKey, algorithm: str) -> None:
    job = client.jobs.wait(client.training.start(key, TrainingConfig(24 * 14, algorithm)).job_id, timeout_s=60)
    assert (job.status, job.error) == ("completed", None)
    client.models.promote(key, job.model_version or "")


def live(running: Embedded, client: Client) -> None:
    """Let a site be full of a person, and of others."""
    fill(client, 0, 600, WATCH, *OTHERS)
    with running.atalaia.database.write() as session:
        running.atalaia.signals.label(session, WATCH, {"user": PERSON, "site": "north"})
        running.atalaia.signals.catalogue.set_fleet(session, FLEET.name, [WATCH, *OTHERS])
    all_scored(client)
    until(lambda: blocks(running), "a block")
    train(client, FLEET, "statistical")
    train(client, FLEET, "streaming")
    train(client, ModelKey(Scope.SERIES, WATCH), "robust_zscore")
    train(client, ModelKey(Scope.SERIES, OTHERS[0]), "statistical")
    for at in range(600, 603):
        client.points.add(
            Columns([WATCH, OTHERS[1]], np.full(2, (START_S + at * 60) * MICROS), np.full(2, 9_999.0))
        )
    fill(client, 603, 100, WATCH, *OTHERS)
    all_scored(client)
    (anomaly, *_) = client.anomalies.list(series_id=WATCH).items
    client.anomalies.give_feedback(anomaly.anomaly_id, FeedbackKind.USEFUL.value, f"call {PERSON}")
    assert client.predict(WATCH, 99.0, AT).anomaly


def number_of(running: Embedded, series_id: str) -> int:
    with running.atalaia.database.read() as session:
        return running.atalaia.signals.catalogue.number(session, series_id)


def answers(client: Client) -> list[Any]:
    """Return what others are told, ids and times of the question left out."""
    told = [client.predict(name, value, AT) for name in OTHERS for value in (50.0, 51.5, 70.0)]
    points = [client.series.points(name, from_=START_S, limit=5_000).points for name in OTHERS]
    anomalies = [client.anomalies.list(series_id=name).items for name in OTHERS]
    series = [client.series.get(name) for name in OTHERS]
    scores = [(a.anomaly, a.anomaly_score, a.explanation, a.model_info and a.model_info.version) for a in told]
    return [scores, points, anomalies, [(one.statistics, one.received) for one in series]]


def holders(folder: Path, word: str = PERSON) -> list[str]:
    """Return the files that hold a word, as they are or packed."""
    found: list[str] = []
    for file in folder.rglob("*"):
        if not file.is_file():
            continue
        data = file.read_bytes()
        if file.suffix == ".zst":
            data = bytes(cramjam.zstd.decompress(data))
        if word.encode() in data or word.encode("utf-16-le") in data:
            found.append(file.relative_to(folder).as_posix())
    return found


def without_the_trail(database: Path) -> bytes:
    """Return the bytes of a database from which the trail alone was taken."""
    copy = database.with_name("copy.db")
    copy.write_bytes(database.read_bytes())
    connection = sqlite3.connect(copy, isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    # the pages are freed and filled with zeros; what lies in other free pages stays as it is
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("DELETE FROM audit_events")
    connection.close()
    data = copy.read_bytes()
    copy.unlink()
    return data


def erase(client: Client) -> dict[str, Any]:
    asked = client.privacy.erase(label=f"user:{PERSON}")
    job = client.jobs.wait(asked.job_id, timeout_s=120)
    assert (job.status, job.error) == ("completed", None)
    told = client.privacy.certificate(asked.certificate_id)
    assert job.result is not None
    assert job.result["certificate"]["signature"] == told.signature
    return {"certificate": told.certificate, "signature": told.signature, "signed_by": told.signed_by}


def check_certificate(running: Embedded, told: dict[str, Any]) -> None:
    certificate = told["certificate"]
    assert PERSON not in json.dumps(certificate)
    assert judge(running.atalaia.signatures, told) is Verdict.GOOD
    assert (
        judge(running.atalaia.signatures, {**told, "certificate": {**certificate, "counts": {}}}) is Verdict.WRONG
    )
    counts = certificate["counts"]
    assert counts["series_blanked"] == 1
    assert counts["block_points_erased"] + counts["tail_points_erased"] == 703
    assert counts["anomalies_erased"] >= 1
    assert (counts["feedback_erased"], counts["models_removed"], counts["versions_rewritten"]) == (1, 1, 2)
    assert counts["jobs_erased"] >= 1
    assert set(certificate["search"]["rows"]) == {"audit_events"}
    assert [one["where"] for one in certificate["remains"] if one["count"] and "GDPR" not in one["why"]] == []


def check_a_new_life(client: Client) -> None:
    """Check that the name is nobody's, and that whoever comes under it begins anew."""
    assert client.privacy.find(series_id=OTHERS[0]).series == 1
    for ask in (lambda: client.predict(WATCH, 99.0, AT), lambda: client.privacy.erase(label=f"user:{PERSON}")):
        with pytest.raises(Missing):
            ask()
    fill(client, 2_000, 3, WATCH)
    all_scored(client)
    series = client.series.get(WATCH)
    assert (series.received, dict(series.labels or {}), series.fleet_id) == (3, {}, None)
    assert len(client.series.points(WATCH, from_=START_S).points) == 3
    assert client.anomalies.list(series_id=WATCH).items == []
