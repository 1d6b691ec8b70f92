"""Local users and tokens: logins, and everything that admins do about access."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Conflict, Denied, Fault, Invalid, Missing
from atalaia.kit.auth import store
from atalaia.kit.auth.access import Access
from atalaia.kit.auth.passwords import MAX_LENGTH, check_password, hashed, is_password
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.ports import AuditSink
from atalaia.kit.auth.principals import Principal
from atalaia.kit.auth.store import ServiceTokenRow, UserRow
from atalaia.kit.auth.throttle import Throttle
from atalaia.kit.database import Database, after_commit
from atalaia.kit.telemetry import Telemetry

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._-]{0,127}")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Issued:
    """A token that was just made: the only moment at which it can be seen."""

    token: str
    token_id: str
    subject: str
    role: Role
    until_us: int


class Users:
    """What is done about users and tokens. `audit` is told of all of it."""

    def __init__(self, database: Database, access: Access, audit: AuditSink, telemetry: Telemetry) -> None:
        self.database = database
        self._access = access
        self._settings = access.settings
        self._audit = audit
        self._telemetry = telemetry
        self._throttle = Throttle()

    def login(self, name: str, password: str, address: str) -> Issued:
        """Return a token for a user who knows the password.

        Raises
        ------
        Denied
            ``login_failed``, whatever was wrong.
        Busy
            ``too_many_logins``.
        """
        row = self._known(name, password, address)
        role = Role(row.role)
        token, token_id, until = self._access.key.sign(row.name, role, self._settings.token_minutes * 60)
        self._audit.note("login", row.name, row.name, {"address": address, "token_id": token_id})
        return Issued(token, token_id, row.name, role, until)

    def _known(self, name: str, password: str, address: str) -> UserRow:
        """Return the user who knows the password. No transaction is open while it is checked, which takes long."""
        known = name if len(name) <= 128 else ""
        self._throttle.check(known, address)
        with self.database.read() as session:
            row = session.get(UserRow, known)
        is_right = is_password(password[:MAX_LENGTH], row.password_hash if row else None)
        if row is None or not is_right or row.is_disabled:
            self._throttle.failed(known, address)
            self._telemetry.count("login_failures_total")
            self._audit.note("login_failed", "", known, {"address": address})
            raise Denied("login_failed", "name or password is wrong, or this is no local user")
        self._throttle.succeeded(known, address)
        return row

    def add(self, session: Session, name: str, password: str, role: Role, actor: str) -> UserRow:
        """Add a user.

        Raises
        ------
        Invalid
            ``invalid_name`` or ``weak_password``.
        Conflict
            ``user_exists``.
        """
        _check_name(name)
        check_password(password, name, self._settings.min_password_length)
        if session.get(UserRow, name) is not None:
            raise Conflict("user_exists", f"there is a user {name} already")
        now = now_us()
        row = UserRow(
            name=name,
            password_hash=hashed(password),
            role=role.value,
            is_disabled=False,
            valid_from=now,
            created_at=now,
        )
        session.add(row)
        self._changed(session, "user_added", actor, name, role=role.value)
        return row

    def change(
        self,
        session: Session,
        name: str,
        actor: str,
        *,
        role: Role | None = None,
        password: str | None = None,
        is_disabled: bool | None = None,
    ) -> UserRow:
        """Change a user. All tokens that the user has are refused from now on.

        Raises
        ------
        Missing
            ``unknown_user``.
        Conflict
            ``last_admin`` when nobody would be left to undo it.
        """
        row = self._user(session, name)
        before = (row.role, row.is_disabled, row.password_hash)
        if is_disabled or (role or Role.ADMIN) is not Role.ADMIN:
            self._keep_an_admin(session, row)
        if password is not None:
            check_password(password, name, self._settings.min_password_length)
            row.password_hash = hashed(password)
            self._changed(session, "password_changed", actor, name)
        if role is not None and role.value != row.role:
            self._changed(session, "role_changed", actor, name, before=row.role, role=role.value)
            row.role = role.value
        if is_disabled is not None and is_disabled != row.is_disabled:
            self._changed(session, "user_disabled" if is_disabled else "user_enabled", actor, name)
            row.is_disabled = is_disabled
        if before != (row.role, row.is_disabled, row.password_hash):
            row.valid_from = now_us()
        return row

    def change_own_password(self, name: str, old: str, new: str, address: str) -> None:
        """Change a password for whoever knows the old one; all tokens from before are refused, as `change` does.

        Raises
        ------
        Denied
            ``login_failed`` when the old one is wrong, or the caller is no local user.
        """
        _ = self._known(name, old, address)
        with self.database.write() as session:
            self.change(session, name, name, password=new)

    def remove(self, session: Session, name: str, actor: str) -> None:
        """Remove a user, as `change` disables one."""
        row = self._user(session, name)
        self._keep_an_admin(session, row)
        session.delete(row)
        self._changed(session, "user_removed", actor, name)

    def list(self, session: Session, after: str, limit: int) -> Sequence[UserRow]:
        """Return users in order of name."""
        return store.users(session, after, limit)

    def make_token(self, session: Session, name: str, role: Role, days: float, actor: Principal) -> Issued:
        """Make a token for a program.

        Raises
        ------
        Invalid
            ``invalid_name``, or ``token_too_long``.
        """
        _check_name(name)
        most = self._settings.max_service_token_days
        if not 0 < days <= most:
            fault = Fault("/days", f"more than 0, at most {most:g}")
            raise Invalid("token_too_long", f"a token may be good for at most {most:g} days", faults=[fault])
        subject = f"service:{name}"
        token, token_id, until = self._access.key.sign(subject, role, days * _DAY_S)
        now = now_us()
        session.add(
            ServiceTokenRow(
                token_id=token_id,
                name=name,
                role=role.value,
                created_by=actor.subject,
                created_at=now,
                expires_at=until,
            )
        )
        self._changed(session, "token_issued", actor.subject, subject, role=role.value, token_id=token_id)
        return Issued(token, token_id, subject, role, until)

    def tokens(self, session: Session, before: str, limit: int) -> Sequence[tuple[ServiceTokenRow, int | None]]:
        """Return the tokens of programs, newest first, and when each was revoked."""
        return store.service_tokens(session, before, limit)

    def revoke(self, session: Session, token_id: str, actor: str) -> None:
        """Refuse a token from now on; one that is not of a program is refused for the longest that it can last.

        Raises
        ------
        Invalid
            ``invalid_name`` when this cannot be the id of a token.
        """
        if not 0 < len(token_id) <= 256:
            raise Invalid("invalid_name", "the id of a token has 1 to 256 characters")
        row = session.get(ServiceTokenRow, token_id)
        now = now_us()
        longest = now + int(self._settings.max_service_token_days * _DAY_S * MICROS)
        store.revoke(session, token_id, row.expires_at if row else longest, now)
        self._changed(session, "token_revoked", actor, f"service:{row.name}" if row else "", token_id=token_id)

    def _user(self, session: Session, name: str) -> UserRow:
        row = session.get(UserRow, name)
        if row is None:
            raise Missing("unknown_user", f"there is no user {name[:128]}")
        return row

    def _keep_an_admin(self, session: Session, row: UserRow) -> None:
        is_admin = row.role == Role.ADMIN.value and not row.is_disabled
        if is_admin and not store.other_admins(session, row.name):
            raise Conflict("last_admin", f"{row.name} is the only admin; make another first")

    def _changed(self, session: Session, action: str, actor: str, subject: str, **detail: str) -> None:
        self._audit.write(session, action, actor, subject, detail)
        after_commit(session, self._access.refresh)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        reason = "1 to 128 letters, digits, or any of @ . _ - behind the first"
        raise Invalid("invalid_name", f"{name[:40]!r} cannot be a name: {reason}", faults=[Fault("/name", reason)])
