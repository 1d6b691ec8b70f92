"""The calls about thresholds and budgets of false alarms."""

from datetime import datetime

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import segment


class ThresholdChange(Answer, frozen=True, kw_only=True):
    """By which factor the threshold of a series was moved, and why; `undone_at` is None while it holds."""

    change_id: int
    kind: str
    factor: float
    anomaly_id: str | None = None
    at: datetime
    undone_at: datetime | None = None


class Threshold(Answer, frozen=True, kw_only=True):
    """Where the threshold of a series lies, in parts of its model's own."""

    in_force: float
    calibrated: float = 1.0
    factor: float = 1.0
    false_alarms_per_week: float | None = None
    changes: list[ThresholdChange] = field(default_factory=list[ThresholdChange])

    @property
    def text(self) -> str:
        """Where it lies, in a sentence."""
        promised = self.false_alarms_per_week
        why = "" if promised is None else f" for {promised:.3g} false alarms a week"
        parts = f"{self.calibrated:.3g}{why}, times {self.factor:.3g} by what people said"
        return f"{self.in_force:.3g} times the model's own: {parts}"


class Budget(Answer, frozen=True, kw_only=True):
    """What a fleet promises, and what it gave in the last `days`."""

    fleet_id: str
    false_alarms_per_day: float
    sensitivity: float | None = None
    series_count: int = 0
    since: datetime
    correction: float = 1.0
    days: float = 0.0
    alarms_per_day: float | None = None
    realised_over_promised: float | None = None


class ThresholdCalls:
    """``/series/.../threshold``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, series_id: str) -> Threshold:
        """Return where the threshold of a series lies, and what moved it."""
        return self._connection.get(f"/series/{segment(series_id)}/threshold", Threshold)

    def set(self, series_id: str, factor: float) -> Threshold:
        """Move the threshold of a series to so many times its model's own."""
        path = f"/series/{segment(series_id)}/threshold"
        return self._connection.send("PUT", path, Threshold, {"factor": factor})

    def undo(self, series_id: str, change_id: int) -> Threshold:
        """Take back one change of the threshold of a series."""
        path = f"/series/{segment(series_id)}/threshold/changes/{change_id}"
        return self._connection.send("DELETE", path, Threshold)


class BudgetCalls:
    """``/fleets/.../budget``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, fleet_id: str) -> Budget:
        """Return how many false alarms a fleet may give, and how many it gave."""
        return self._connection.get(f"/fleets/{segment(fleet_id)}/budget", Budget)

    def set(
        self, fleet_id: str, *, false_alarms_per_day: float | None = None, sensitivity: float | None = None
    ) -> Budget:
        """Let a fleet give so many false alarms a day, or as many as a sensitivity from 0 to 1 stands for."""
        body = {"false_alarms_per_day": false_alarms_per_day, "sensitivity": sensitivity}
        given = {name: value for name, value in body.items() if value is not None}
        return self._connection.send("PUT", f"/fleets/{segment(fleet_id)}/budget", Budget, given)

    def drop(self, fleet_id: str) -> None:
        """Let the detectors of a fleet have their own thresholds again."""
        self._connection.remove(f"/fleets/{segment(fleet_id)}/budget")
