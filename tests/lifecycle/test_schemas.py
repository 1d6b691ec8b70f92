"""Waves and challengers as they go over the wire: what the doors answer, and what they refuse with its place."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from starlette.types import ASGIApp

from atalaia.algorithms.detectors import DETECTORS
from atalaia.lifecycle import schemas
from tests.lifecycle.builders import FLEET, Workshop, open_workshop, wave
from tests.lifecycle.doors import doors_of, get, post, put, refused

PUMP = quote("pump/7", safe="")


def start(app: ASGIApp, **body: Any) -> dict[str, Any]:
    answer = post(app, "/training/waves", body)
    assert answer.status == 202, answer.json()
    told: dict[str, Any] = answer.json()
    return told


# waves


@pytest.mark.parametrize("body", [b"", b"{}", b"null"])
def test_a_wave_of_all_needs_no_body(app: ASGIApp, workshop: Workshop, body: bytes) -> None:
    answer = post(app, "/training/waves", body)
    assert answer.status == 202
    told = answer.json()
    assert told["status_url"] == f"/api/v1/training/waves/{told['wave_id']}"
    assert (told["fleets"], told["left_out"]) == (2, [])  # the pumps, and those that had no fleet
    workshop.work()
    assert get(app, f"/training/waves/{told['wave_id']}").json()["completed"] == 2


def test_a_wave_tells_how_far_it_is(app: ASGIApp, workshop: Workshop) -> None:
    workshop.history.fill("silent", np.full(20, np.nan))
    workshop.history.fleets |= {"silence": ["silent"], "pumps": ["pump/7", "late"]}
    path = f"/training/waves/{start(app, promote=True)['wave_id']}"
    before = get(app, path).json()
    assert (before["progress"], before["waiting"], before["finished_at"], before["promote"]) == (0.0, 2, None, True)
    workshop.work()
    told = get(app, path).json()
    assert (told["progress"], told["waiting"], told["completed"], told["failed"]) == (1.0, 0, 2, 0)
    assert (told["empty"], told["series"], told["points"]) == (1, 2, 4_000)
    assert told["created_at"] < told["promoted_at"] <= told["finished_at"]
    pumps, silence = told["fleets"]
    assert (pumps["fleet_id"], pumps["status"], pumps["version"], pumps["error"]) == (
        "pumps", "completed", "v1", None,
    )  # fmt: skip
    assert (silence["status"], silence["version"], silence["points"]) == ("completed", None, 0)


def test_a_wave_takes_its_config(app: ASGIApp, workshop: Workshop) -> None:
    start(app, fleets=["pumps"], config={"algorithm": "streaming", "window_hours": 10}, priority=9)
    workshop.work()
    (version,) = get(app, "/models/fleets/pumps").json()["versions"]
    assert (version["algorithm"], version["metrics"]["points"]) == ("streaming", 601)


@pytest.mark.parametrize(
    ("sent", "status", "code", "places"),
    [
        ({"fleets": []}, 422, "invalid_request", ["/fleets"]),
        ({"fleets": ["pumps", "pumps"]}, 422, "invalid_request", ["/fleets"]),
        ({"fleets": [1]}, 422, "invalid_request", ["/fleets/0"]),
        ({"fleets": ["pumps"] * 10_001}, 422, "invalid_request", ["/fleets"]),
        ({"fleets": ["fans"]}, 404, "unknown_fleet", []),
        ({"fleets": ["pumps", "fans"]}, 404, "unknown_fleet", []),
        ({"config": {"algorithm": "magic"}}, 422, "unknown_algorithm", ["/config/algorithm"]),
        ({"config": {"window_hours": -1}}, 422, "invalid_request", ["/config/window_hours"]),
        ({"priority": 10}, 422, "invalid_request", ["/priority"]),
        ({"promote": "perhaps"}, 422, "invalid_request", ["/promote"]),
        ({"values": [1]}, 422, "invalid_request", ["/values"]),
        (b"[]", 422, "invalid_request", [""]),
        (b"{", 422, "invalid_json", [""]),
    ],
)
def test_a_wave_that_cannot_be_is_refused_and_queues_nothing(
    app: ASGIApp, workshop: Workshop, sent: Any, status: int, code: str, places: list[str]
) -> None:
    assert refused(post(app, "/training/waves", sent), status, code) == places
    assert workshop.queue.depth(["train"]) == 0


def test_a_wave_asked_for_twice_under_one_key_is_one(app: ASGIApp, workshop: Workshop) -> None:
    first = post(app, "/training/waves", {"fleets": ["pumps"]}, Idempotency_Key="k")
    assert post(app, "/training/waves", {"fleets": ["pumps"]}, Idempotency_Key="k").json() == first.json()
    assert workshop.queue.depth(["train"]) == 1
    other = post(app, "/training/waves", {"fleets": ["pumps"], "promote": True}, Idempotency_Key="k")
    assert refused(other, 422, "idempotency_mismatch") == ["/headers/idempotency-key"]


def test_a_wave_within_the_cooldown_says_which_fleets_it_leaves_out_and_when_to_come_again(tmp_path: Path) -> None:
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        shop.history.fill("pump/7", wave())
        app = doors_of(shop)
        assert post(app, "/training/fleets/pumps").status == 202
        assert start(app)["left_out"] == ["pumps"]
        again = post(app, "/training/waves")
        refused(again, 429, "trained_recently")
        assert int(again.headers["retry-after"]) > 290


def test_a_wave_is_promoted_once_whatever_is_asked_again(app: ASGIApp, workshop: Workshop) -> None:
    path = f"/training/waves/{start(app)['wave_id']}/promote"
    assert "2 trainings have not ended well" in post(app, path).json()["detail"]
    refused(post(app, path), 409, "wave_not_done")
    workshop.work()
    first = post(app, path, Idempotency_Key="k").json()
    assert first["promoted_at"].endswith("Z")
    assert post(app, path, Idempotency_Key="k").json() == first
    assert post(app, path).json() == first
    assert get(app, "/models/fleets/pumps").json()["production_version"] == "v1"


def test_a_wave_can_be_helped_when_a_fleet_fails(app: ASGIApp, workshop: Workshop) -> None:
    path = f"/training/waves/{start(app, promote=True)['wave_id']}"
    workshop.cancel(get(app, path).json()["fleets"][0]["job_id"])
    workshop.work()
    assert get(app, path).json()["failed"] == 1
    told = post(app, f"{path}/retry", {"priority": 9}, Idempotency_Key="k")
    assert (told.status, told.json()["fleets"], told.json()["status_url"]) == (202, 1, f"/api/v1{path}")
    assert post(app, f"{path}/retry", {"priority": 9}, Idempotency_Key="k").json() == told.json()
    workshop.work()
    assert get(app, path).json()["promoted_at"] is not None


def test_failed_fleets_can_be_left_out(app: ASGIApp, workshop: Workshop) -> None:
    path = f"/training/waves/{start(app, promote=True)['wave_id']}"
    workshop.cancel(get(app, path).json()["fleets"][0]["job_id"])
    workshop.work()
    refused(post(app, f"{path}/promote"), 409, "wave_not_done")
    assert post(app, f"{path}/promote", {"skip_failed": True}).json()["promoted_at"] is not None
    assert len(workshop.production()) == 1


@pytest.mark.parametrize("what", ["", "/promote", "/retry"])
def test_an_unknown_wave_is_missing(app: ASGIApp, what: str) -> None:
    path = f"/training/waves/wave_none{what}"
    refused(post(app, path) if what else get(app, path), 404, "unknown_wave")


# challengers


def test_a_challenger_is_named_and_sent_away(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train()
    workshop.train()
    workshop.promote(1)
    told = put(app, f"/models/{PUMP}/challenger", {"version": "v2"}).json()
    assert told == {"model_id": "series:pump/7", "version": "v1", "challenger": "v2"}
    assert get(app, f"/models/{PUMP}").json()["challenger_version"] == "v2"
    assert put(app, f"/models/{PUMP}/challenger", {"version": None}).json()["challenger"] is None
    assert get(app, f"/models/{PUMP}").json()["challenger_version"] is None


def test_a_fleet_has_a_challenger_too(app: ASGIApp, workshop: Workshop) -> None:
    workshop.train(FLEET)
    workshop.train(FLEET)
    workshop.promote(2, FLEET)
    assert put(app, "/models/fleets/pumps/challenger", {"version": "1"}).json()["challenger"] == "v1"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/models/nobody/challenger", {"version": "v1"}, 404, "unknown_model"),
        ("/models/fleets/nobody/challenger", {"version": None}, 404, "unknown_model"),
        (f"/models/{PUMP}/challenger", {"version": "v9"}, 404, "unknown_version"),
        (f"/models/{PUMP}/challenger", {"version": "v1"}, 409, "nothing_to_challenge"),
        (f"/models/{PUMP}/challenger", {"version": "latest"}, 422, "invalid_version"),
        (f"/models/{PUMP}/challenger", {}, 422, "invalid_request"),
        (f"/models/{PUMP}/challenger", {"version": "v1", "more": 1}, 422, "invalid_request"),
    ],
)
def test_a_challenger_that_cannot_be_is_refused(
    app: ASGIApp, workshop: Workshop, path: str, body: Any, status: int, code: str
) -> None:
    workshop.train()
    refused(put(app, path, body), status, code)


def test_the_config_names_every_algorithm() -> None:
    described = schemas.ConfigIn.model_fields["algorithm"].description or ""
    assert [name for name in DETECTORS if f"`{name}`" not in described] == []
