"""With authentication on, each door of the service asks who is there; without, nothing changes."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.types import ASGIApp

from atalaia.app.build import Atalaia
from atalaia.app.server import make_app, with_front
from atalaia.core.errors import Unavailable
from atalaia.kit.auth.permissions import PERMISSIONS, PUBLIC, Role
from atalaia.kit.auth.routes import doors_of
from tests.app.conftest import BuildOne
from tests.kit.asgi import Answer, call

PASSWORD = "seven tall towers"
Knock = Callable[..., Answer]


class House:
    """A service with authentication on, and tokens for it."""

    def __init__(self, atalaia: Atalaia) -> None:
        self.atalaia = atalaia
        atalaia.roles = frozenset({"api", "predictor"})
        atalaia.entrance.start()
        atalaia.is_ready = True
        self.app = make_app(atalaia)
        self.front: ASGIApp = with_front(self.app, atalaia)
        with atalaia.database.write() as session:
            atalaia.entrance.users.add(session, "ada", PASSWORD, Role.ADMIN, "")

    def knock(self, method: str, path: str, body: Any = b"", role: Role | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if role is not None:
            sent["authorization"] = f"Bearer {self.token(role)}"
        return call(self.front, method, path, body, headers=sent)

    def token(self, role: Role) -> str:
        return self.atalaia.entrance.access.key.sign(f"service:{role}", role, 60)[0]


@pytest.fixture
def house(build_one: BuildOne) -> House:
    return House(build_one(**{"auth.mode": "on"}))


def code(answer: Answer) -> str:
    told = answer.json()
    return f"{answer.status} {told['code']}"


def paths(house: House) -> Iterator[tuple[str, str, str]]:
    for method, path, need, _ in doors_of(house.app):
        assert need is not None
        plain = path.replace(":path}", "}").replace(":ids}", "}").replace(":id}", "}")
        for name in ("series_id", "fleet_id", "name", "anomaly_id", "job_id", "wave_id", "token_id", "path"):
            plain = plain.replace(f"{{{name}}}", "x")
        yield method, plain.replace("{version}", "v1"), need.permission


def test_every_door_that_is_not_public_refuses_nobody_and_rubbish(house: House) -> None:
    kinds: list[tuple[dict[str, Any], str]] = [
        ({}, "unauthenticated"),
        ({"authorization": "Bearer x"}, "invalid_token"),
    ]
    for method, path, permission in paths(house):
        if permission != PUBLIC:
            for headers, told in kinds:
                answer = house.knock(method, path, {}, **headers)
                assert (answer.status, answer.json()["code"]) == (401, told), (method, path)
                assert answer.headers["www-authenticate"].startswith('Bearer realm="atalaia"'), (method, path)


@pytest.mark.parametrize("role", list(Role))
def test_every_door_refuses_roles_without_its_permission(house: House, role: Role) -> None:
    for method, path, permission in paths(house):
        answer = house.knock(method, path, {}, role)
        is_refused = answer.status == 403 and answer.json().get("code") == "forbidden"
        allowed = permission == PUBLIC or role in PERMISSIONS[permission]
        assert is_refused != allowed, (method, path, answer.status, answer.body[:200])
        assert answer.status != 401


def test_a_door_beside_the_router_is_not_found_rather_than_open(house: House) -> None:
    assert house.knock("GET", "/nothing").status == 404
    assert house.knock("GET", "/openapi.json").status == 200
    assert house.knock("GET", "/docs").status == 200


def test_a_login_by_form_or_by_json_gives_a_token(house: House) -> None:
    form = urlencode({"grant_type": "password", "username": "ada", "password": PASSWORD, "scope": ""}).encode()
    by_form = house.knock("POST", "/api/v1/auth/token", form, content_type="application/x-www-form-urlencoded")
    by_json = house.knock("POST", "/api/v1/auth/token", {"username": "ada", "password": PASSWORD})
    for answer in (by_form, by_json):
        told = answer.json()
        assert (answer.status, told["token_type"], told["role"]) == (200, "bearer", "admin")
        assert 800 < told["expires_in"] <= 900
        assert answer.headers["cache-control"] == "no-store"
        me = house.knock("GET", "/api/v1/auth/me", authorization=f"Bearer {told['access_token']}").json()
        assert (me["subject"], me["role"]) == ("ada", "admin")
        assert "admin.users" in me["permissions"]


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b"grant_type=client_credentials&username=a&password=b", "form", 422),
        (b"username=a", "form", 422),
        (b"username=a&username=b&password=c", "form", 422),
        (b"%ff=%ff", "form", 422),
        (b"\xff\xfe", "form", 422),
        (b"", "form", 422),
        (b"{}", "json", 422),
        (b"[", "json", 422),
        (b"", "json", 422),
        (b'{"username": 1, "password": "x"}', "json", 422),
        (b'{"username": "ada", "password": "x"}', "json", 401),
        (b'{"username": "' + b"x" * 20_000 + b'", "password": "x"}', "json", 413),
    ],
)
def test_a_login_that_is_none_is_refused(house: House, body: bytes, media: str, status: int) -> None:
    medias = {"form": "application/x-www-form-urlencoded", "json": "application/json"}
    answer = house.knock("POST", "/api/v1/auth/token", body, content_type=medias[media])
    assert answer.status == status, answer.body


def test_logins_are_limited_by_address(house: House) -> None:
    seen = {
        code(house.knock("POST", "/api/v1/auth/token", {"username": f"u{turn}", "password": "x"}))
        for turn in range(12)
    }
    assert seen == {"401 login_failed", "429 too_many_requests"}


def test_limits_are_told_in_the_headers(house: House) -> None:
    answer = house.knock("GET", "/api/v1/series", role=Role.VIEWER)
    assert answer.headers["ratelimit-policy"] == '"control-1";q=100;w=1, "control-60";q=3000;w=60'
    assert answer.headers["ratelimit"].startswith('"control-1";r=99;t=')


def test_an_admin_makes_lists_and_revokes_a_token_for_a_program(house: House) -> None:
    made = house.knock("POST", "/api/v1/auth/tokens", {"name": "grafana", "role": "viewer", "days": 7}, Role.ADMIN)
    told = made.json()
    assert (made.status, told["name"], told["role"]) == (201, "grafana", "viewer")
    assert made.headers["cache-control"] == "no-store"
    header: dict[str, Any] = {"authorization": f"Bearer {told['access_token']}"}
    assert house.knock("GET", "/api/v1/series", **header).status == 200
    listed = house.knock("GET", "/api/v1/auth/tokens", role=Role.ADMIN)
    assert told["access_token"] not in listed.body.decode()
    (row,) = listed.json()["items"]
    assert (row["name"], row["created_by"], row["revoked_at"]) == ("grafana", "service:admin", None)
    assert house.knock("DELETE", f"/api/v1/auth/tokens/{told['token_id']}", role=Role.ADMIN).status == 204
    assert code(house.knock("GET", "/api/v1/series", **header)) == "401 invalid_token"


def test_an_admin_keeps_users(house: House) -> None:
    new = {"name": "bob", "role": "viewer", "password": "another tall tower"}
    assert house.knock("POST", "/api/v1/auth/users", new, Role.ADMIN).status == 201
    assert code(house.knock("POST", "/api/v1/auth/users", new, Role.ADMIN)) == "409 user_exists"
    page = house.knock("GET", "/api/v1/auth/users?limit=1", role=Role.ADMIN).json()
    assert [user["name"] for user in page["items"]] == ["ada"]
    rest = house.knock("GET", f"/api/v1/auth/users?cursor={page['next']}", role=Role.ADMIN)
    assert [user["name"] for user in rest.json()["items"]] == ["bob"]
    assert "argon2" not in rest.body.decode()
    changed = house.knock("PATCH", "/api/v1/auth/users/bob", {"role": "ml_engineer"}, Role.ADMIN).json()
    assert changed["role"] == "ml_engineer"
    assert house.knock("DELETE", "/api/v1/auth/users/bob", role=Role.ADMIN).status == 204
    assert code(house.knock("PATCH", "/api/v1/auth/users/bob", {}, Role.ADMIN)) == "404 unknown_user"
    assert code(house.knock("DELETE", "/api/v1/auth/users/ada", role=Role.ADMIN)) == "409 last_admin"


def test_whoever_trains_may_not_promote_by_the_way(house: House) -> None:
    body = {"fleets": ["pumps"], "promote": True}
    assert code(house.knock("POST", "/api/v1/training/waves", body, Role.DATA_SCIENTIST)) == "403 forbidden"
    assert house.knock("POST", "/api/v1/training/waves", body, Role.ML_ENGINEER).status != 403


def test_everybody_changes_their_own_password(house: House) -> None:
    def login(password: str) -> Answer:
        return house.knock("POST", "/api/v1/auth/token", {"username": "ada", "password": password})

    header: dict[str, Any] = {"authorization": f"Bearer {login(PASSWORD).json()['access_token']}"}
    new = "eight taller towers"
    path = "/api/v1/auth/me/password"
    assert code(house.knock("PUT", path, {"old": "wrong", "new": new}, **header)) == "401 login_failed"
    assert code(house.knock("PUT", path, {"old": PASSWORD, "new": "short"}, **header)) == "422 weak_password"
    assert code(house.knock("PUT", path, {"old": "x", "new": new}, Role.AGENT)) == "401 login_failed"
    assert house.knock("PUT", path, {"old": PASSWORD, "new": new}, **header).status == 204
    assert code(house.knock("GET", "/api/v1/auth/me", **header)) == "401 invalid_token"
    assert login(new).status == 200


def test_a_large_body_is_not_read_of_somebody_unknown(house: House) -> None:
    chunks = [b"x" * 10_000] * 10
    for headers in ({}, {"authorization": "Bearer x"}):
        declared = {**headers, "content-length": "100000"}
        for sent in (declared, {**headers, "transfer-encoding": "chunked"}):
            answer = call(house.front, "PUT", "/api/v1/fleets/a", chunks=chunks, headers=sent)
            assert answer.status == 401
            assert answer.chunks_read == 0
            assert answer.headers["connection"] == "close"


def test_the_door_stays_shut_until_it_is_known_who_is_kept_out(
    build_one: BuildOne, monkeypatch: pytest.MonkeyPatch
) -> None:
    atalaia = build_one(**{"auth.mode": "on"})

    def down(*_: Any) -> None:
        raise Unavailable("database_unavailable", "gone")

    monkeypatch.setattr("atalaia.kit.auth.store.standing", down)
    with pytest.raises(Unavailable):
        atalaia.start(("api",))
    assert not atalaia.is_ready


def test_keys_are_published(house: House) -> None:
    (key,) = house.knock("GET", "/.well-known/jwks.json").json()["keys"]
    assert key["kid"] == house.atalaia.entrance.access.key.key_id
    assert "d" not in key


def test_without_authentication_anybody_is_everybody(build_one: BuildOne) -> None:
    atalaia = build_one()
    atalaia.roles = frozenset({"api", "predictor"})
    front = with_front(make_app(atalaia), atalaia)
    me = call(front, "GET", "/api/v1/auth/me").json()
    assert (me["subject"], me["role"], me["expires_at"]) == ("", "admin", None)
    answer = call(front, "POST", "/api/v1/auth/token", {"username": "ada", "password": PASSWORD})
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "auth_off")
    assert "ratelimit" not in answer.headers
