"""The clients of KServe and Triton, as others install them, get their answers from a running service."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.app.embedded import Embedded
from atalaia.app.settings import load_settings
from atalaia.connectors.atalaia import Client, Columns, TrainingConfig
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import wave

pytestmark = pytest.mark.slow
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PYTHON = ROOT / ".venv-clients" / "bin" / "python"
FLEET, PUMP = ModelKey(Scope.FLEET, "pumps"), ModelKey(Scope.SERIES, "hall 2/pump")
MEMBERS = ("pump a", "pump b", "hall 2/pump")
CONFIG = TrainingConfig(24 * 365, "statistical")


@pytest.fixture(scope="module")
def clients() -> None:
    """Install the clients, unless they are there."""
    subprocess.run(["make", "--no-print-directory", "setup-clients"], cwd=ROOT, check=True, timeout=600)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """Run a service with a fleet and a lone series, of each of which v2 serves and v1 is archived."""
    folder = tmp_path_factory.mktemp("clients")
    wanted = {"data_dir": folder / "data", "port": 0, "lifecycle.cooldown_s": 0}
    with Embedded(load_settings(wanted)) as running, Client(running.url) as client:
        for name in MEMBERS:
            client.points.add(wave(1_000, name))
        client.fleets.set("pumps", ["pump a", "pump b"])
        bring_into_production(client)
        for name in MEMBERS:
            client.points.add(raised(wave(1_000, name, start=1_000), by=50.0))
        bring_into_production(client)
        yield running


def bring_into_production(client: Client) -> None:
    for key in (FLEET, PUMP):
        version = client.jobs.wait(client.training.start(key, CONFIG).job_id, timeout_s=60).model_version
        assert version
        client.models.promote(key, version)


def raised(points: Columns, *, by: float) -> Columns:
    return Columns(points.series_ids, points.timestamps, points.values + by)


def answers_of(script: str, target: str) -> dict[str, Any]:
    """Return what a script of a client printed."""
    direct = {"NO_PROXY": "*", "no_proxy": "*"}
    done = subprocess.run(
        [PYTHON, "-W", "ignore", HERE / "clients" / script, target],
        env={**os.environ, **direct},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def kserve(clients: None, service: Embedded) -> dict[str, Any]:
    """Return what KServe's client was told."""
    return answers_of("of_kserve.py", service.url)


@pytest.fixture(scope="module")
def triton(clients: None, service: Embedded) -> dict[str, Any]:
    """Return what Triton's client was told."""
    return answers_of("of_triton.py", service.url.removeprefix("http://"))


def assert_second_is_strange(told: dict[str, Any]) -> None:
    assert told["outputs"]["anomaly"] == [False, True]
    assert told["outputs"]["score"][0] < 1 < told["outputs"]["score"][1]


# KServe


def test_kserve_finds_the_server_and_its_models_ready(kserve: dict[str, Any]) -> None:
    assert (kserve["v2"]["live"], kserve["v2"]["ready"]) == (True, True)
    assert kserve["v2"]["model_ready"] == [True, True, True, True, False]
    assert kserve["v1"]["model_ready"] == [True, True]


@pytest.mark.parametrize(("way", "model"), [("json", "fleet:pumps"), ("every", "atalaia")])
def test_kserve_gets_scores_by_v2(kserve: dict[str, Any], way: str, model: str) -> None:
    assert kserve["v2"][way]["model"] == model
    assert_second_is_strange(kserve["v2"][way])


def test_kserve_gets_its_request_id_back(kserve: dict[str, Any]) -> None:
    assert kserve["v2"]["json"]["id"] == "my request"


def test_kserve_sends_and_gets_binary_tensors(kserve: dict[str, Any]) -> None:
    assert_second_is_strange(kserve["v2"]["binary"])
    assert kserve["v2"]["binary_out"]["outputs"]["score"] == kserve["v2"]["json"]["outputs"]["score"]


def test_kserve_asks_one_version_of_one_series(kserve: dict[str, Any]) -> None:
    told = kserve["v2"]["versions"]
    assert {one["model"] for one in told} == {"series:hall 2/pump"}
    newest, first, second = (one["outputs"]["expected"][0] for one in told)
    assert newest == second > first + 10


def test_kserve_is_told_no_opinion_as_nan(kserve: dict[str, Any]) -> None:
    told = kserve["v2"]["no_opinion"]["outputs"]
    assert (np.isnan(np.array(told["score"], float)).all(), told["anomaly"]) == (True, [False])


def test_kserve_predicts_by_v1(kserve: dict[str, Any]) -> None:
    assert [one["anomaly"] for one in kserve["v1"]["predict"]["predictions"]] == [True, False]
    assert [one["anomaly"] for one in kserve["v1"]["one"]["predictions"]] == [True, False]


