"""``atalaia train``."""

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def versions(*stages: str) -> list[dict[str, Any]]:
    return [
        {"version": f"v{i}", "stage": stage, "algorithm": "statistical"} for i, stage in enumerate(stages, start=1)
    ]


MODEL = {
    "model_id": "series:a",
    "production_version": "v1",
    "versions": versions("Production", "Staging", "Staging"),
}
PROMOTED = {"model_id": "series:a", "version": "v3", "stage": "Production", "previous_version": "v1"}
JOB = {"job_id": "job_1", "status": "completed", "progress": 1.0, "model_version": "v3"}


def test_a_training_is_asked_for_with_its_settings(service: "Service") -> None:
    service.answers["POST /training/a"] = {"job_id": "job_1", "status": "queued"}
    result = service.run(
        "train", "a", "--algorithm", "statistical", "--window-hours", "24", "--set", "threshold_sigma=3.5", "--set",
        "kind=x", "--priority", "7",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "atalaia jobs watch job_1" in result.stderr
    hyperparameters = {"threshold_sigma": 3.5, "kind": "x"}
    assert service.sent("POST") == [
        {
            "config": {"window_hours": 24.0, "algorithm": "statistical", "hyperparameters": hyperparameters},
            "priority": 7,
        }
    ]


def test_a_training_is_waited_for(service: "Service") -> None:
    service.answers["POST /training/fleets/f"] = {"job_id": "job_1"}
    service.answers["GET /jobs/job_1"] = JOB
    result = service.run("train", "--fleet", "f", "--wait", "-o", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["model_version"] == "v3"


def test_an_asset_is_trained_by_its_name(service: "Service") -> None:
    service.answers["POST /training/assets/press%203"] = {"job_id": "job_1"}
    assert service.run("train", "--asset", "press 3", "--algorithm", "relations").exit_code == 0
    (body,) = service.sent("POST")
    assert body["config"]["algorithm"] == "relations"


@pytest.mark.parametrize("named", [(), ("a", "--asset", "b"), ("--fleet", "a", "--asset", "b")])
def test_one_thing_is_trained_at_a_time(service: "Service", named: tuple[str, ...]) -> None:
    result = service.run("train", *named)
    assert result.exit_code == 2
    assert "name one SERIES" in result.stderr


def test_what_was_trained_is_promoted(service: "Service") -> None:
    service.answers["POST /training/a"] = {"job_id": "job_1"}
    service.answers["GET /jobs/job_1"] = JOB
    service.answers["GET /models/a"] = MODEL
    service.answers["POST /models/a/versions/v3/promote"] = PROMOTED
    result = service.run("train", "a", "--promote", "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == PROMOTED
    assert "replaces v1" in result.stderr


def test_a_training_that_fails_fails_the_command(service: "Service") -> None:
    service.answers["POST /training/a"] = {"job_id": "job_1"}
    error = {"kind": "invalid", "status": 422, "code": "too_short", "detail": "Too few points."}
    service.answers["GET /jobs/job_1"] = {"job_id": "job_1", "status": "failed", "error": error}
    result = service.run("train", "a", "--promote")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Too few points. [too_short]" in result.stderr


def test_too_soon_says_when(service: "Service") -> None:
    busy = service.problem("busy", 429)
    busy.headers["Retry-After"] = "290"
    service.answers["POST /training/a"] = busy
    result = service.run("train", "a")
    assert (result.exit_code, result.stdout) == (7, "")
    assert "Try again in 290 s." in result.stderr
