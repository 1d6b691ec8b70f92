"""The demo: what is left to do, and that doing it twice or in pieces comes to the same."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from atalaia.app.demo import histories, report, story
from atalaia.app.demo.histories import FOLDER, SAMPLES, History, Sample, load
from atalaia.app.demo.replay import BEFORE_ALL, Left, left_to_learn, left_to_replay, left_to_train
from atalaia.app.demo.steps import replay, wait_until_scored
from atalaia.connectors.atalaia import Anomaly, Client, Columns, Model, Retry, Version
from atalaia.core.clock import from_us, isoformat, to_us
from atalaia.core.errors import AtalaiaError, Unavailable

MINUTE = 60_000_000


def history(name: str, count: int, *, start: int = 0, step: int = MINUTE) -> History:
    at = start + np.arange(count, dtype=np.int64) * step
    return History(Sample(name, "none"), at, np.arange(count, dtype=np.float64))


def test_every_sample_is_there_and_in_order_of_time() -> None:
    assert len({sample.series_id for sample in SAMPLES}) == len(SAMPLES) == 11
    for sample in SAMPLES:
        loaded = load(sample)
        assert len(loaded.values) in (984, 4032, 18050)
        assert (np.diff(loaded.timestamps) > 0).all()
        assert np.isfinite(loaded.values).all()


def test_the_samples_say_where_they_come_from() -> None:
    readme = (FOLDER / "README.md").read_text()
    for name in {sample.file for sample in SAMPLES}:
        assert name in readme
    for sample in SAMPLES:
        assert sample.series_id in readme or sample.series_id.startswith("ims/")


def test_the_first_part_is_learnt_and_the_window_holds_it() -> None:
    one = history("a", 100)
    assert one.cut == 40
    assert one.learning_hours * 3600e6 > one.timestamps[one.cut - 1] - one.timestamps[0]


@pytest.mark.parametrize(
    ("last", "left"), [(BEFORE_ALL, 40), (0, 39), (20 * MINUTE, 19), (39 * MINUTE, 0), (99 * MINUTE, 0)]
)
def test_learning_goes_on_behind_the_last_point(last: int, left: int) -> None:
    points = left_to_learn(history("a", 100), last)
    assert len(points) == len(points.series_ids) == left
    assert (points.timestamps > last).all()


@pytest.mark.parametrize(
    ("last", "left"), [(BEFORE_ALL, 60), (39 * MINUTE, 60), (70 * MINUTE, 29), (99 * MINUTE, 0)]
)
def test_the_replay_goes_on_behind_the_last_point(last: int, left: int) -> None:
    rest = left_to_replay([history("a", 100)], {"a": last})
    assert len(rest) == left
    assert (rest.points.timestamps > max(last, 39 * MINUTE)).all()


def test_the_replay_runs_side_by_side_in_order_of_time() -> None:
    early, late = history("a", 10), history("b", 10, start=10**15, step=MINUTE // 2)
    rest = left_to_replay([early, late], {})
    assert (np.diff(rest.elapsed) >= 0).all()
    assert len(set(rest.points.series_ids[:6])) == 2
    for name in ("a", "b"):
        mine = rest.points.timestamps[np.array(rest.points.series_ids) == name]
        assert (np.diff(mine) > 0).all()


def test_batches_hold_every_point_once() -> None:
    rest = left_to_replay([history("a", 100), history("b", 50)], {})
    batches = list(rest.batches(7))
    assert sum(len(batch) for batch, _ in batches) == len(rest) == 90
    assert [s for _, s in batches] == sorted(s for _, s in batches)
    assert batches[0][1] == 0


def version(name: str, stage: str) -> Version:
    return Version(version=name, stage=stage)


@pytest.mark.parametrize(
    ("model", "left"),
    [
        (None, Left(training=True)),
        (Model(model_id="series:a"), Left(training=True)),
        (Model(model_id="series:a", versions=[version("v1", "Archived")]), Left(training=True)),
        (Model(model_id="series:a", versions=[version("v1", "Staging")]), Left(training=False, version="v1")),
        (Model(model_id="series:a", production_version="v1", versions=[version("v2", "Staging")]), None),
    ],
)
def test_a_model_gets_only_what_it_still_needs(model: Model | None, left: Left | None) -> None:
    assert left_to_train(model) == left


class Service:
    """As much of the API as the demo needs, in memory; it can be made to fail after some requests."""

    def __init__(self, requests_until_failure: int | None = None) -> None:
        self.points: dict[str, dict[float, float]] = {}
        self.models: dict[str, list[dict[str, Any]]] = {}
        self.left = requests_until_failure
        self.writes: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                return self.problem(403, "denied")
        path = request.url.path.removeprefix("/api/v1")
        if request.method != "GET":
            self.writes.append(path)
        return self.answer(request.method, path, json.loads(request.content or b"{}"))

    @staticmethod
    def problem(status: int, kind: str) -> httpx.Response:
        return httpx.Response(status, json={"kind": kind, "code": kind, "detail": kind})

    def answer(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        if path == "/health":
            return httpx.Response(200, json={"status": "ok", "scoring_lag_rows": 0})
        if path == "/points":
            return self.add(body)
        if path == "/anomalies":
            return httpx.Response(200, json={"items": [ANOMALY, ANOMALY | {"series_id": "someone else's"}]})
        if path == "/training/jobs":
            return httpx.Response(200, json={"items": []})
        if path.startswith("/jobs/"):
            return httpx.Response(200, json={"job_id": path[6:], "status": "completed", "model_version": "v1"})
        if path.startswith("/series/"):
            return self.series(path.removeprefix("/series/"))
        if path.startswith("/training/"):
            self.models[path.removeprefix("/training/")] = [{"version": "v1", "stage": "Staging"}]
            return httpx.Response(202, json={"job_id": "job_1"})
        return self.model(method, path.removeprefix("/models/"))

    def add(self, body: dict[str, Any]) -> httpx.Response:
        for name, at, value in zip(body["series_ids"], body["timestamps"], body["values"], strict=True):
            self.points.setdefault(name, {})[at] = value
        return httpx.Response(200, json={"accepted": len(body["values"])})

    def series(self, name: str) -> httpx.Response:
        if name not in self.points:
            return self.problem(404, "missing")
        return httpx.Response(
            200, json={"series_id": name, "last_at": isoformat(int(max(self.points[name]) * 1e6))}
        )

    def model(self, method: str, rest: str) -> httpx.Response:
        name = rest.removesuffix("/versions/v1/promote")
        if name not in self.models:
            return self.problem(404, "missing")
        if method == "POST":
            self.models[name][0]["stage"] = "Production"
        versions = self.models[name]
        production = [v["version"] for v in versions if v["stage"] == "Production"]
        model = {"model_id": f"series:{name}", "production_version": production[0] if production else None}
        return httpx.Response(200, json=model | {"versions": versions, "version": "v1"})

    def tell(self) -> None:
        transport = httpx.MockTransport(self)
        with Client("http://test", transport=transport, retry=Retry(attempts=1)) as client:
            story.tell(client, None)


ANOMALY = {
    "anomaly_id": "ano_1",
    "series_id": "a",
    "state": "open",
    "from": "2014-04-10T07:15:00Z",
    "peak_score": 2.5,
    "seen": 99.0,
    "expected": 50.0,
    "lower": 40.0,
    "upper": 60.0,
    "model": {"model_id": "series:a", "version": "v1", "algorithm": "statistical"},
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[History]:
    """Replace the samples by two small ones."""
    small = [history("a", 1500), history("b", 300, start=10**15)]
    by_name = {h.sample.series_id: h for h in small}
    samples = tuple(h.sample for h in small)
    for module in (story, story.steps, histories):
        monkeypatch.setattr(module, "SAMPLES", samples)
    monkeypatch.setattr(story, "load", lambda sample: by_name[sample.series_id])
    return small


def test_the_story_ends_with_all_points_models_and_the_anomalies(
    small: list[History], capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    service.tell()
    assert {name: len(points) for name, points in service.points.items()} == {"a": 1500, "b": 300}
    assert all(versions[0]["stage"] == "Production" for versions in service.models.values())
    said = capsys.readouterr()
    header, row = said.out.splitlines()
    assert header.split() == ["series", "from", "to", "score", "expected", "band", "seen", "model"]
    assert row.startswith("a ")
    assert "40 to 60" in row
    assert "statistical v1" in row
    assert "1,080 points" in said.err


def test_a_second_run_changes_nothing_and_shows_the_same(
    small: list[History], capsys: pytest.CaptureFixture[str]
) -> None:
    service = Service()
    service.tell()
    first = capsys.readouterr().out
    service.writes.clear()
    service.tell()
    assert service.writes == []
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("failing", range(0, 24))
def test_an_interrupted_run_goes_on_where_it_was(small: list[History], failing: int) -> None:
    whole, broken = Service(), Service(failing)
    whole.tell()
    try:
        broken.tell()
    except AtalaiaError:
        broken.left = None
        broken.tell()
    assert broken.points == whole.points
    assert broken.models == whole.models
    assert broken.writes.count("/training/a") <= 2


def test_a_stated_speed_is_kept(small: list[History]) -> None:
    pauses: list[float] = []
    rest = left_to_replay(small, {})
    with Client("http://test", transport=httpx.MockTransport(Service())) as client:
        replay(client, rest, 60.0, lambda more: None, sleep=pauses.append)
    assert sum(pauses) == pytest.approx(list(rest.batches(500))[-1][1] / 60.0)


def test_waiting_for_scores_ends_with_patience() -> None:
    def lagging(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status": "ok", "scoring_lag_rows": 7})

    with Client("http://test", transport=httpx.MockTransport(lagging)) as client, pytest.raises(Unavailable):
        wait_until_scored(client, timeout_s=1.0, sleep=lambda s: None)


def test_an_anomaly_without_a_band_is_shown_with_question_marks() -> None:
    anomaly = Anomaly(anomaly_id="x", series_id="a", state="closed", from_=from_us(0), to=from_us(MINUTE))
    assert report.cells(anomaly)[3:7] == ("?", "?", "? to ?", "?")
    assert to_us(anomaly.from_) == 0


def test_columns_of_one_length_are_sent() -> None:
    rest = left_to_replay([history("a", 3)], {})
    assert isinstance(rest.points, Columns)
    assert len(rest.points.series_ids) == len(rest.points.timestamps) == len(rest.points.values)


class BusyService(Service):
    """A service where an interrupted run has just started the trainings, so that none may start again."""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> httpx.Response:
        if path == "/training/jobs":
            jobs = [
                {"job_id": "job_old", "status": "failed", "created_at": "2014-04-10T07:15:00Z"},
                {"job_id": "job_new", "status": "processing", "created_at": "2014-04-10T07:16:00Z"},
            ]
            return httpx.Response(200, json={"items": jobs})
        if path == "/jobs/job_old":
            return httpx.Response(200, json={"job_id": "job_old", "status": "failed"})
        if path.startswith("/training/"):
            super().answer(method, path, body)
            return self.problem(429, "busy")
        return super().answer(method, path, body)


def test_a_training_that_is_under_way_is_waited_for(small: list[History]) -> None:
    service = BusyService()
    service.tell()
    assert all(versions[0]["stage"] == "Production" for versions in service.models.values())


def test_a_training_that_fails_ends_the_story_with_its_reason(
    small: list[History], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service()
    failed = {
        "job_id": "job_1",
        "status": "failed",
        "error": {"kind": "invalid", "code": "x", "detail": "Too short."},
    }
    answer = service.answer
    monkeypatch.setattr(
        service,
        "answer",
        lambda method, path, body: (
            httpx.Response(200, json=failed) if path == "/jobs/job_1" else answer(method, path, body)
        ),
    )
    with pytest.raises(AtalaiaError, match="Too short"):
        service.tell()