@pytest.mark.parametrize(
    ("protocol", "what", "message"),
    [
        ("v2", "unknown_model", "no version of fleet:none is in Production, '404 Not Found'"),
        ("v2", "unknown_version", "fleet:pumps has no version v9, '404 Not Found'"),
        ("v2", "lying_shape", "the shape has 3 elements, the data 1, '400 Bad Request'"),
        ("v1", "unknown_model", "no model is called 'nothing'; names are `atalaia`"),
        ("v1", "unknown_ready", "no version of fleet:none is in Production, '404 Not Found'"),
        ("v1", "bad_instance", "/instances/0: Expected"),
    ],
)
def test_kserve_raises_its_own_exception_with_our_message(
    kserve: dict[str, Any], protocol: str, what: str, message: str
) -> None:
    told = kserve[protocol][what]
    assert told["raised"] == "HTTPStatusError"
    assert message in told["message"]


# Triton


def test_triton_finds_the_server_and_its_models_ready(triton: dict[str, Any]) -> None:
    assert (triton["live"], triton["ready"]) == (True, True)
    assert triton["model_ready"] == [True, True, True, False]
    assert triton["version_ready"] == [True, True, False]


def test_triton_reads_the_metadata(triton: dict[str, Any]) -> None:
    assert triton["server"]["name"] == "atalaia"
    assert "binary_tensor_data" in triton["server"]["extensions"]
    assert [one["name"] for one in triton["metadata"]] == ["atalaia", "fleet:pumps", "series:hall 2/pump"]
    assert [one["versions"] for one in triton["metadata"]] == [["1"], ["2"], ["2"]]
    assert triton["metadata_of_version"]["versions"] == ["1"]


@pytest.mark.parametrize("way", ["binary", "packed_gzip", "packed_deflate", "async"])
def test_triton_sends_and_gets_binary_tensors_compressed_or_not(triton: dict[str, Any], way: str) -> None:
    told = triton["infer"][way]
    assert_second_is_strange(told)
    assert told["binary"] == {"score": True, "anomaly": True}


def test_triton_gets_its_request_id_back(triton: dict[str, Any]) -> None:
    assert [triton["infer"][way]["id"] for way in ("binary", "async", "json")] == ["my request", "later", None]


def test_triton_chooses_outputs_and_their_form(triton: dict[str, Any]) -> None:
    assert triton["infer"]["json"]["outputs"] == {"anomaly": [False, True]}
    mixed = triton["infer"]["mixed"]
    assert mixed["binary"] == {"score": True, "expected": False, "anomaly": False}
    assert mixed["outputs"]["expected"] == pytest.approx([75.0, 75.0], abs=10)


def test_triton_asks_versions_and_single_series(triton: dict[str, Any]) -> None:
    assert triton["infer"]["version"] == ["2", "1", "2"]
    assert triton["infer"]["one"]["model"] == "series:hall 2/pump"
    assert triton["infer"]["one"]["outputs"]["anomaly"] == [True]


def test_triton_sends_forty_thousand_points_at_once(triton: dict[str, Any]) -> None:
    assert triton["infer"]["large"] == [20_000, 40_000]


def test_triton_is_told_no_opinion_as_nan(triton: dict[str, Any]) -> None:
    assert np.isnan(np.array(triton["infer"]["no_opinion"]["outputs"]["score"], float)).all()


@pytest.mark.parametrize(
    ("what", "status", "message"),
    [
        ("unknown_model", "404", "no version of fleet:none is in Production"),
        ("unknown_version", "404", "fleet:pumps has no version v9"),
        ("lying_shape", "400", "the shape takes 24 bytes, 16 are announced"),
        ("unknown_output", "400", "there is no output 'colour', only score, anomaly"),
        ("unknown_series", "404", "fleet:pumps does not hold the series 'x'"),
        ("metadata", "404", "no version of fleet:none is in Production"),
        ("config", "404", "fleet:pumps/config"),
        ("statistics", "404", "no model is called 'stats'"),
        ("shared_memory", "404", "this part of the protocol is not served"),
        ("unload", "409", "fleet:pumps is in Production"),
        ("load", "404", "no version of fleet:none is in Production"),
    ],
)
def test_triton_raises_its_own_exception_with_our_message(
    triton: dict[str, Any], what: str, status: str, message: str
) -> None:
    told = triton["errors"][what]
    assert (told["raised"], told["status"]) == ("InferenceServerException", status)
    assert message in told["message"]
    assert "exception occurred in the client" not in told["message"]


def test_triton_lists_and_loads_models(triton: dict[str, Any]) -> None:
    before, after = (
        {one["name"]: (one["version"], one["state"]) for one in triton[name]} for name in ("index_before", "index")
    )
    assert after == {"atalaia": ("1", "READY"), "fleet:pumps": ("2", "READY"), "series:hall 2/pump": ("2", "READY")}
    assert before.keys() == after.keys()
