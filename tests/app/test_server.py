"""Each role has its doors and only these; health, metrics and the documentation are behind all of them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp

from atalaia import __version__
from atalaia.app.build import Atalaia, build
from atalaia.app.server import make_app, openapi_document, with_front
from atalaia.app.settings import ROLES, load_settings
from tests.app.conftest import BuildOne
from tests.kit.asgi import Answer, call

PREDICTION = {
    "POST /api/v1/predict/batch",
    "POST /api/v1/predict/{series_id}",
    "POST /api/v1/admin/reload/{series_id}",
    "POST /api/v1/assets/{asset_id}/score",
}
OF_A_MODEL = ("GET /v2/models/{name}", "GET /v2/models/{name}/versions/{version}")
INFERENCE = {
    "GET /v2",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    *(path + rest for path in OF_A_MODEL for rest in ("", "/ready")),
    *(path.replace("GET", "POST") + "/infer" for path in OF_A_MODEL),
    "POST /v2/repository/index",
    "POST /v2/repository/models/{name}/load",
    "POST /v2/repository/models/{name}/unload",
    "GET /v1/models",
    "GET /v1/models/{name}",
    "POST /v1/models/{name}:predict",
}
SYSTEM = {"GET /health", "GET /api/v1/liveness", "GET /api/v1/readiness", "GET /metrics"}
OF_THE_API = {
    "POST /api/v1/points",
    "GET /api/v1/series",
    "PUT /api/v1/fleets/{fleet_id}",
    "POST /api/v1/anomalies/{anomaly_id}/feedback",
    "POST /api/v1/training/{series_id}",
    "DELETE /api/v1/training/jobs/{job_id}",
    "GET /api/v1/jobs",
    "GET /api/v1/models/fleets/{fleet_id}",
    "POST /api/v1/models/{series_id}/versions/{version}/promote",
    "GET /api/v1/plot",
}
B14 = {
    "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram",
    "anomaly_predictions_total": "counter",
    "model_load_duration_seconds": "histogram",
    "model_cache_hit_rate": "gauge",
    "training_queue_depth": "gauge",
    "model_drift_detected_total": "counter",
}
"""The metrics that the requirements name."""


def open_doors(atalaia: Atalaia, *roles: str) -> ASGIApp:
    atalaia.roles = frozenset(roles)
    return with_front(make_app(atalaia), atalaia)


def doors(atalaia: Atalaia, *roles: str) -> set[str]:
    atalaia.roles = frozenset(roles)
    document = make_app(atalaia).openapi()
    return {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}


def get(app: ASGIApp, path: str) -> Answer:
    return call(app, "GET", path)


@pytest.fixture(scope="module")
def atalaia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atalaia]:
    """Keep one service for the tests that change nothing."""
    structlog.configure(processors=[drop])
    atalaia = build(load_settings({"data_dir": tmp_path_factory.mktemp("service")}))
    yield atalaia
    atalaia.close()
    structlog.reset_defaults()


def drop(_logger: Any, _method: str, _event: Any) -> Any:
    raise structlog.DropEvent


@pytest.fixture(scope="module")
def everything(atalaia: Atalaia) -> ASGIApp:
    return open_doors(atalaia, *ROLES)


def test_every_role_has_its_doors_and_only_these(atalaia: Atalaia) -> None:
    whole = doors(atalaia, *ROLES)
    assert whole >= SYSTEM | PREDICTION | INFERENCE | OF_THE_API
    assert doors(atalaia, "worker") == doors(atalaia, "scheduler") == SYSTEM
    assert doors(atalaia, "predictor") == SYSTEM | PREDICTION | INFERENCE
    assert doors(atalaia, "api") == whole - PREDICTION - INFERENCE


@pytest.mark.parametrize(
    ("role", "method", "path"),
    [
        ("worker", "POST", "/api/v1/predict/a"),
        ("api", "POST", "/api/v1/predict/batch"),
        ("predictor", "POST", "/api/v1/points"),
        ("scheduler", "GET", "/api/v1/series"),
    ],
)
def test_a_door_of_another_role_is_not_there(atalaia: Atalaia, role: str, method: str, path: str) -> None:
    answer = call(open_doors(atalaia, role), method, path)
    assert (answer.status, answer.json()["code"]) == (404, "not_found")


def test_the_documentation_asks_no_other_host(everything: ASGIApp) -> None:
    page = get(everything, "/docs")
    assert page.status == 200
    text = page.body.decode()
    references = re.findall(r"""(?:src|href)=["']([^"']+)["']""", text)
    assert len(references) >= 3
    assert all(reference.startswith("/docs/static/") for reference in references)
    assert "//" not in re.sub(r"\s//\s.*", "", text.replace("</", "<"))
    assert "'/openapi.json'" in text or '"/openapi.json"' in text


@pytest.mark.parametrize("file", ["swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"])
def test_the_files_of_the_documentation_are_served_from_here(everything: ASGIApp, file: str) -> None:
    answer = get(everything, f"/docs/static/{file}")
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 100


def test_the_documentation_is_where_people_look_first(everything: ASGIApp) -> None:
    answer = get(everything, "/")
    assert (answer.status, answer.headers["location"]) == (307, "/docs")


def test_no_static_file_outside_its_folder_is_served(everything: ASGIApp) -> None:
    for path in ("/docs/static/../../build.py", "/docs/static/%2e%2e/%2e%2e/core.py", "/docs/static/nothing.js"):
        assert get(everything, path).status == 404


def test_the_document_describes_what_is_decoded_by_hand(everything: ASGIApp) -> None:
    document = get(everything, "/openapi.json").json()
    assert {"PointRows", "PointColumns", "PredictIn", "BatchIn"} <= document["components"]["schemas"].keys()
    assert document["info"]["version"] == __version__


def test_the_whole_document_can_be_had_without_a_service() -> None:
    document = openapi_document()
    titles = {f"{m.upper()} {path}" for path, item in document["paths"].items() for m in item}
    assert titles >= SYSTEM | PREDICTION | OF_THE_API


def test_health_tells_version_roles_and_how_far_scoring_is_behind(everything: ASGIApp) -> None:
    assert get(everything, "/health").json() == {
        "status": "ok",
        "version": __version__,
        "roles": sorted(ROLES),
        "series_silent": 0,
        "senders_silent": False,
        "scoring_lag_rows": 0,
    }


def test_a_process_that_lives_says_so(everything: ASGIApp) -> None:
    assert get(everything, "/api/v1/liveness").json() == {"status": "alive"}


def test_it_is_ready_from_the_start_to_the_close(build_one: BuildOne) -> None:
    atalaia = build_one()
    app = open_doors(atalaia, "api")
    before = get(app, "/api/v1/readiness")
    assert (before.status, before.json()["code"], before.headers["retry-after"]) == (503, "not_ready", "1")
    atalaia.start(("api",))
    assert get(app, "/api/v1/readiness").json() == {"status": "ready"}
    atalaia.close()
    assert get(app, "/api/v1/readiness").status == 503
    assert get(app, "/api/v1/liveness").status == 200


def test_health_is_degraded_when_the_database_cannot_be_read(build_one: BuildOne) -> None:
    atalaia = build_one()
    atalaia.start(("api",))
    app = open_doors(atalaia, "api", "predictor")
    assert get(app, "/health").json()["status"] == "ok"
    atalaia.messenger.stop()
    ruin(atalaia)
    told = get(app, "/health")
    assert told.status == 200
    assert told.json() == {
        "status": "degraded",
        "version": __version__,
        "roles": ["api", "predictor"],
        "problem": "database_unavailable",
        "scoring_lag_rows": None,
    }
    assert get(app, "/api/v1/readiness").status == 503
    text = get(app, "/metrics").body.decode()
    assert "training_queue_depth NaN" in text
    assert "model_cache_hit_rate 1.0" in text


def ruin(atalaia: Atalaia) -> None:
    """Put rubbish in the place of the database."""
    atalaia.database.close()
    path: Path = atalaia.settings.data_dir / "atalaia.db"
    for rest in ("-wal", "-shm"):
        path.with_name(f"atalaia.db{rest}").unlink(missing_ok=True)
    path.write_bytes(b"rubbish" * 1_000)


def test_the_metrics_have_every_name_that_was_promised(everything: ASGIApp) -> None:
    get(everything, "/health")
    answer = get(everything, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = set(answer.body.decode().splitlines())
    assert [name for name, kind in B14.items() if f"# TYPE {name} {kind}" not in lines] == []
    assert any(line.startswith('http_requests_total{method="GET",route="/health",status="200"}') for line in lines)


def test_what_is_nowhere_is_a_problem_with_the_callers_request_id(everything: ASGIApp) -> None:
    answer = call(everything, "GET", "/api/v1/nothing", headers={"x-request-id": "mine"})
    assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine"


def test_a_parameter_that_is_given_twice_is_refused(everything: ASGIApp) -> None:
    answer = call(everything, "GET", "/api/v1/jobs?limit=5&limit=6")
    assert (answer.status, answer.json()["code"]) == (422, "invalid_request")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/limit"]


def test_a_body_over_the_limit_is_refused(build_one: BuildOne) -> None:
    app = open_doors(build_one(max_body_bytes=1024), "api")
    answer = call(app, "POST", "/api/v1/points", b" " * 1025)
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")


def test_a_series_without_any_point_may_have_a_model(atalaia: Atalaia, everything: ASGIApp) -> None:
    for path in ("/models/nobody", "/models/nobody/deployment-config", "/models/nobody/metrics"):
        answer = get(everything, f"/api/v1{path}")
        assert (answer.status, answer.json()["code"]) == (404, "unknown_model")
