"""Jobs over HTTP: shown, listed, cancelled; only those of the kinds that the doors are for."""

import pytest
from fastapi import FastAPI

from atalaia.kit.database import Database
from atalaia.kit.jobs import Job, JobQueue
from atalaia.kit.jobs.api import jobs_router
from atalaia.kit.web.problems import install_problems
from tests.kit.asgi import Answer, call

PUMP = "series:sala 3/bomba:7"


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database)


class Client:
    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def get(self, path: str, **query: str | int) -> Answer:
        return call(self.app, "GET", path, query=query)

    def delete(self, path: str) -> Answer:
        return call(self.app, "DELETE", path)


@pytest.fixture
def client(database: Database, queue: JobQueue) -> Client:
    app = FastAPI()
    install_problems(app)
    app.include_router(jobs_router(database, queue, "/jobs"))
    app.include_router(jobs_router(database, queue, "/training/jobs", ("train",)))
    return Client(app)


def put(
    database: Database, queue: JobQueue, subject: str | None = "series:sala 3/bomba:7", kind: str = "train"
) -> Job:
    with database.write() as session:
        return queue.enqueue(session, kind, {}, subject=subject)


def test_a_new_job_shows_what_it_is(client: Client, database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    answer = client.get(f"/training/jobs/{job.job_id}")
    body = answer.json()
    assert answer.status == 200
    assert body.pop("created_at").endswith("Z")
    assert body == {
        "job_id": job.job_id,
        "kind": "train",
        "status": "queued",
        "progress": 0.0,
        "series_id": "sala 3/bomba:7",
        "fleet_id": None,
        "asset_id": None,
        "attempts": 0,
        "model_version": None,
        "result": None,
        "error": None,
        "started_at": None,
        "finished_at": None,
    }


def test_a_job_that_ended_shows_what_it_left(client: Client, database: Database, queue: JobQueue) -> None:
    job = put(database, queue, "fleet:pumps")
    claim = queue.claim(["train"])
    assert claim is not None
    with database.write() as session:
        queue.complete(session, claim, {"model_version": "v3"})
    body = client.get(f"/jobs/{job.job_id}").json()
    assert (body["status"], body["model_version"], body["result"]) == ("completed", "v3", {"model_version": "v3"})
    assert (body["series_id"], body["fleet_id"]) == (None, "pumps")
    assert body["created_at"] <= body["started_at"] <= body["finished_at"]


def test_a_job_that_failed_shows_its_problem(client: Client, database: Database, queue: JobQueue) -> None:
    job = put(database, queue, None)
    claim = queue.claim(["train"])
    assert claim is not None
    queue.fail(claim, {"code": "disk_full"}, retries=False)
    body = client.get(f"/jobs/{job.job_id}").json()
    assert (body["status"], body["error"]) == ("failed", {"code": "disk_full"})
    assert (body["series_id"], body["fleet_id"]) == (None, None)


def test_jobs_are_listed_page_by_page(client: Client, database: Database, queue: JobQueue) -> None:
    jobs = {put(database, queue).job_id for _ in range(5)}
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        body = client.get("/jobs", **query).json()
        seen += [item["job_id"] for item in body["items"]]
        if body["next"] is None:
            break
        query["cursor"] = body["next"]
    assert seen == sorted(jobs, reverse=True)


def test_jobs_are_listed_by_status_series_and_kind(client: Client, database: Database, queue: JobQueue) -> None:
    pump, _, other = put(database, queue), put(database, queue, "series:b"), put(database, queue, kind="compact")
    queue.claim(["compact"])

    def listed(path: str, **query: str) -> set[str]:
        return {item["job_id"] for item in client.get(path, **query).json()["items"]}

    assert listed("/jobs", status="processing") == {other.job_id}
    assert listed("/training/jobs", series_id="sala 3/bomba:7") == {pump.job_id}
    assert len(listed("/jobs")) == 3
    assert len(listed("/training/jobs")) == 2


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"status": "sleeping"}, "invalid_request"),
        ({"limit": 0}, "invalid_request"),
        ({"limit": 1001}, "invalid_request"),
        ({"cursor": "???"}, "bad_cursor"),
        ({"cursor": "x" * 3000}, "invalid_request"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(client: Client, query: dict[str, str | int], code: str) -> None:
    answer = client.get("/jobs", **query)
    assert (answer.status, answer.json()["code"]) == (422, code)


def test_a_job_is_cancelled_once(client: Client, database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    assert client.delete(f"/jobs/{job.job_id}").json()["status"] == "cancelled"
    again = client.delete(f"/jobs/{job.job_id}")
    assert (again.status, again.json()["code"]) == (409, "job_finished")


def test_a_running_job_is_asked_to_stop(client: Client, database: Database, queue: JobQueue) -> None:
    job = put(database, queue)
    claim = queue.claim(["train"])
    assert claim is not None
    assert client.delete(f"/jobs/{job.job_id}").json()["status"] == "processing"
    assert queue.heartbeat(claim, 0.0) is True


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_job_of_another_kind_is_not_there(
    client: Client, database: Database, queue: JobQueue, method: str
) -> None:
    job = put(database, queue, kind="compact")
    for path in (f"/training/jobs/{job.job_id}", "/jobs/job_x"):
        answer = client.get(path) if method == "GET" else client.delete(path)
        assert (answer.status, answer.json()["code"]) == (404, "unknown_job")
    assert client.get(f"/jobs/{job.job_id}").json()["status"] == "queued"
