"""Every operation of the OpenAPI document, called with what it allows and what it does not, by schemathesis."""

import subprocess
from pathlib import Path

import pytest

from tests.journeys.measurements import wave
from tests.journeys.servers import Server
from tests.parts.processes import ROOT

pytestmark = pytest.mark.slow
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
)
"""All but those that want every value accepted that a schema allows (a weak password is a string too), and
those of authentication, which is off here and has tests of its own."""
NOT_JSON = "/api/v1/write"
"""Protobuf, which schemathesis cannot make; tests/faults fuzzes its parser."""


def test_the_service_keeps_to_its_document(tmp_path: Path) -> None:
    with Server(tmp_path / "data", lifecycle__cooldown_s=0) as server:
        with server.client() as client:
            client.points.add(wave(200, "sensor_001_radial"))
        command = [ROOT / ".venv-scanners" / "bin" / "schemathesis", "run", f"{server.url}/openapi.json"]
        flags = ["--checks", ",".join(CHECKS), "--exclude-path", NOT_JSON, "--max-examples", "12", "--seed", "4"]
        done = subprocess.run(
            [*command, *flags, "--no-color", "--workers", "1", "--generation-deterministic"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-20000:]
        assert "Traceback" not in server.log.read_text()
