"""The guide to the audit log as a story: who trained, promoted and was refused, and that it can be verified."""

import json
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.atalaia import Client, TrainingConfig
from atalaia.core.errors import Denied
from atalaia.core.models import ModelKey, Scope
from tests.journeys.measurements import START_S, wave
from tests.journeys.servers import Server, run_cli

pytestmark = pytest.mark.slow
PASSWORD = "seven tall towers"
KEY = ModelKey(Scope.SERIES, "pump")


def test_who_did_what_is_told_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ATALAIA_PASSWORD", PASSWORD)
    folder = tmp_path / "data"

    def atalaia(*words: str, exits: int = 0) -> str:
        done = run_cli(*words, cwd=tmp_path, url=server.url, check=False)
        assert done.returncode == exits, done.stdout + done.stderr
        return done.stdout

    server = Server(folder, auth__mode="on", auth__refresh_s=0.2, audit__export_every_s=0.5)
    atalaia("users", "add", "ada", "--role", "admin", "--local", "--data-dir", str(folder))
    with server:
        atalaia("login", "ada")
        atalaia("users", "add", "bob", "--role", "viewer")
        with Client(server.url) as login:
            bob = login.access.login("bob", PASSWORD).access_token
            ada = login.access.login("ada", PASSWORD).access_token
        with Client(server.url, token=ada) as client:
            client.points.add(wave(500, "pump"))
            job = client.jobs.wait(client.training.start(KEY, TrainingConfig(24)).job_id, timeout_s=60)
            client.models.promote(KEY, "v1")
            client.predict("pump", 99.0, START_S)
        with Client(server.url, token=bob) as client, pytest.raises(Denied):
            client.models.promote(KEY, "v1")
        lines = atalaia("audit", "list", "-o", "ndjson").splitlines()
        told: list[dict[str, Any]] = [json.loads(line) for line in lines]
        done = {(event["actor"], event["action"], event["subject"]): event["detail"] for event in told}
        assert ("command line", "user_added", "ada") in done
        assert ("ada", "user_added", "bob") in done
        assert ("bob", "login", "bob") in done
        assert ("ada", "training_requested", str(KEY)) in done
        registered = done["system", "version_registered", str(KEY)]
        assert (registered["job"], registered["asked_by"]) == (job.job_id, "ada")
        assert done["ada", "model_promoted", str(KEY)]["version"] == "v1"
        atalaia("audit", "verify", "--data-dir", str(folder))  # while it runs
    atalaia("audit", "export", "--data-dir", str(folder))
    atalaia("audit", "verify", "--data-dir", str(folder))
    exported = list((folder / "blobs" / "audit").glob("*/*/*"))
    assert {path.parts[-3] for path in exported} == {"journal", "predictions", "events"}
    server.start()
    server.stop()
    atalaia("audit", "verify", "--data-dir", str(folder))
    next(path for path in exported if path.parts[-3] == "journal").unlink()
    assert "cannot be read" in atalaia("audit", "verify", "--data-dir", str(folder), exits=1)
