"""The commands that read: each in each of the four outputs."""

import csv
import io
import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

AT = "2014-04-10T07:15:00Z"
SERIES = {
    "series_id": "a/b c%/é日本 [red]",
    "fleet_id": None,
    "labels": {"site": "north"},
    "first_at": AT,
    "last_at": AT,
    "received": 4032,
    "statistics": {"count": 4032, "mean": 91.234567891, "std": 0.5, "last_value": 90.0},
    "step_s": 300.0,
    "novel": {"x": [1]},
}
ANOMALY = {
    "anomaly_id": "ano_1",
    "series_id": "a",
    "state": "open",
    "from": AT,
    "to": None,
    "peak_score": 2.5,
    "seen": 99.0,
    "expected": 50.0,
    "lower": 40.0,
    "upper": 60.0,
    "explanation": "above,\nthe band",
    "model": {"model_id": "series:a", "version": "v1", "algorithm": "statistical"},
    "feedback": [{"kind": "noise", "note": "", "created_at": AT}],
}
JOB = {
    "job_id": "job_1",
    "kind": "training",
    "status": "failed",
    "progress": 0.25,
    "error": {"detail": "too short"},
}
VERSION = {
    "version": "v1",
    "stage": "Production",
    "algorithm": "statistical",
    "created_at": AT,
    "metrics": {"points": 5},
}
MODEL = {"model_id": "series:a", "production_version": "v1", "latest_version": "v1", "versions": [VERSION]}
PREDICTION = {
    "series_id": "a",
    "timestamp": AT,
    "value": 5.0,
    "anomaly": True,
    "anomaly_score": 1.5,
    "model_info": {"version": "v1"},
}

READS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["series", "list"], "GET /series", {"items": [SERIES], "next": None}),
    (["series", "show", "a"], "GET /series/a", SERIES),
    (
        ["series", "points", "a"],
        "GET /series/a/points",
        {"points": [{"timestamp": AT, "value": 1.5}]},
    ),
    (
        ["series", "points", "a", "--buckets", "1"],
        "GET /series/a/points",
        {"buckets": [{"from": AT, "to": AT, "count": 1, "min": 1, "mean": 1, "max": 1}]},
    ),
    (["fleets", "list"], "GET /fleets", {"items": [{"fleet_id": "f", "series_count": 2, "source": "rule"}]}),
    (["fleets", "show", "f"], "GET /fleets/f", {"fleet_id": "f", "series_count": 2, "series": ["a", "b"]}),
    (["anomalies", "list"], "GET /anomalies", {"items": [ANOMALY], "next": None}),
    (["anomalies", "show", "ano_1"], "GET /anomalies/ano_1", ANOMALY),
    (["jobs", "list"], "GET /jobs", {"items": [JOB], "next": None}),
    (["jobs", "show", "job_1"], "GET /jobs/job_1", JOB),
    (["models", "list"], "GET /models", {"items": [MODEL], "next": None}),
    (["models", "show", "a"], "GET /models/a", MODEL),
    (["models", "show", "--fleet", "f"], "GET /models/fleets/f", MODEL),
    (
        ["models", "metrics", "a"],
        "GET /models/a/metrics",
        {"window": "24h", "drift": {"drifted": False}},
    ),
    (["predict", "a", "-5"], "POST /predict/a", PREDICTION),
]
IDS = [" ".join(args) for args, _, _ in READS]


