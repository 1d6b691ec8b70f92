"""An incident comes in by remote write, and its cause goes out: by HTTP, by the client and by command."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.connectors.atalaia import Client
from tests.connectors.prometheus.messages import body_of
from tests.connectors.prometheus.senders import PROTOS, snappy
from tests.incidents.shop import BEGIN_S, EDGES, END_S, EXTRA, LEVELS, minutes
from tests.journeys.conftest import Start
from tests.journeys.servers import run_cli
from tests.signals.builders import START_S

pytestmark = pytest.mark.slow
BODY: dict[str, Any] = {
    "from": BEGIN_S,
    "to": END_S,
    "history_hours": 1.5,
    "labels": ["env:production"],
    "alarmed_service": "web",
    "alarmed_metric": "latency_seconds",
    "edges": [{"from": caller, "to": callee} for caller, callee in EDGES],
}


def written() -> list[Any]:
    """Return the series of the shop as Prometheus sends them."""
    series: list[Any] = []
    for seed, (name, level) in enumerate(LEVELS.items()):
        for metric, values in (
            ("latency_seconds", minutes(level, EXTRA[name], seed)),
            ("request_rate", minutes(100.0, 0.0, 10 + seed)),
        ):
            labels = [("__name__", metric), ("env", "production"), ("service", name)]
            series.append((labels, [(value, (START_S + 60 * i) * 1_000) for i, value in enumerate(values)]))
    return series


def test_points_come_in_and_the_cause_goes_out(embed: Start, tmp_path: Path) -> None:
    service = embed()
    with httpx.Client(base_url=service.url, trust_env=False, timeout=30) as http:
        media = {"content-type": f"application/x-protobuf;proto={PROTOS[1]}", "content-encoding": "snappy"}
        sent = http.post("/api/v1/write", content=snappy(body_of(1, written())), headers=media)
        assert sent.status_code == 204, sent.text
        told = http.post("/api/v1/rootcause", json=BODY).raise_for_status().json()
    first = told["services"][0]
    assert (first["service"], first["path"]) == ("db", ["web", "orders", "db"])
    assert first["explains"] == pytest.approx(1.0, abs=0.1)
    assert first["metrics"][0]["series_id"] == 'latency_seconds{env="production",service="db"}'

    with Client(service.url) as client:
        found = client.incidents.find_cause(
            BEGIN_S, END_S, labels={"env": "production"}, edges=EDGES, alarmed_service="web", history_hours=1.5
        )
    assert (found.services[0].service, found.alarmed_metric, found.series) == ("db", "latency_seconds", 8)
    assert found.services[0].metrics[0].since is not None

    (tmp_path / "calls.csv").write_text("".join(f"{caller},{callee}\n" for caller, callee in EDGES))
    args = [
        "--label",
        "env=production",
        "--alarmed-service",
        "web",
        "--graph",
        "calls.csv",
        "--history-hours",
        "1.5",
    ]
    window = ["--from", str(BEGIN_S), "--to", str(END_S)]
    by_command = run_cli("rootcause", *window, *args, "-o", "json", cwd=tmp_path, url=service.url)
    assert json.loads(by_command.stdout)["services"][0]["service"] == "db"
    table = run_cli("rootcause", *window, *args, cwd=tmp_path, url=service.url).stdout
    assert "latency_seconds went up from 0.0" in table
    refused = run_cli("rootcause", *window, "--label", "env=moon", cwd=tmp_path, url=service.url, check=False)
    assert refused.returncode != 0
    assert "no series has all of these labels" in refused.stderr
