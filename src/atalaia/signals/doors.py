"""Hot doors of signals: points, as JSON or as an Arrow stream."""

from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import AtalaiaError, Fault, Invalid
from atalaia.core.points import MAX_MAGNITUDE, NumberArray, Points
from atalaia.kit.arrow_stream import ARROW, points_from_stream
from atalaia.kit.idempotency import once
from atalaia.kit.web.doors import Answer, Call, HotRoute, json_answer, problem
from atalaia.kit.web.hot import LARGE_BYTES, in_thread_of
from atalaia.kit.web.wire import Body
from atalaia.signals.ingest import Batch, check_count, parse_points
from atalaia.signals.intake import POINT_BYTES, Delivery, Kept
from atalaia.signals.service import Signals

POINTS = "/api/v1/points"
_UNTOLD = ("", "text/plain", "application/x-www-form-urlencoded", "application/octet-stream")
"""What tools send that were not told which type a body has."""


class PointDoors:
    """Points come in here."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def routes(self) -> list[HotRoute]:
        """Return where the doors stand."""
        return [HotRoute("POST", POINTS, POINTS, self.points, "points.write", refuse=self._refuse)]

    async def points(self, call: Call) -> Answer:
        """Keep points. The answer comes once they are durable; the same point twice is kept once, the last wins."""
        work = self._delivery
        delivery = await in_thread_of(work, call) if len(call.body) > LARGE_BYTES else work(call)
        return json_answer(await self._signals.intake.keep(delivery))

    def _delivery(self, call: Call) -> Delivery:
        settings = self._signals.settings
        batch = _from_arrow(call.body, self._signals) if _is_arrow(call) else parse_points(call.body, settings)
        if self._signals.privacy.hides_ids and batch.numbers is None:
            batch = replace(batch, series_ids=self._signals.privacy.series_ids(batch.series_ids))
        key = call.header(b"idempotency-key") or None
        if key is not None and len(key) > 256:
            fault = Fault("/headers/idempotency-key", "at most 256 characters")
            raise Invalid("invalid_request", "the Idempotency-Key is too long", faults=[fault])
        nbytes = len(batch) * POINT_BYTES
        numbers = self._signals.catalogue.known(batch.series_ids) if batch.numbers is None else None
        if numbers is not None and key is None:
            points = Points(
                numbers if batch.indexes is None else numbers[batch.indexes], batch.timestamps, batch.values
            )
            return Delivery(lambda session: (points, _accepted(points.series, 0)), nbytes, can_fail=False)
        return Delivery(
            lambda session: self._prepare(session, batch, key, call.body), nbytes + len(call.body), True
        )

    def _prepare(self, session: Session, batch: Batch, key: str | None, body: Body) -> tuple[Points | None, Kept]:
        fresh: list[Points] = []

        def act() -> dict[str, Any]:
            points, created = self._signals.numbered(session, batch)
            fresh.append(points)
            return _accepted(points.series, created)

        answer = once(session, key, "POST /points", body, act)
        return (fresh[0] if fresh else None), answer

    def _refuse(self, error: AtalaiaError, call: Call) -> Answer:
        self._signals.telemetry.count("points_refused_total", error.code)
        return problem(error, call)


def _accepted(numbers: NumberArray, created: int) -> Kept:
    return {"accepted": len(numbers), "series": int(np.count_nonzero(np.bincount(numbers))), "created": created}


def _is_arrow(call: Call) -> bool:
    media = call.header(b"content-type").partition(";")[0].strip().lower()
    if media != ARROW and media not in _UNTOLD and "json" not in media:
        fault = Fault("/headers/content-type", "not read here")
        raise Invalid("unsupported_media_type", f"expected application/json or {ARROW}", faults=[fault])
    return media == ARROW


def _from_arrow(body: Body, signals: Signals) -> Batch:
    settings = signals.settings
    sent = points_from_stream(body, settings.max_batch_points)
    check_count(len(sent.values), settings.max_batch_points, "/value")
    latest = now_us() + int(settings.max_ahead_s * MICROS)
    for bad, column, why in (
        ((sent.timestamps < 0) | (sent.timestamps > latest), "timestamp", "before 1970, or too far in the future"),
        (~(np.abs(sent.values) <= MAX_MAGNITUDE), "value", "not a usable number"),
    ):
        if bool(bad.any()):
            pointer = f"/{column}/{int(np.argmax(bad))}"
            detail = f"{pointer}: {why}; {int(bad.sum())} such points, nothing was kept"
            code = "invalid_time" if column == "timestamp" else "invalid_points"
            raise Invalid(code, detail, faults=[Fault(pointer, why)])
    return Batch(sent.ids, sent.timestamps, sent.values, "/series_id/{}", sent.indexes, sent.numbers)
