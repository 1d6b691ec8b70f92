"""Who is calling, once it is known."""

from dataclasses import dataclass

from atalaia.kit.auth.permissions import PERMISSIONS_OF, Role


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified, or anybody while authentication is off.

    Attributes
    ----------
    subject
        A user's name, ``service:name`` of a service token, ``oidc:sub`` of a foreign one; empty for anybody.
    token_id
        The ``jti`` of the token, empty without one.
    until_us
        When the token ends, in microseconds since the epoch.
    """

    subject: str
    role: Role
    permissions: frozenset[str]
    token_id: str = ""
    until_us: int = 1 << 62

    @staticmethod
    def of(subject: str, role: Role, *, token_id: str = "", until_us: int = 1 << 62) -> "Principal":
        """Return a caller with a role."""
        return Principal(subject, role, PERMISSIONS_OF[role], token_id, until_us)


ANYBODY = Principal.of("", Role.ADMIN)
"""The caller while authentication is off."""
