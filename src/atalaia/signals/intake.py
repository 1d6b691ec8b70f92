"""The intake: points of many requests become durable together.

Requests wait in a queue that is bounded in bytes; one thread takes all that wait, keeps them in one transaction and
one batch, and then each is answered. A request that cannot be kept fails alone; nothing of it stays. When the disk
or the database fails, all that were taken together are told so, and nothing of them was kept.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import structlog
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from atalaia.core.errors import AtalaiaError, Broken, Busy, Unavailable
from atalaia.core.points import NumberArray, Points
from atalaia.kit.database import Database, after_commit, savepoint
from atalaia.kit.postgres import Collided
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.history import History

_TOGETHER_POINTS = 500_000
_ERASED = "series_erased"
POINT_BYTES = 24
"""Memory of a point that waits."""
_log = structlog.get_logger(__name__)
Kept = dict[str, Any]
"""What a request is told once its points are durable."""


@dataclass(slots=True)
class Delivery:
    """Points on their way into history.

    Attributes
    ----------
    prepare
        Returns the points by number and what their sender is told, in the transaction that keeps them; None instead
        of points when they were kept before.
    nbytes
        Memory that it holds while it waits.
    can_fail
        Whether `prepare` may refuse, or changes anything itself.
    """

    prepare: Callable[[Session], tuple[Points | None, Kept]]
    nbytes: int
    can_fail: bool
    done: Future[Kept] = field(default_factory=Future[Kept])


_Together = tuple[list[tuple[Delivery, Kept]], list[tuple[Delivery, AtalaiaError]], int]
"""What each delivery is told, which are refused and why, and how many points were kept."""


class Intake:
    """Keeps what is delivered.

    Parameters
    ----------
    max_bytes
        What may wait; a delivery beyond is told to come again.
    kept
        Called once points are durable, with their number.
    """

    def __init__(
        self,
        database: Database,
        history: History,
        telemetry: Telemetry,
        max_bytes: int,
        kept: Callable[[], None],
        catalogue: Catalogue,
    ) -> None:
        self._database = database
        self._history = history
        self._telemetry = telemetry
        self._max_bytes = max_bytes
        self._kept = kept
        self._catalogue = catalogue
        self._waiting: deque[Delivery] = deque()
        self._nbytes = 0
        self._changed = threading.Condition()
        self._is_open = True
        self._thread: threading.Thread | None = None
        telemetry.gauge("intake_bytes", lambda: self._nbytes)

    def submit(self, delivery: Delivery) -> Future[Kept]:
        """Queue a delivery; its future ends once it is durable, or refused.

        Raises
        ------
        Busy, Unavailable
            When too much waits, or the service is stopping.
        """
        with self._changed:
            if not self._is_open:
                raise Unavailable("not_ready", "the service is stopping; send it again", retry_after_s=1)
            if self._nbytes + delivery.nbytes > self._max_bytes and self._nbytes:
                detail = "more points are waiting to be kept than memory is set aside for; send them again"
                raise Busy("too_many_points_waiting", detail, retry_after_s=1)
            self._waiting.append(delivery)
            self._nbytes += delivery.nbytes
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="atalaia-intake", daemon=True)
                self._thread.start()
            self._changed.notify()
        return delivery.done

    async def keep(self, delivery: Delivery) -> Kept:
        """Queue a delivery, and wait for its end without blocking the event loop."""
        return await asyncio.wrap_future(self.submit(delivery))

    def stop(self, timeout_s: float = 10.0) -> None:
        """Take nothing more, and keep what waits."""
        with self._changed:
            self._is_open = False
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and self._is_open:
                    self._changed.wait()
                if not self._waiting:
                    return
                together = self._take()
            if not together:
                continue
            try:
                self._keep(together)
            except BaseException as error:
                known = error if isinstance(error, AtalaiaError) else _broken()
                for delivery in together:
                    if not delivery.done.done():
                        delivery.done.set_exception(known)
            finally:
                with self._changed:
                    self._nbytes -= sum(delivery.nbytes for delivery in together)

    def _take(self) -> list[Delivery]:
        """Take what is kept together; from here on nobody can cancel it, so that each can be answered."""
        together: list[Delivery] = []
        size = 0
        while self._waiting and (not together or size + self._waiting[0].nbytes <= POINT_BYTES * _TOGETHER_POINTS):
            delivery = self._waiting.popleft()
            if delivery.done.set_running_or_notify_cancel():
                together.append(delivery)
                size += delivery.nbytes
            else:  # its sender did not wait
                self._nbytes -= delivery.nbytes
        return together

    def _keep(self, together: list[Delivery]) -> None:
        told, refused, points = self._database.transact(lambda session: self._kept_in(session, together))
        if points:
            self._telemetry.count("points_received_total", by=points)
        for delivery, error in refused:
            delivery.done.set_exception(error)
        for delivery, answer in told:
            delivery.done.set_result(answer)

    def _kept_in(self, session: Session, together: list[Delivery]) -> _Together:
        told: list[tuple[Delivery, Kept]] = []
        refused: list[tuple[Delivery, AtalaiaError]] = []
        parts: list[Points] = []
        erased = cache(lambda: self._catalogue.erased(session))  # asked once there are points
        for delivery in together:
            try:
                points, answer = _prepared(session, delivery, erased)
            except Exception as error:
                if _is_of_all(error):
                    raise
                refused.append((delivery, error if isinstance(error, AtalaiaError) else _broken()))
                continue
            told.append((delivery, answer))
            if points is not None and len(points):
                parts.append(points)
        if parts:
            self._history.append(session, Points.concat(parts) if len(parts) > 1 else parts[0])
            after_commit(session, self._kept)
            if not self._database.is_sqlite:  # there a series may have been erased since; from here on none is
                looked = erased()
                if len(self._catalogue.erased(session)) != len(looked):
                    raise Collided("database_busy", "a series was erased meanwhile")
        return told, refused, sum(map(len, parts))


def _prepared(
    session: Session, delivery: Delivery, erased: Callable[[], NumberArray]
) -> tuple[Points | None, Kept]:
    if not delivery.can_fail:
        return _checked(delivery.prepare(session), erased)
    with savepoint(session):
        prepared = _checked(delivery.prepare(session), erased)
        session.flush()
        return prepared


def _checked(prepared: tuple[Points | None, Kept], erased: Callable[[], NumberArray]) -> tuple[Points | None, Kept]:
    """Return what was prepared, unless it would bring a series back that was erased after its number was learnt."""
    points = prepared[0]
    if points is not None and len(gone := erased()) and bool(np.isin(points.series, gone).any()):
        detail = "a series among them was erased a moment ago; send them again, and it is a new one"
        raise Unavailable(_ERASED, detail, retry_after_s=1)
    return prepared


def _is_of_all(error: Exception) -> bool:
    """Say whether an error is of the database or the disk, and so of all that are kept together."""
    is_database = isinstance(error, SQLAlchemyError) and not isinstance(error, IntegrityError | DataError)
    return is_database or (isinstance(error, Unavailable) and error.code != _ERASED)


def _broken() -> Broken:
    _log.exception("intake_failed")
    return Broken("internal_error", "something broke inside; the log has the details")
