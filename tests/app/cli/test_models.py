"""``atalaia models promote`` and ``reload``."""

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


def test_a_promotion_is_planned_asked_for_and_done(service: "Service") -> None:
    service.answers["GET /models/a"] = MODEL
    service.answers["POST /models/a/versions/v3/promote"] = PROMOTED
    result = service.run("models", "promote", "a", "-o", "json", text="y\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == PROMOTED
    assert "goes from Staging to Production and replaces v1, which becomes Archived." in result.stderr
    assert service.sent("POST") == [{"strategy": "direct", "archive_previous": True}]


@pytest.mark.parametrize("typed", ["n\n", "", "\n"])
def test_a_promotion_that_is_not_agreed_to_changes_nothing(service: "Service", typed: str) -> None:
    service.answers["GET /models/a"] = MODEL
    result = service.run("models", "promote", "a", text=typed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Nothing was changed" in result.stderr
    assert not service.sent("POST")


def test_a_promotion_needs_no_answer_with_yes(service: "Service") -> None:
    service.answers["GET /models/fleets/f"] = MODEL
    service.answers["POST /models/fleets/f/versions/v2/promote"] = PROMOTED
    assert (
        service.run("models", "promote", "--fleet", "f", "--version", "2", "--yes", "--keep-previous").exit_code
        == 0
    )
    assert service.sent("POST") == [{"strategy": "direct", "archive_previous": False}]


def test_a_dry_run_of_a_promotion_prints_the_plan_only(service: "Service") -> None:
    service.answers["GET /models/a"] = MODEL
    result = service.run("models", "promote", "a", "--dry-run", "-o", "ndjson")
    said = json.loads(result.stdout)
    assert (said["version"], said["replaces"], said["replaced_becomes"]) == ("v3", "v1", "Archived")
    assert not service.sent("POST")


def test_a_promotion_of_nothing_says_so(service: "Service") -> None:
    service.answers["GET /models/a"] = MODEL | {"versions": versions("Production")}
    assert service.run("models", "promote", "a", "--yes").exit_code == 4
    assert service.run("models", "promote", "a", "--yes", "--version", "v9").exit_code == 3
    assert service.run("models", "promote", "a", "--yes", "--version", "latest").exit_code == 2


def test_a_model_is_loaded_again(service: "Service") -> None:
    service.answers["POST /admin/reload/a"] = {"model_id": "series:a", "version": "v1", "loaded_from": "mlflow"}
    assert "mlflow" in service.run("models", "reload", "a").stdout


CHALLENGED = {"model_id": "series:a", "version": "v1", "challenger": "v3"}


@pytest.mark.parametrize(("args", "sent"), [((), "v3"), (("--version", "2"), "v2"), (("--none",), None)])
def test_a_version_challenges_the_one_in_production(
    service: "Service", args: tuple[str, ...], sent: str | None
) -> None:
    service.answers["GET /models/a"] = MODEL
    service.answers["PUT /models/a/challenger"] = CHALLENGED
    result = service.run("models", "challenge", "a", *args, "-o", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, CHALLENGED)
    assert service.sent("PUT") == [{"version": sent}]


def test_a_version_of_an_asset_is_promoted_too(service: "Service") -> None:
    service.answers["GET /models/assets/f"] = MODEL
    service.answers["POST /models/assets/f/versions/v2/promote"] = PROMOTED
    assert service.run("models", "promote", "--asset", "f", "--version", "2", "--yes").exit_code == 0
    assert service.run("models", "show", "--asset", "f").exit_code == 0


def test_a_version_of_a_fleet_challenges_too(service: "Service") -> None:
    service.answers["GET /models/fleets/f"] = MODEL
    service.answers["PUT /models/fleets/f/challenger"] = CHALLENGED
    assert service.run("models", "challenge", "--fleet", "f").exit_code == 0


def test_a_dry_run_of_a_challenge_prints_the_plan_only(service: "Service") -> None:
    service.answers["GET /models/a"] = MODEL | {"challenger_version": "v2"}
    said = json.loads(service.run("models", "challenge", "a", "--dry-run", "-o", "ndjson").stdout)
    assert said == {"model_id": "series:a", "version": "v1", "challenger": "v3", "before": "v2"}
    assert not service.sent("PUT")


def test_a_challenge_of_nothing_says_so(service: "Service") -> None:
    service.answers["GET /models/a"] = MODEL | {"versions": versions("Production")}
    assert service.run("models", "challenge", "a").exit_code == 4
    assert service.run("models", "challenge", "a", "--version", "v1").exit_code == 4
    assert service.run("models", "challenge", "a", "--version", "v9").exit_code == 3
    assert service.run("models", "challenge", "a", "--version", "v2", "--none").exit_code == 2
    assert service.run("models", "challenge").exit_code == 2


def test_versions_say_why_they_have_their_algorithm(service: "Service") -> None:
    chosen = {"algorithm": "streaming", "reason": "streaming: found 9 of 12", "candidates": []}
    versions = [
        {"version": "v2", "stage": "Staging", "algorithm": "streaming", "selection": chosen},
        {"version": "v1", "stage": "Production", "algorithm": "statistical", "selection": None},
    ]
    service.answers["GET /models/a"] = {"model_id": "series:a", "versions": versions}
    table = service.run("models", "show", "a").stdout
    assert "why" in table.splitlines()[0]
    assert "streaming: found 9 of 12" in table
    assert (
        service.run("models", "show", "a", "-o", "csv").stdout.splitlines()[1].endswith("streaming: found 9 of 12")
    )


def test_how_ready_a_series_is_can_be_asked(service: "Service") -> None:
    ready = {
        "series_id": "a",
        "state": "learnt",
        "points": 432,
        "days": 1.5,
        "missing": ["a daily season needs 3 days"],
    }
    service.answers["GET /models/a/readiness"] = ready
    table = service.run("models", "readiness", "a").stdout
    assert "learnt" in table
    assert "a daily season needs 3 days" in table
