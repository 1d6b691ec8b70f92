"""Logins and users on the command line; the first user is added where the database is."""

import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from atalaia.app.cli.keyring import keyring_file, store_token, stored_token
from atalaia.app.entrance import local_users
from atalaia.app.settings import load_settings
from atalaia.kit.auth.permissions import Role

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

PASSWORD = "seven tall towers"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep tokens in a folder of the test."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_login_is_kept_and_used_by_the_commands_after_it(service: "Service") -> None:
    service.answers["POST /auth/token"] = {"access_token": "a.b.c", "expires_in": 900, "role": "viewer"}
    service.answers["GET /auth/me"] = {"subject": "ada", "role": "viewer", "permissions": ["points.read"]}
    result = service.run("login", "ada", text=f"{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert service.sent("POST") == [{"username": "ada", "password": PASSWORD}]
    assert stat.S_IMODE(keyring_file().stat().st_mode) == 0o600
    assert "a.b.c" not in result.output
    assert service.run("whoami").exit_code == 0
    assert service.requests[-1].headers["authorization"] == "Bearer a.b.c"
    service.run("--token", "mine", "whoami")
    assert service.requests[-1].headers["authorization"] == "Bearer mine"
    service.run("--url", "http://127.0.0.1:1", "whoami")
    assert "authorization" not in service.requests[-1].headers
    service.run("logout")
    service.run("whoami")
    assert "authorization" not in service.requests[-1].headers


def test_a_failed_login_is_not_repeated_and_keeps_nothing(service: "Service") -> None:
    service.answers["POST /auth/token"] = service.problem("denied", 401, code="login_failed", detail="no")
    assert service.run("login", "ada", text="x\n").exit_code == 6
    assert len(service.requests) == 1
    assert not keyring_file().exists()


@pytest.mark.parametrize("text", ["", "rubbish", "[]", '{"http://127.0.0.1:8460": 7}'])
def test_a_damaged_keyring_is_an_empty_one(text: str) -> None:
    keyring_file().parent.mkdir(parents=True)
    keyring_file().write_text(text)
    assert stored_token("http://127.0.0.1:8460") is None
    store_token("http://127.0.0.1:8460/", "t")
    assert stored_token("http://127.0.0.1:8460") == "t"


def test_the_first_admin_is_added_without_a_service(service: "Service", tmp_path: Path) -> None:
    flags = ("--local", "--data-dir", str(tmp_path / "data"))
    result = service.run("users", "add", "ada", "--role", "admin", *flags, text=f"{PASSWORD}\n{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert service.requests == []
    with local_users(load_settings({"data_dir": tmp_path / "data"})) as users:
        assert users.login("ada", PASSWORD, "").role is Role.ADMIN
    other = "eight taller towers"
    result = service.run("users", "set-password", "ada", *flags, text=f"{other}\n{other}\n")
    assert result.exit_code == 0, result.output
    with local_users(load_settings({"data_dir": tmp_path / "data"})) as users:
        assert users.login("ada", other, "").subject == "ada"


@pytest.mark.parametrize(("role", "password"), [("emperor", PASSWORD), ("admin", "short")])
def test_a_user_that_cannot_be_is_refused(service: "Service", tmp_path: Path, role: str, password: str) -> None:
    flags = ("--role", role, "--local", "--data-dir", str(tmp_path / "data"), "--password", password)
    assert service.run("users", "add", "ada", *flags).exit_code == 2


def test_users_are_kept_through_the_service(service: "Service") -> None:
    bob = {"name": "bob", "role": "viewer", "is_disabled": False, "created_at": "2026-11-27T00:00:00Z"}
    service.answers["POST /auth/users"] = service.answers["PATCH /auth/users/bob"] = bob
    service.answers["GET /auth/users"] = {"items": [bob], "next": None}
    service.answers["DELETE /auth/users/bob"] = {}
    assert "bob" in service.run("users", "list").stdout
    service.run("users", "add", "bob", "--role", "viewer", "--password", PASSWORD)
    service.run("users", "set-role", "bob", "ml_engineer")
    service.run("users", "set-password", "bob", "--password", PASSWORD)
    service.run("users", "disable", "bob")
    service.run("users", "disable", "bob", "--undo")
    assert service.sent("POST") == [{"name": "bob", "role": "viewer", "password": PASSWORD}]
    changes = [{"role": "ml_engineer"}, {"password": PASSWORD}, {"is_disabled": True}, {"is_disabled": False}]
    assert service.sent("PATCH") == changes
    assert service.run("users", "remove", "bob", "--dry-run").exit_code == 0
    assert [r.method for r in service.requests].count("DELETE") == 0
    assert service.run("users", "remove", "bob").exit_code == 0


def test_a_token_is_written_alone_to_stdout(service: "Service") -> None:
    made = {"access_token": "a.b.c", "token_id": "tok_1", "role": "agent", "name": "p", "expires_in": 9}
    service.answers["POST /auth/tokens"] = made
    assert service.run("tokens", "create", "p", "--role", "agent", "--days", "30").stdout == "a.b.c\n"
    assert service.sent("POST") == [{"name": "p", "role": "agent", "days": 30}]
    assert json.loads(service.run("tokens", "create", "p", "--role", "agent", "-o", "json").stdout) == made


def test_tokens_are_listed_and_revoked(service: "Service") -> None:
    row = {"token_id": "tok_1", "name": "p", "role": "agent", "created_by": "ada", "revoked_at": None}
    service.answers["GET /auth/tokens"] = {"items": [row], "next": None}
    service.answers["DELETE /auth/tokens/tok_1"] = {}
    assert "tok_1" in service.run("tokens", "list").stdout
    assert service.run("tokens", "revoke", "tok_1", "--dry-run").exit_code == 0
    assert service.run("tokens", "revoke", "tok_1").exit_code == 0
    assert [r.method for r in service.requests] == ["GET", "DELETE"]
