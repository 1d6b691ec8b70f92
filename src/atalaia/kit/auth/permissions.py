"""What a caller may do: one table of permissions and the roles that have them.

Every door declares exactly one permission, or that it is public: a route of FastAPI by `needs`, a hot one by its
field. A door that declares nothing is open to nobody.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from atalaia.core.errors import Fault, Invalid

F = TypeVar("F", bound=Callable[..., Any])


class Role(StrEnum):
    """What a person or a program is to Atalaia."""

    VIEWER = "viewer"
    DATA_SCIENTIST = "data_scientist"
    ML_ENGINEER = "ml_engineer"
    ADMIN = "admin"
    AGENT = "agent"
    PREDICTOR = "predictor"


ABOUT_ROLE: dict[Role, str] = {
    Role.VIEWER: "reads everything but users and the audit log",
    Role.DATA_SCIENTIST: "also trains, asks for scores, and says what an anomaly was worth",
    Role.ML_ENGINEER: "also promotes, rolls back, reloads, cancels, and brings points",
    Role.ADMIN: "everything",
    Role.AGENT: "a program that brings points, and nothing else",
    Role.PREDICTOR: "a program that asks for scores, and nothing else",
}
_V, _D, _M, _A = Role.VIEWER, Role.DATA_SCIENTIST, Role.ML_ENGINEER, Role.ADMIN
PUBLIC = "public"
"""What doors declare that ask nobody who they are."""
PERMISSIONS: dict[str, tuple[Role, ...]] = {
    "self.read": (*Role,),
    "system.read": (_V, _D, _M, _A),
    "metrics.read": (_V, _D, _M, _A),
    "points.read": (_V, _D, _M, _A),
    "points.write": (_M, _A, Role.AGENT),
    "series.read": (_V, _D, _M, _A),
    "series.write": (_M, _A),
    "anomalies.read": (_V, _D, _M, _A),
    "anomalies.judge": (_D, _M, _A),
    "events.read": (_V, _D, _M, _A),
    "events.write": (_M, _A),
    "predict": (_D, _M, _A, Role.PREDICTOR),
    "models.read": (_V, _D, _M, _A, Role.PREDICTOR),
    "models.train": (_D, _M, _A),
    "models.promote": (_M, _A),
    "models.reload": (_M, _A),
    "jobs.read": (_V, _D, _M, _A),
    "jobs.cancel": (_M, _A),
    "audit.read": (_A,),
    "privacy.erase": (_A,),
    "admin.users": (_A,),
}
PERMISSIONS_OF: dict[Role, frozenset[str]] = {
    role: frozenset(name for name, roles in PERMISSIONS.items() if role in roles) for role in Role
}
STRENGTH: tuple[Role, ...] = (_A, _M, _D, _V, Role.PREDICTOR, Role.AGENT)
"""Of several roles that a token names, the first of these counts."""
_LIMIT_OF = {"predict": "predict", "points.write": "ingest"}
_MARK = "atalaia_permission"


@dataclass(frozen=True, slots=True)
class Needed:
    """What a door needs: a permission, and whose rate limit it takes from."""

    permission: str
    limit: str


def limit_of(permission: str) -> str:
    """Return the class of rate limits that doors with this permission take from."""
    return _LIMIT_OF.get(permission, "control")


def needs(permission: str, *, limit: str | None = None) -> Callable[[F], F]:
    """Declare what a door needs; it stands directly above the function."""
    assert permission == PUBLIC or permission in PERMISSIONS, permission

    def mark(door: F) -> F:
        assert not hasattr(door, _MARK), "a door needs exactly one permission"
        setattr(door, _MARK, Needed(permission, limit or limit_of(permission)))
        return door

    return mark


def parse_role(text: str) -> Role:
    """Return the role of this name.

    Raises
    ------
    Invalid
        ``invalid_name``.
    """
    try:
        return Role(text)
    except ValueError:
        reason = f"there is no role {text[:40]!r}; choose from {', '.join(Role)}"
        raise Invalid("invalid_name", reason, faults=[Fault("/role", reason)]) from None


def needed_by(door: object) -> Needed | None:
    """Return what a door declared, None if it said nothing."""
    return getattr(door, _MARK, None)
