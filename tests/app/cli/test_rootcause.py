"""``atalaia rootcause``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

WINDOW = ("--from", "2026-11-20T10:00:00Z", "--to", "2026-11-20T10:15:00Z")
METRIC: dict[str, Any] = {
    "series_id": "db/latency",
    "service": "db",
    "metric": "latency",
    "direction": "up",
    "is_bad": True,
    "expected": 0.05,
    "seen": 0.45,
    "scales": 16.0,
    "part": 1.0,
    "since": "2026-11-20T10:02:00Z",
}
FOUND: dict[str, Any] = {
    "from": "2026-11-20T10:00:00Z",
    "to": "2026-11-20T10:15:00Z",
    "alarmed_service": "web",
    "alarmed_metric": "latency",
    "services": [
        {
            "rank": 1,
            "service": "db",
            "score": 1.1,
            "explains": 0.97,
            "own": 0.97,
            "path": ["web", "db"],
            "changes": [],
            "text": "explains 97% of what latency shows at the alarm",
            "metrics": [METRIC],
        }
    ],
    "metrics": [METRIC],
    "left_out": [{"series_id": "new", "reason": "too few points before the incident: 0"}],
    "left_out_count": 7,
}


def test_services_are_shown_with_their_reasons(service: "Service") -> None:
    service.answers["POST /rootcause"] = FOUND
    result = service.run("rootcause", *WINDOW, "--label", "env=production")
    assert result.exit_code == 0
    assert "db" in result.stdout
    assert "explains 97% of what latency shows" in result.stdout
    assert "Of 7 series nothing can be said, e.g. new: too few points" in result.stderr
    (sent,) = service.sent("POST")
    assert sent == {
        "from": "2026-11-20T10:00:00Z",
        "to": "2026-11-20T10:15:00Z",
        "labels": ["env:production"],
        "service_label": "service",
        "metric_label": "__name__",
        "limit": 10,
    }


def test_all_that_can_be_said_is_sent(service: "Service", tmp_path: Path) -> None:
    service.answers["POST /rootcause"] = FOUND
    graph = tmp_path / "calls.csv"
    graph.write_text('# who calls whom\nweb, orders\n\n"orders, new",db\n')
    args = [
        "--series", "a", "--series", "b", "--fleet", "shop", "--alarmed-service", "web",
        "--alarmed-metric", "latency",
        "--graph", str(graph), "--service-label", "asset", "--metric-label", "metric", "--traffic-metric", "calls",
        "--bad", "level=down", "--history-hours", "2", "--limit", "3",
    ]  # fmt: skip
    assert service.run("rootcause", *WINDOW, *args).exit_code == 0
    (sent,) = service.sent("POST")
    del sent["from"], sent["to"]
    assert sent == {
        "series_ids": ["a", "b"],
        "fleet_id": "shop",
        "alarmed_service": "web",
        "alarmed_metric": "latency",
        "edges": [{"from": "web", "to": "orders"}, {"from": "orders, new", "to": "db"}],
        "service_label": "asset",
        "metric_label": "metric",
        "traffic_metric": "calls",
        "directions": {"level": "down"},
        "history_hours": 2.0,
        "limit": 3,
    }


def test_metrics_are_shown_when_asked_for(service: "Service") -> None:
    service.answers["POST /rootcause"] = FOUND
    result = service.run("rootcause", *WINDOW, "--alarmed", "web/latency", "--metrics", "-o", "csv")
    assert result.stdout.splitlines()[1].startswith("db,latency,up,0.05,0.45,16.0,")
    assert service.sent("POST")[0]["alarmed_series"] == "web/latency"


def test_json_is_what_the_service_said(service: "Service") -> None:
    service.answers["POST /rootcause"] = FOUND
    result = service.run("rootcause", *WINDOW, "--fleet", "shop", "--output", "json")
    assert json.loads(result.stdout) == FOUND


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"web\n", "line 1: expected caller,callee"),
        (b"a,b\nweb,orders,db\n", "line 2: expected caller,callee"),
        (b"web,\n", "line 1: expected caller,callee"),
        (b"\xff\xfe", "cannot be read"),
        (b"a,b\n" * (1 << 22) + b"a,b\n", "is larger than 16 MiB"),
    ],
)
def test_a_graph_that_is_none_is_refused(service: "Service", tmp_path: Path, content: bytes, reason: str) -> None:
    graph = tmp_path / "calls.csv"
    graph.write_bytes(content)
    result = service.run("rootcause", *WINDOW, "--fleet", "shop", "--graph", str(graph))
    assert result.exit_code != 0
    assert reason in result.stderr
    assert service.requests == []


def test_a_graph_that_is_not_there_and_a_time_that_is_none_are_refused(service: "Service") -> None:
    assert "cannot be read" in service.run("rootcause", *WINDOW, "--graph", "nowhere.csv").stderr
    result = service.run("rootcause", "--from", "noon", "--to", "2026-11-20T10:15:00Z", "--fleet", "shop")
    assert "--from" in result.stderr
    assert service.requests == []


def test_what_the_service_refuses_is_said(service: "Service") -> None:
    service.answers["POST /rootcause"] = service.problem("invalid", 413, code="too_many_series", detail="Too many.")
    result = service.run("rootcause", *WINDOW, "--label", "env=production")
    assert result.exit_code != 0
    assert "Too many." in result.stderr
