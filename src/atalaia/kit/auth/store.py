"""Tables of users and tokens, and every query on them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, Boolean, String, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.kit.auth.permissions import Role
from atalaia.kit.database import Table, upsert


class UserRow(Table):
    """A local user. Tokens from before `valid_from` are refused."""

    __tablename__ = "users"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    password_hash: Mapped[str] = mapped_column(String(256))
    role: Mapped[str] = mapped_column(String(32))
    is_disabled: Mapped[bool] = mapped_column(Boolean)
    valid_from: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger)


class ServiceTokenRow(Table):
    """A token that was made for a program; of the token itself nothing is kept."""

    __tablename__ = "service_tokens"

    token_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    role: Mapped[str] = mapped_column(String(32))
    created_by: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[int] = mapped_column(BigInteger)


class RevokedTokenRow(Table):
    """A token that is refused although it has not expired."""

    __tablename__ = "revoked_tokens"

    token_id: Mapped[str] = mapped_column(String(256), primary_key=True)
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    revoked_at: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts of users and tokens beside what the tokens say.

    Attributes
    ----------
    revoked
        Ids of tokens that are refused.
    valid_from
        Of every enabled user, the moment before which no token counts.
    """

    revoked: frozenset[str]
    valid_from: dict[str, int]


def standing(session: Session, now: int) -> Standing:
    """Return what counts at a moment."""
    revoked = session.scalars(select(RevokedTokenRow.token_id).where(RevokedTokenRow.expires_at > now))
    users = session.execute(select(UserRow.name, UserRow.valid_from).where(UserRow.is_disabled.is_(False)))
    return Standing(frozenset(revoked), dict(users.tuples().all()))


def users(session: Session, after: str, limit: int) -> Sequence[UserRow]:
    """Return users in order of name."""
    return session.scalars(select(UserRow).where(UserRow.name > after).order_by(UserRow.name).limit(limit)).all()


def other_admins(session: Session, name: str) -> int:
    """Return how many enabled admins there are beside one user."""
    admins = select(func.count()).where(UserRow.role == Role.ADMIN, UserRow.is_disabled.is_(False))
    return session.scalar(admins.where(UserRow.name != name)) or 0


def service_tokens(session: Session, before: str, limit: int) -> Sequence[tuple[ServiceTokenRow, int | None]]:
    """Return service tokens, newest first, and when each was revoked."""
    query = (
        select(ServiceTokenRow, RevokedTokenRow.revoked_at)
        .outerjoin(RevokedTokenRow, RevokedTokenRow.token_id == ServiceTokenRow.token_id)
        .order_by(ServiceTokenRow.token_id.desc())
        .limit(limit)
    )
    if before:
        query = query.where(ServiceTokenRow.token_id < before)
    return session.execute(query).tuples().all()


def revoke(session: Session, token_id: str, expires_at: int, now: int) -> None:
    """Refuse a token from now on, and forget those that have expired by themselves."""
    session.execute(delete(RevokedTokenRow).where(RevokedTokenRow.expires_at < now))
    row = {"token_id": token_id, "expires_at": expires_at, "revoked_at": now}
    upsert(session, RevokedTokenRow, [row], ["token_id"])
