"""Whoever deletes objects for good, and whoever replaces all of them, take turns."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from atalaia.core.errors import Unavailable
from atalaia.kit.blobs.renewal import unheard
from atalaia.kit.database import Database
from atalaia.kit.leases import Lease, owner_name

_LEASE_S = 120.0
"""Longer than any call of a store, so that nobody who has the turn is at an object when it ends."""
_POLL_S = 0.5
_WAIT_S = 1_800.0


@contextmanager
def alone(
    database: Database, waiting: Callable[[], object] = unheard, *, wait_s: float = _WAIT_S
) -> Generator[Callable[[], None]]:
    """Wait for the turn, and yield what to call before each object.

    Parameters
    ----------
    waiting
        Called now and then for as long as another has the turn.

    Raises
    ------
    Unavailable
        ``store_busy`` when another keeps the turn, or has taken it because we fell silent.
    """
    lease = Lease(database, "objects", lease_s=_LEASE_S, owner=owner_name())
    until = time.monotonic() + wait_s

    def go_on() -> None:
        if not lease.held():
            raise _busy()

    while not lease.held():
        if time.monotonic() >= until:
            raise _busy()
        waiting()
        time.sleep(_POLL_S)
    try:
        yield go_on
    finally:
        lease.release()


def _busy() -> Unavailable:
    detail = "an erasure deletes objects, or a rotation of keys replaces them; try again when it has ended"
    return Unavailable("store_busy", detail, retry_after_s=30)
