"""Every door says whom it is for, and what it says is in the table."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI

from atalaia.app.build import Atalaia, build
from atalaia.app.server import hot_routes, make_app
from atalaia.app.settings import Settings
from atalaia.kit.auth.permissions import ABOUT_ROLE, PERMISSIONS, PERMISSIONS_OF, PUBLIC, Role, needs
from atalaia.kit.auth.routes import doors_of
from tests.house.source import read

PUBLIC_DOORS = {
    "GET /",
    "GET /docs",
    "GET /.well-known/jwks.json",
    "GET /api/v1/liveness",
    "GET /api/v1/readiness",
    "GET /v1/{path}",
    "GET /v2/health/live",
    "GET /v2/health/ready",
    "GET /v2/{path}",
    "POST /api/v1/auth/token",
    "POST /v1/{path}",
    "POST /v2/{path}",
}
"""All doors that ask nobody who they are; those of a whole tree answer only that there is nothing."""


@pytest.fixture(scope="module")
def atalaia(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Atalaia]:
    atalaia = build(Settings(data_dir=tmp_path_factory.mktemp("data")))
    atalaia.roles = frozenset({"api", "predictor"})
    yield atalaia
    atalaia.close()


def silent_doors(app: FastAPI) -> list[str]:
    return [f"{method} {path} declares no permission" for method, path, need, _ in doors_of(app) if need is None]


def test_every_route_declares_one_permission(atalaia: Atalaia) -> None:
    app = make_app(atalaia)
    assert len(list(doors_of(app))) > 50
    assert silent_doors(app) == []


def test_every_hot_door_declares_one_permission(atalaia: Atalaia) -> None:
    routes = hot_routes(atalaia)
    assert routes
    assert [route.pattern for route in routes if route.permission not in PERMISSIONS] == []


def test_a_hot_door_needs_what_its_documentation_says(atalaia: Atalaia) -> None:
    documented = {
        (m, p.replace(":ids}", "}").replace(":id}", "}")): n for m, p, n, _ in doors_of(make_app(atalaia))
    }
    for route in hot_routes(atalaia):
        need = documented[route.method, route.route]
        assert need is not None
        assert need.permission == route.permission


def test_only_these_doors_are_public(atalaia: Atalaia) -> None:
    public = {
        f"{method} {path.replace(':path}', '}')}"
        for method, path, need, _ in doors_of(make_app(atalaia))
        if need is not None and need.permission == PUBLIC
    }
    assert public == PUBLIC_DOORS


def test_every_permission_is_needed_by_a_door(atalaia: Atalaia) -> None:
    needed = {need.permission for *_, need, _ in doors_of(make_app(atalaia)) if need}
    assert PERMISSIONS.keys() - needed == set()


def test_the_roles_of_people_grow() -> None:
    people = [Role.VIEWER, Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.ADMIN]
    for weaker, stronger in zip(people, people[1:], strict=False):
        assert PERMISSIONS_OF[weaker] < PERMISSIONS_OF[stronger]
    assert PERMISSIONS_OF[Role.ADMIN] == PERMISSIONS.keys()
    assert PERMISSIONS_OF[Role.AGENT] == {"self.read", "points.write"}


def test_the_document_says_what_every_operation_needs(atalaia: Atalaia) -> None:
    document = make_app(atalaia).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            where = f"{method.upper()} {path}"
            assert (operation["x-permission"] == PUBLIC) == (where in PUBLIC_DOORS), where
            assert bool(operation["security"]) == (where not in PUBLIC_DOORS), where
            assert {"401", "403"} <= operation["responses"].keys() or where in PUBLIC_DOORS, where


def test_the_guide_has_the_table_of_roles() -> None:
    guide = read("docs/guides/security.md")
    roles = [f"| `{role}` | {about} |" for role, about in ABOUT_ROLE.items()]
    rows = [f"| `{name}` | {', '.join(f'`{role}`' for role in roles)} |" for name, roles in PERMISSIONS.items()]
    assert [row for row in roles + rows if row not in guide] == []


def test_a_silent_door_is_caught() -> None:
    router = APIRouter(prefix="/x")

    @router.get("/loud")
    @needs("points.read")
    def loud() -> None: ...

    @router.get("/silent")
    def silent() -> None: ...

    app = FastAPI(openapi_url=None)
    app.include_router(router)
    assert silent_doors(app) == ["GET /x/silent declares no permission"]


def test_a_door_cannot_need_two_things_or_one_that_there_is_not() -> None:
    def door() -> None: ...

    needs("points.read")(door)
    with pytest.raises(AssertionError):
        needs("points.write")(door)
    with pytest.raises(AssertionError):
        needs("points.eat")


def test_settings_leave_the_door_closed_by_default() -> None:
    assert Settings(data_dir=Path("x")).auth.mode == "off"
