"""The guide to security as a story: the first admin, a login, a program with a token, and both kept out again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from atalaia.connectors.atalaia import Client, Point
from atalaia.core.errors import Denied
from tests.journeys.servers import Server, run_cli

pytestmark = pytest.mark.slow
PASSWORD = "seven tall towers"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("ATALAIA_PASSWORD", PASSWORD)
    folder = tmp_path / "data"
    run_cli("users", "add", "ada", "--role", "admin", "--local", "--data-dir", str(folder), cwd=tmp_path)
    with Server(folder, auth__mode="on", auth__refresh_s=0.2) as server:
        yield server


def test_from_the_first_admin_to_a_program_that_is_kept_out(server: Server, tmp_path: Path) -> None:
    def atalaia(*words: str, exits: int = 0) -> str:
        done = run_cli(*words, cwd=tmp_path, url=server.url, check=False)
        assert done.returncode == exits, done.stderr
        return done.stdout

    atalaia("series", "list", exits=6)
    atalaia("login", "nobody", exits=6)
    atalaia("login", "ada")
    me: dict[str, Any] = json.loads(atalaia("whoami", "-o", "json"))
    assert (me["subject"], me["role"]) == ("ada", "admin")
    token = atalaia("tokens", "create", "sender", "--role", "agent", "--days", "1").strip()
    with Client(server.url, token=token) as program:
        assert program.points.add([Point("pump", 1_700_000_000, 1.0)]).accepted == 1
        with pytest.raises(Denied) as refused:
            program.predict("pump", 1.0)
        assert refused.value.code == "forbidden"
        (row,) = json.loads(atalaia("tokens", "list", "-o", "json"))["items"]
        atalaia("tokens", "revoke", row["token_id"])
        with pytest.raises(Denied) as refused:
            program.points.add([Point("pump", 1_700_000_060, 1.0)])
        assert refused.value.code == "invalid_token"
    assert "pump" in atalaia("series", "list")
    atalaia("users", "add", "bob", "--role", "viewer")
    atalaia("login", "bob")
    assert "pump" in atalaia("series", "list")
    atalaia("users", "list", exits=6)
    atalaia("logout")
    atalaia("series", "list", exits=6)


def test_what_is_public_and_what_is_not(server: Server) -> None:
    with server.http() as http:
        for path in ("/api/v1/liveness", "/api/v1/readiness", "/docs", "/openapi.json", "/.well-known/jwks.json"):
            assert http.get(path).status_code == 200
        for path in ("/metrics", "/health", "/api/v1/series"):
            refused = http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
        token = http.post("/api/v1/auth/token", data=form).json()["access_token"]
        header = {"Authorization": f"Bearer {token}"}
        assert "auth_refused_total" in http.get("/metrics", headers=header).text
    modes = {path.name: path.stat().st_mode & 0o777 for path in (server.data_dir / "secrets").iterdir()}
    assert modes.keys() > {"model_key.pem"}
    assert set(modes.values()) == {0o600}
    assert token not in server.log.read_text()
    assert PASSWORD not in server.log.read_text()
