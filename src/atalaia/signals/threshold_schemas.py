"""Wire types of thresholds and of budgets of false alarms."""

from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from atalaia.core.clock import isoformat
from atalaia.kit.web.wire import Wire
from atalaia.signals.rules import LEAST_FACTOR, MOST_FACTOR
from atalaia.signals.store.thresholds import ChangeRow
from atalaia.signals.thresholds import Budget, Threshold


class ThresholdChangeOut(Wire):
    """By which factor the threshold of a series was moved, and why."""

    change_id: int
    kind: Literal["noise", "useful", "set"] = Field(description="What was said of an anomaly, or `set` by hand.")
    factor: float = Field(description="The threshold was multiplied by it.")
    anomaly_id: str | None = Field(description="The anomaly of which it was said.")
    at: str
    undone_at: str | None = Field(description="When it was taken back; null while it holds.")

    @staticmethod
    def of(row: ChangeRow) -> "ThresholdChangeOut":
        """Return a change for the wire."""
        told: dict[str, Any] = {
            "change_id": row.id,
            "kind": row.kind,
            "factor": row.factor,
            "anomaly_id": row.anomaly_id,
            "at": isoformat(row.at),
            "undone_at": None if row.undone_at is None else isoformat(row.undone_at),
        }
        return ThresholdChangeOut.model_validate(told)


class ThresholdOut(Wire):
    """Where the threshold of a series lies, in parts of its model's own; scores are told in parts of it."""

    in_force: float = Field(description="1.0 is the model's own threshold; 2.0 needs twice as strange a value.")
    calibrated: float = Field(description="What the budget of false alarms makes of it; 1.0 without one.")
    factor: float = Field(description="What people said of its anomalies makes of it.")
    false_alarms_per_week: float | None = Field(
        description="What is promised for this series; null without a budget."
    )
    changes: list[ThresholdChangeOut] = Field(description="What people said, oldest first.")

    @staticmethod
    def of(told: Threshold) -> "ThresholdOut":
        """Return a threshold for the wire."""
        return ThresholdOut(
            in_force=told.in_force,
            calibrated=told.calibrated,
            factor=told.factor,
            false_alarms_per_week=told.per_week,
            changes=[ThresholdChangeOut.of(row) for row in told.changes],
        )


class ThresholdIn(Wire):
    """A threshold that a person sets."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"factor": 1.5}]})
    factor: float = Field(
        ge=LEAST_FACTOR, le=MOST_FACTOR, description="In parts of the model's own, whatever was said before."
    )


class BudgetIn(Wire):
    """False alarms that a fleet may give: a number a day, or a sensitivity."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"false_alarms_per_day": 20}, {"sensitivity": 0.8}]})
    false_alarms_per_day: float | None = Field(default=None, gt=0, le=1e6, description="Of the whole fleet.")
    sensitivity: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="0.8 is one false alarm a series and week; each fifth more is ten times as many.",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "BudgetIn":
        if (self.false_alarms_per_day is None) == (self.sensitivity is None):
            raise ValueError("give either false_alarms_per_day or sensitivity")
        return self


class BudgetOut(Wire):
    """What a fleet promises, and what it gave."""

    fleet_id: str
    false_alarms_per_day: float = Field(description="Of the whole fleet.")
    sensitivity: float | None = Field(description="By which it was set; null if by the number.")
    series_count: int
    since: str = Field(description="Newest point of the fleet when the budget was set.")
    correction: float = Field(
        description="By which all thresholds of the fleet were moved, because it gave more or fewer alarms."
    )
    days: float = Field(description="Days before the newest point that the next two are about, at most seven.")
    alarms_per_day: float | None = Field(
        description="Anomalies that opened, but for those that people found useful; null before the first day."
    )
    realised_over_promised: float | None = Field(description="The alarms a day over what is promised.")

    @staticmethod
    def of(told: Budget) -> "BudgetOut":
        """Return a budget for the wire."""
        rate = None if told.alarms is None else told.alarms / told.days
        return BudgetOut(
            fleet_id=told.fleet_id,
            false_alarms_per_day=told.per_day,
            sensitivity=told.sensitivity,
            series_count=told.series_count,
            since=isoformat(told.since),
            correction=told.correction,
            days=told.days,
            alarms_per_day=rate,
            realised_over_promised=None if rate is None or not told.per_day else rate / told.per_day,
        )
