"""``atalaia thresholds`` and ``atalaia budgets``."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

CHANGE = {"change_id": 12, "kind": "noise", "factor": 1.3, "anomaly_id": "anm_1", "at": "2026-11-20T10:00:00Z"}
TOLD = {"in_force": 1.3, "calibrated": 1.0, "factor": 1.3, "changes": [CHANGE]}
BUDGET = {"fleet_id": "pumps", "false_alarms_per_day": 20.0, "series_count": 9, "since": "2026-11-20T10:00:00Z"}


def test_a_threshold_is_shown_with_what_moved_it(service: "Service") -> None:
    service.answers["GET /series/pump%207/threshold"] = TOLD
    done = service.run("thresholds", "show", "pump 7")
    assert done.exit_code == 0
    assert "1.3 times the model's own" in done.stderr
    assert "noise" in done.stdout
    assert json.loads(service.run("thresholds", "show", "pump 7", "-o", "json").stdout)["in_force"] == 1.3


def test_a_threshold_is_set_and_a_change_undone(service: "Service") -> None:
    service.answers["PUT /series/a/threshold"] = TOLD
    service.answers["DELETE /series/a/threshold/changes/12"] = {**TOLD, "in_force": 1.0}
    assert service.run("thresholds", "set", "a", "1.3").exit_code == 0
    assert service.sent("PUT") == [{"factor": 1.3}]
    assert "1" in service.run("thresholds", "undo", "a", "12").stdout


def test_a_budget_is_set_by_number_or_sensitivity_shown_and_dropped(service: "Service") -> None:
    service.answers["PUT /fleets/pumps/budget"] = BUDGET
    service.answers["GET /fleets/pumps/budget"] = {**BUDGET, "realised_over_promised": 0.8}
    service.answers["DELETE /fleets/pumps/budget"] = {}
    assert service.run("budgets", "set", "pumps", "--per-day", "20").exit_code == 0
    assert service.run("budgets", "set", "pumps", "--sensitivity", "0.8").exit_code == 0
    assert service.sent("PUT") == [{"false_alarms_per_day": 20.0}, {"sensitivity": 0.8}]
    assert "0.8" in service.run("budgets", "show", "pumps").stdout
    assert service.run("budgets", "drop", "pumps").exit_code == 0
