"""``atalaia anomalies explain`` and ``atalaia series explain``."""

import json
from typing import TYPE_CHECKING, Any

import pytest

from atalaia.signals.explanation_schemas import AnomalyExplanationOut

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

WHY: dict[str, Any] = json.loads(json.dumps(AnomalyExplanationOut.model_config["json_schema_extra"]["examples"][0]))  # type: ignore[index, call-overload]
QUIET: dict[str, Any] = {
    "series_id": "pump 7",
    "at": "2026-11-20T10:00:00Z",
    "timestamp": "2026-11-20T09:59:00Z",
    "value": 13.5,
    "alarmed": False,
    "score": 0.4,
    "distance": "0.4 of what an alarm needs",
    "expected": 12.0,
    "lower": 8.0,
    "upper": 16.0,
    "text": "13.5 is inside the expected band 8 to 16",
    "view": "the value, beside the usual level of the series",
    "model": {"model_id": "fleet:pumps", "version": "v3", "algorithm": "streaming"},
    "is_replayed": True,
    "confidence": "high",
    "learnt_points": 8064,
    "needed_points": 10,
    "history": {"from": "2026-10-23T10:00:00Z", "to": "2026-11-20T09:59:00Z", "points": 8064},
    "reasons": [{"code": "inside", "text": "It is as expected: 0.4 of what an alarm needs."}],
}


def test_sensors_of_an_asset_that_were_off_stand_on_the_page(service: "Service") -> None:
    off = {"series_id": "press 3/heat", "score": 2.5, "text": "31.2 where the other sensors say 20 (band 18 to 22)"}
    service.answers["GET /anomalies/anm_1/explanation"] = {**WHY, "relations": [off]}
    page = service.run("anomalies", "explain", "anm_1").stdout
    assert "sensors of the asset that were off at the peak: 1" in page
    assert "press 3/heat: 31.2 where the other sensors say 20" in page


def test_an_anomaly_is_explained_on_a_page(service: "Service") -> None:
    service.answers["GET /anomalies/anm_1/explanation"] = WHY
    result = service.run("anomalies", "explain", "anm_1")
    assert result.exit_code == 0, result.stderr
    for text in (
        "91.3 is above the expected 12",
        "12, band 3 to 21",
        "8.8 (1 is the threshold)",
        "once in 14 days: half as strange or more 1 other time in the 28 days known",
        "for 0:40:00, 9 points",
        "hall 2/pump 8 (score 3.1): hall=2",
        "hall=2: 2 of 2 in alarm, 12 of 400 series, 33.3 times as often",
        "0.92 alike: anm_01jh8s1v7q3z6d9f2k5m8w4xbt",
        "expected (a backup)",
        "stranger than 100 % of the history",
        "fleet:pumps v3 (streaming)",
    ):
        assert text in result.stdout


def test_a_moment_is_explained_on_a_page(service: "Service") -> None:
    service.answers["GET /series/pump%207/explanation"] = QUIET
    result = service.run("series", "explain", "pump 7")
    assert result.exit_code == 0, result.stderr
    for text in (
        "It is as expected",
        "0.4: 0.4 of what",
        "12, band 8 to 16",
        "high, 8064 points learnt, 10 needed",
    ):
        assert text in result.stdout


@pytest.mark.parametrize("output", ["json", "ndjson"])
def test_json_is_what_the_service_said(service: "Service", output: str) -> None:
    service.answers["GET /anomalies/anm_1/explanation"] = WHY
    service.answers["GET /series/pump%207/explanation"] = QUIET
    assert json.loads(service.run("anomalies", "explain", "anm_1", "-o", output).stdout) == WHY
    assert json.loads(service.run("series", "explain", "pump 7", "-o", output).stdout) == QUIET


def test_csv_is_a_line_for_each_field(service: "Service") -> None:
    service.answers["GET /series/pump%207/explanation"] = QUIET
    lines = service.run("series", "explain", "pump 7", "-o", "csv").stdout.splitlines()
    assert lines[0] == "field,value"
    assert "why not,It is as expected: 0.4 of what an alarm needs." in lines


def test_a_series_without_points_is_told_as_such(service: "Service") -> None:
    reasons = [{"code": "no_points", "text": "No point."}]
    service.answers["GET /series/pump%207/explanation"] = {
        "series_id": "pump 7",
        "alarmed": False,
        "reasons": reasons,
    }
    result = service.run("series", "explain", "pump 7")
    assert "No point." in result.stdout
    assert "model" not in result.stdout


def test_the_moment_is_sent(service: "Service") -> None:
    service.answers["GET /series/pump%207/explanation"] = QUIET
    assert service.run("series", "explain", "pump 7", "--at", "2026-11-20T10:00:00Z").exit_code == 0
    assert dict(service.requests[-1].url.params) == {"at": "2026-11-20T10:00:00Z"}


def test_a_time_that_is_none_is_refused_here(service: "Service") -> None:
    result = service.run("series", "explain", "pump 7", "--at", "noon")
    assert result.exit_code != 0
    assert "--at" in result.stderr
    assert service.requests == []
