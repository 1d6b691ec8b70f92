"""The calls about incidents: what one probably began in."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import Moment, moment


class CauseMetric(Answer, frozen=True, kw_only=True):
    """How one series moved: from `expected` to `seen`, so many `scales`, `since` then."""

    series_id: str
    service: str = ""
    metric: str = ""
    direction: str = ""
    is_bad: bool | None = None
    expected: float | None = None
    seen: float | None = None
    scales: float = 0.0
    part: float = 0.0
    since: datetime | None = None


class CauseChange(Answer, frozen=True, kw_only=True):
    """Something that happened to a service and is no metric."""

    at: datetime | None = None
    kind: str = ""
    text: str = ""


class Suspect(Answer, frozen=True, kw_only=True):
    """A service or asset, and why it stands where it does."""

    rank: int
    service: str
    score: float = 0.0
    explains: float | None = None
    own: float | None = None
    path: list[str] = field(default_factory=list[str])
    changes: list[CauseChange] = field(default_factory=list[CauseChange])
    text: str = ""
    metrics: list[CauseMetric] = field(default_factory=list[CauseMetric])


class LeftOut(Answer, frozen=True, kw_only=True):
    """A series of which nothing can be said."""

    series_id: str
    reason: str = ""


class RootCause(Answer, frozen=True, kw_only=True):
    """What an incident probably began in, the likeliest first."""

    alarmed_service: str | None = None
    alarmed_metric: str | None = None
    has_graph: bool = False
    series: int = 0
    points: int = 0
    step_s: float | None = None
    services: list[Suspect] = field(default_factory=list[Suspect])
    metrics: list[CauseMetric] = field(default_factory=list[CauseMetric])
    left_out: list[LeftOut] = field(default_factory=list[LeftOut])
    left_out_count: int = 0


class IncidentCalls:
    """``/rootcause``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find_cause(
        self,
        from_: Moment,
        to: Moment,
        *,
        series_ids: Sequence[str] = (),
        fleet_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        edges: Sequence[tuple[str, str]] = (),
        **more: Any,
    ) -> RootCause:
        """Return what an incident probably began in; nothing changes.

        Parameters
        ----------
        series_ids, fleet_id, labels
            What to look at.
        edges
            Who depends on whom: (caller, callee).
        more
            Other fields of the body, as the API names them, e.g. ``alarmed_service``; None is left out.
        """
        asked: dict[str, Any] = {
            "from": moment(from_, "from"),
            "to": moment(to, "to"),
            "series_ids": list(series_ids) or None,
            "fleet_id": fleet_id,
            "labels": [f"{name}:{value}" for name, value in (labels or {}).items()] or None,
            "edges": [{"from": caller, "to": callee} for caller, callee in edges] or None,
            **more,
        }
        body = {name: value for name, value in asked.items() if value is not None}
        return self._connection.ask("/rootcause", RootCause, body)
