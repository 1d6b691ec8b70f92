"""The doors of erasures: who may, who is meant, and what is answered."""

from typing import Any

import pytest
from starlette.types import ASGIApp

from atalaia.app.build import Atalaia
from atalaia.app.server import make_app, with_front
from atalaia.kit.erasures import ErasureRow, Plan
from atalaia.kit.jobs.rows import JobRow
from tests.app.conftest import BuildOne
from tests.kit.asgi import Answer, call

AT_S = 1_700_000_000
SUBJECTS = "/api/v1/privacy/subjects"


def doors(atalaia: Atalaia) -> ASGIApp:
    atalaia.roles = frozenset({"api"})
    return with_front(make_app(atalaia), atalaia)


@pytest.fixture
def atalaia(build_one: BuildOne) -> Atalaia:
    return build_one()


@pytest.fixture
def app(atalaia: Atalaia) -> ASGIApp:
    app = doors(atalaia)
    points = [{"series_id": name, "timestamp": AT_S, "value": 1.0} for name in ("a", "b", "c")]
    assert call(app, "POST", "/api/v1/points", {"points": points}).status == 200
    for name in ("a", "b"):
        assert call(app, "PATCH", f"/api/v1/series/{name}", {"labels": {"user": "ada:1"}}).status == 200
    return app


def find(app: ASGIApp, body: Any) -> Answer:
    return call(app, "POST", f"{SUBJECTS}/find", body)


def test_what_would_go_is_told_and_nothing_goes(app: ASGIApp) -> None:
    told = find(app, {"label": "user:ada:1"}).json()
    assert told == {
        "series": 2,
        "series_ids": ["a", "b"],
        "points": 2,
        "anomalies": 0,
        "models": 0,
        "fleet_models": 0,
    }
    assert call(app, "GET", "/api/v1/series/a").status == 200
    assert find(app, {"series_id": "c"}).json()["series_ids"] == ["c"]


def test_an_erasure_is_a_job_that_names_nobody(app: ASGIApp, atalaia: Atalaia) -> None:
    answer = call(app, "DELETE", SUBJECTS, {"label": "user:ada:1"})
    told = answer.json()
    assert (answer.status, told["status"]) == (202, "queued")
    assert told["status_url"].endswith(told["job_id"])
    assert call(app, "GET", told["certificate_url"]).status == 404  # not yet
    with atalaia.database.read() as session:
        job = session.get_one(JobRow, told["job_id"])
        row = session.get_one(ErasureRow, told["certificate_id"])
        assert (job.payload, job.subject) == ({"erasure": row.id}, row.id)
        assert row.plan is not None
        assert Plan.unpacked(row.plan).subject.value == "user:ada:1"
        assert len(row.subject_hash) == 64
    again = call(app, "DELETE", SUBJECTS, {"label": "user:ada:1"}).json()
    assert (again["job_id"], again["certificate_id"]) == (told["job_id"], told["certificate_id"])


def test_an_erasure_whose_job_was_cancelled_is_taken_up_again(app: ASGIApp) -> None:
    first = call(app, "DELETE", SUBJECTS, {"series_id": "a"}).json()
    assert call(app, "DELETE", f"/api/v1/jobs/{first['job_id']}").status == 200
    second = call(app, "DELETE", SUBJECTS, {"series_id": "a"}).json()
    assert second["certificate_id"] == first["certificate_id"]
    assert second["job_id"] != first["job_id"]


def test_a_series_without_points_that_was_trained_may_be_erased(app: ASGIApp, atalaia: Atalaia) -> None:
    with atalaia.database.write() as session:
        atalaia.queue.enqueue(session, "train", {"key": "series:ghost"}, subject="series:ghost")
    assert find(app, {"series_id": "ghost"}).json()["series"] == 0
    assert call(app, "DELETE", SUBJECTS, {"series_id": "ghost"}).status == 202
    atalaia.worker.work_once()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"series_id": "a", "label": "user:ada"}, 422),
        ({"series_id": ""}, 422),
        ({"series_id": "x" * 257}, 422),
        ({"label": "user"}, 422),
        ({"label": ":ada"}, 422),
        ({"label": "user:"}, 422),
        ({"label": "x" * 513}, 422),
        ({"series_id": 7}, 422),
        ({"series_id": "a", "more": 1}, 422),
        (b"{", 422),
        (b'{"series_id": "\\ud800"}', 422),
        ({"series_id": "a\0b"}, 422),
        ({"label": "user:a\0b"}, 422),
        (b'{"label": "user:\\udfff"}', 422),
        (b"", 422),
        ({"series_id": "nobody"}, 404),
        ({"label": "user:nobody"}, 404),
    ],
)
def test_who_is_not_meant_is_told_so(app: ASGIApp, atalaia: Atalaia, body: Any, status: int) -> None:
    for answer in (find(app, body), call(app, "DELETE", SUBJECTS, body)):
        assert answer.status == status, answer.json()
    with atalaia.database.read() as session:
        assert session.query(ErasureRow).count() == 0


@pytest.mark.parametrize("certificate_id", ["ers_1", "x" * 300, "%00"])
def test_a_certificate_that_is_not_there_is_missing(app: ASGIApp, certificate_id: str) -> None:
    assert call(app, "GET", f"/api/v1/privacy/certificates/{certificate_id}").status in (404, 400, 422)
