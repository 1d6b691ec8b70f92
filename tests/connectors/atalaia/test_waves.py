"""Waves as the client sees them: asked for once, waited for, and judged."""

import json
from typing import Any

import httpx
import pytest

from atalaia.connectors.atalaia import Client, Retry, TrainingConfig, Wave, WaveFleet, wave_error
from atalaia.core.errors import Unavailable


def client_of(*answers: dict[str, Any], requests: list[httpx.Request]) -> Client:
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=left.pop(0) if len(left) > 1 else left[0])

    return Client("http://test", transport=httpx.MockTransport(answer), retry=Retry(attempts=1))


def test_a_wave_asks_for_what_was_said_and_nothing_else() -> None:
    requests: list[httpx.Request] = []
    client = client_of({"wave_id": "w", "fleets": 1, "left_out": ["b"]}, requests=requests)
    ref = client.waves.start(["a", "b"], TrainingConfig(algorithm="streaming"), priority=9, promote=True)
    client.waves.start()
    assert (ref.fleets, ref.left_out) == (1, ["b"])
    assert [json.loads(request.content) for request in requests] == [
        {"promote": True, "fleets": ["a", "b"], "config": {"algorithm": "streaming"}, "priority": 9},
        {"promote": False},
    ]
    assert len({request.headers["Idempotency-Key"] for request in requests}) == 2


def test_waiting_for_a_wave_ends_with_its_last_training() -> None:
    seen: list[float] = []
    client = client_of(
        {"wave_id": "w", "waiting": 2, "progress": 0.1},
        {"wave_id": "w", "waiting": 1, "progress": 0.6},
        {"wave_id": "w", "waiting": 0, "progress": 1.0, "failed": 1},
        requests=[],
    )
    wave = client.waves.wait("w", on_change=lambda wave: seen.append(wave.progress), sleep=lambda s: None)
    assert (wave.failed, seen) == (1, [0.1, 0.6, 1.0])


def test_waiting_for_a_wave_ends_with_patience() -> None:
    client = client_of({"wave_id": "w", "waiting": 2}, requests=[])
    with pytest.raises(Unavailable, match="2 trainings of w have not ended after 3 s"):
        client.waves.wait("w", timeout_s=3, sleep=lambda s: None)


def test_a_wave_tells_how_long_it_took() -> None:
    times = {"created_at": "2026-11-20T10:00:00Z", "finished_at": "2026-11-20T10:00:30.5Z"}
    assert client_of({"wave_id": "w", **times}, requests=[]).waves.get("w").seconds == 30.5
    assert client_of({"wave_id": "w"}, requests=[]).waves.get("w").seconds is None


def test_a_wave_is_judged_by_what_was_asked_of_it() -> None:
    assert wave_error(Wave(wave_id="w")) is None
    assert wave_error(Wave(wave_id="w", promote=True)) is not None
    failed = [WaveFleet(fleet_id=f"f{n}", status="failed", error="no") for n in range(7)]
    error = wave_error(Wave(wave_id="w", fleets=[*failed, WaveFleet(fleet_id="a", status="completed")]))
    assert error is not None
    assert error.detail.startswith("7 of 8 trainings did not end well: f0 failed: no; f1")
    assert error.detail.endswith("f4 failed: no; 2 more")
