"""What the tests of access share: users and tokens over a database in a folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from atalaia.kit.auth.access import Access
from atalaia.kit.auth.settings import AuthSettings
from atalaia.kit.auth.users import Users
from atalaia.kit.database import Database, after_commit
from atalaia.kit.telemetry import Telemetry
from tests.kit.auth.tokens import ISSUER, Issuer

PASSWORD = "seven tall towers"
Noted = list[tuple[str, str, str, Mapping[str, Any]]]


class Audit:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.noted: Noted = []

    def note(self, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        self.noted.append((action, actor, subject, detail))

    def write(self, session: Session, action: str, actor: str, subject: str, detail: Mapping[str, Any]) -> None:
        after_commit(session, lambda: self.note(action, actor, subject, detail))

    @property
    def actions(self) -> list[str]:
        return [action for action, *_ in self.noted]


@pytest.fixture
def audit() -> Audit:
    return Audit()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def open_access(database: Database, tmp_path: Path, telemetry: Telemetry, issuer: Issuer) -> Callable[..., Access]:
    """Return how access is opened, with other settings if need be."""

    def access_with(**settings: Any) -> Access:
        told = AuthSettings.model_validate({"mode": "on", "issuer": ISSUER, **settings})
        access = Access(database, told, tmp_path, telemetry, issuer)
        access.refresh()
        return access

    return access_with


@pytest.fixture
def access(open_access: Callable[..., Access]) -> Access:
    return open_access()


@pytest.fixture
def users(database: Database, access: Access, audit: Audit, telemetry: Telemetry) -> Users:
    return Users(database, access, audit, telemetry)