@pytest.mark.parametrize(("args", "path", "answer"), READS, ids=IDS)
def test_json_is_what_the_api_said(service: "Service", args: list[str], path: str, answer: dict[str, Any]) -> None:
    body = json.dumps(answer, indent=1, ensure_ascii=False)
    service.answers[path] = httpx.Response(200, content=body.encode())
    result = service.run(*args, "--output", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == body + "\n"


@pytest.mark.parametrize(("args", "path", "answer"), READS, ids=IDS)
def test_ndjson_has_one_object_a_line(
    service: "Service", args: list[str], path: str, answer: dict[str, Any]
) -> None:
    service.answers[path] = answer
    result = service.run(*args, "-o", "ndjson")
    assert (result.exit_code, result.stderr) == (0, "")
    whole = answer.get("items") or (answer.get("points") if "--buckets" not in args else None) or [answer]
    assert [json.loads(line) for line in result.stdout.splitlines()] == whole


@pytest.mark.parametrize(("args", "path", "answer"), READS, ids=IDS)
def test_csv_has_a_header_and_rows_of_its_width(
    service: "Service", args: list[str], path: str, answer: dict[str, Any]
) -> None:
    service.answers[path] = answer
    result = service.run(*args, "-o", "csv")
    assert (result.exit_code, result.stderr) == (0, "")
    header, *rows = csv.reader(io.StringIO(result.stdout))
    assert rows
    assert all(len(row) == len(header) for row in rows)


@pytest.mark.parametrize(("args", "path", "answer"), READS, ids=IDS)
def test_a_table_is_plain_text_without_a_terminal(
    service: "Service", args: list[str], path: str, answer: dict[str, Any]
) -> None:
    service.answers[path] = answer
    result = service.run(*args)
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) >= 2
    assert "\x1b" not in result.stdout


def test_a_table_shows_names_as_they_are_and_times_in_the_local_zone(
    service: "Service", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Madrid")
    time.tzset()
    service.answers["GET /series"] = {"items": [SERIES]}
    table = service.run("series", "list").stdout
    rows = service.run("series", "list", "-o", "csv").stdout
    monkeypatch.undo()
    time.tzset()
    assert "a/b c%/é日本 [red]" in table
    assert "2014-04-10 09:15:00 CEST" in table
    assert AT in rows


def pages(count: int) -> list[Any]:
    return [
        {"items": [{"series_id": f"s{i}"}], "next": f"c{i}" if i < count - 1 else None, "novel": i}
        for i in range(count)
    ]


def test_ndjson_and_csv_stream_across_pages(service: "Service") -> None:
    service.answers["GET /series"] = pages(3)
    lines = service.run("series", "list", "-o", "ndjson").stdout.splitlines()
    assert [json.loads(line)["series_id"] for line in lines] == ["s0", "s1", "s2"]
    assert [r.url.params.get("cursor") for r in service.requests] == [None, "c0", "c1"]
    service.answers["GET /series"] = pages(3)
    assert len(service.run("series", "list", "-o", "csv").stdout.splitlines()) == 4


def test_a_limit_stops_and_a_table_says_that_there_is_more(service: "Service") -> None:
    service.answers["GET /series"] = pages(3)
    result = service.run("series", "list", "--limit", "2")
    assert len(result.stdout.splitlines()) == 3
    assert "--cursor c1" in result.stderr
    assert [r.url.params["limit"] for r in service.requests] == ["2", "1"]


def test_json_is_one_page(service: "Service") -> None:
    service.answers["GET /series"] = pages(3)
    result = service.run("series", "list", "-o", "json", "--cursor", "c9", "--limit", "7")
    assert json.loads(result.stdout)["next"] == "c0"
    assert dict(service.requests[0].url.params) == {"limit": "7", "cursor": "c9"}


def test_filters_reach_the_api(service: "Service") -> None:
    service.answers["GET /anomalies"] = {"items": []}
    result = service.run(
        "anomalies",
        "list",
        "--series",
        "a/b",
        "--from",
        "2014-04-10T09:15:00+02:00",
        "--to",
        "5",
        "--state",
        "open",
    )
    assert result.exit_code == 0
    assert "None found." in result.stderr
    params = dict(service.requests[0].url.params)
    assert params == {"series_id": "a/b", "from": AT, "to": "1970-01-01T00:00:05Z", "state": "open", "limit": "100"}


@pytest.mark.parametrize("text", ["yesterday", "1e400", "nan", "", "2014-13-01"])
def test_a_time_that_is_none_is_refused(service: "Service", text: str) -> None:
    result = service.run("anomalies", "list", "--from", text)
    assert result.exit_code == 2
    assert "--from" in result.stderr
    assert not service.requests


def test_an_id_is_encoded_on_its_way(service: "Service") -> None:
    service.answers["GET /series/a%2Fb%20c%25%2F%C3%A9%E6%97%A5%E6%9C%AC"] = SERIES
    assert service.run("series", "show", "a/b c%/é日本").exit_code == 0
