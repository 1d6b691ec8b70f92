"""What one process alone does at a time: leases with the name of their owner, who may be known to be gone.

A lease is a row. Its owner renews it; when it does not, or its process is gone, another takes over. Clocks of
different machines may differ by less than a lease.
"""

import os
import socket
import time

import structlog
from sqlalchemy import BigInteger, String, select
from sqlalchemy.orm import Mapped, mapped_column

from atalaia.core.clock import MICROS, now_us
from atalaia.core.ids import new_id
from atalaia.kit.database import Database, Table, insert_missing

_log = structlog.get_logger(__name__)

_PROCESS = new_id("own")
"""Tells this process from an earlier one with the same number, as a container that starts again has it."""


class LeaseRow(Table):
    """Who does one thing, and until when nobody else may."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(128))
    until: Mapped[int] = mapped_column(BigInteger)


class Lease:
    """The right to do one thing alone.

    Parameters
    ----------
    name
        What is done; the same in all processes.
    lease_s
        How long the right lasts when its owner falls silent.
    owner
        Who asks; by default this process, so that all who ask in it share the right.
    """

    def __init__(self, database: Database, name: str, *, lease_s: float = 15.0, owner: str | None = None) -> None:
        self._database = database
        self._name = name
        self._lease_s = lease_s
        self._owner = owner or f"{_host()}:{os.getpid()}:{_PROCESS}:{_PROCESS}"
        self._renew_at = 0.0

    def held(self) -> bool:
        """Take the lease, or renew it when a third of it has passed; return whether it is ours.

        Raises
        ------
        Unavailable
            When the database cannot be asked. Whoever asks must not act then.
        """
        if time.monotonic() < self._renew_at:
            return True
        self._renew_at = 0.0
        asked_at = time.monotonic()
        with self._database.read() as session:  # those who wait disturb nobody
            row = session.get(LeaseRow, self._name)
        if row is not None and not self._may_take(row):
            return False
        with self._database.write() as session:
            none = {"name": self._name, "owner": "", "until": 0}
            insert_missing(session, LeaseRow, [none], ("name",))
            row = session.scalars(select(LeaseRow).where(LeaseRow.name == self._name).with_for_update()).one()
            if not self._may_take(row):
                return False
            if row.owner != self._owner:
                _log.info("leading", what=self._name, before=row.owner)
            row.owner, row.until = self._owner, now_us() + int(self._lease_s * MICROS)
        self._renew_at = asked_at + self._lease_s / 3
        return True

    def release(self) -> None:
        """Let another process take over at once. Never raises."""
        self._renew_at = 0.0
        try:
            with self._database.read() as session:
                row = session.get(LeaseRow, self._name)
            if row is None or row.owner != self._owner or not row.until:
                return
            with self._database.write() as session:
                row = session.scalar(select(LeaseRow).where(LeaseRow.name == self._name).with_for_update())
                if row is not None and row.owner == self._owner:
                    row.until = 0
        except Exception as error:  # it ends by itself
            _log.info("lease_not_released", what=self._name, error=str(error)[:200])

    def _may_take(self, row: LeaseRow) -> bool:
        return row.owner == self._owner or row.until <= now_us() or is_gone(row.owner)


def owner_name() -> str:
    """Return a name that no other owner has or will have."""
    return f"{_host()}:{os.getpid()}:{_PROCESS}:{new_id('own')}"


def is_gone(owner: str) -> bool:
    """Return whether the owner of that name ran here, in a process that is gone; False if nobody knows."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != _host() or not parts[1].isdecimal() or len(parts[1]) > 9:
        return False
    if int(parts[1]) == os.getpid():
        return parts[2] != _PROCESS
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return socket.gethostname()[:60]
