"""Whichever door a name comes through, not a byte of it is kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import structlog

from atalaia.core.anomalies import FeedbackKind
from atalaia.kit.arrow_stream import ARROW
from tests.connectors.prometheus.senders import send
from tests.kit.asgi import call
from tests.signals.builders import Place, signals_in
from tests.signals.doors import app_of
from tests.signals.test_service import spikes

NAME = "ada-lovelace-1815"
RULES = (
    {"where": "labels", "match": "user*", "action": "hash"},
    {"where": "labels", "match": "phone", "action": "drop"},
    {"where": "series_id", "match": "*lovelace*", "action": "hash"},
    {"where": "notes", "match": "*", "action": "mask"},
)
AT_S = 1_700_000_000


@pytest.fixture(autouse=True)
def quiet_log() -> Iterator[None]:
    def drop(_logger: Any, _method: str, _event: Any) -> Any:
        raise structlog.DropEvent

    structlog.configure(processors=[drop])
    yield
    structlog.reset_defaults()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with signals_in(tmp_path, rules=RULES) as place:
        yield place


def kept(folder: Path, name: str = NAME) -> list[str]:
    """Return the files that hold the name, in either of the usual encodings."""
    wanted = (name.encode(), name.encode("utf-16-le"))
    return [
        str(file) for file in folder.rglob("*") if file.is_file() and any(w in file.read_bytes() for w in wanted)
    ]


def ids(place: Place) -> list[str]:
    with place.database.read() as session:
        found, _ = place.signals.list_series(session, fleet_id=None, prefix=None, labels=(), cursor=None, limit=99)
    return [series.series_id for series in found]


def test_rows_and_columns_hide_ids(place: Place, tmp_path: Path) -> None:
    app = app_of(place)
    row = {"series_id": NAME, "timestamp": AT_S, "value": 1.0}
    assert call(app, "POST", "/api/v1/points", {"points": [row]}).status == 200
    columns = {"series_ids": [NAME, "pump"], "timestamps": [AT_S, AT_S], "values": [2.0, 2.0]}
    assert call(app, "POST", "/api/v1/points", columns, headers={"idempotency-key": "k"}).json()["created"] == 1
    assert call(app, "POST", "/api/v1/series/resolve", {"series_ids": [NAME]}).json()["created"] == 0
    assert sorted(ids(place)) == [place.signals.privacy.pseudonym(NAME), "pump"]
    assert kept(tmp_path) == []


def stream_of(columns: dict[str, Any]) -> bytes:
    """Return points as an Arrow stream."""
    types = {"series_id": pa.string(), "timestamp": pa.timestamp("us"), "value": pa.float64()}
    sink, schema = pa.BufferOutputStream(), pa.schema(list(types.items()))
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    return sink.getvalue().to_pybytes()


def test_arrow_hides_ids(place: Place, tmp_path: Path) -> None:
    body = stream_of({"series_id": [NAME], "timestamp": [AT_S * 1_000_000], "value": [1.0]})
    assert call(app_of(place), "POST", "/api/v1/points", body, headers={"content-type": ARROW}).status == 200
    assert ids(place) == [place.signals.privacy.pseudonym(NAME)]
    assert kept(tmp_path) == []


@pytest.mark.parametrize("version", [1, 2])
def test_remote_write_hides_labels_and_the_ids_made_of_them(place: Place, tmp_path: Path, version: int) -> None:
    app = app_of(place)
    labels = [("__name__", "steps"), ("phone", "+55 11 91234-5678"), ("user", NAME)]
    for minute in (0, 1):  # the second finds the series by the hash of its labels alone
        assert send(app, version, (labels, [(1.0, (AT_S + 60 * minute) * 1_000)])).status == 204
    pseudonym = place.signals.privacy.pseudonym(NAME)
    assert ids(place) == [f'steps{{user="{pseudonym}"}}']
    with place.database.read() as session:
        series = place.signals.series(session, ids(place)[0])
        assert dict(series.labels) == {"__name__": "steps", "user": pseudonym}
        for asked in (NAME, pseudonym):
            found, _ = place.signals.list_series(
                session, fleet_id=None, prefix=None, labels=[f"user:{asked}"], cursor=None, limit=9
            )
            assert len(found) == 1
    assert kept(tmp_path) == []
    assert kept(tmp_path, "91234-5678") == []


def test_edits_of_labels_hide_them_too(place: Place, tmp_path: Path) -> None:
    row = {"series_id": "pump", "timestamp": AT_S, "value": 1.0}
    call(app_of(place), "POST", "/api/v1/points", {"points": [row]})
    with place.database.write() as session:
        told = place.signals.label(session, "pump", {"user_name": NAME, "phone": NAME, "site": "north"})
    assert dict(told.labels) == {"user_name": place.signals.privacy.pseudonym(NAME), "site": "north"}
    assert kept(tmp_path) == []


def test_notes_of_feedback_are_masked(place: Place, tmp_path: Path) -> None:
    spikes(place, "a", 1)
    (one,) = place.anomalies()
    with place.database.write() as session:
        said, _ = place.signals.anomalies.give_feedback(
            session, one.anomaly_id, FeedbackKind.USEFUL, "ask ada@lovelace.example"
        )
    assert said.note == "ask ***"
    assert kept(tmp_path, "ada@lovelace") == []
