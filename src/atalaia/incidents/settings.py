"""Settings of incidents."""

from pydantic import BaseModel, ConfigDict, Field


class IncidentsSettings(BaseModel):
    """Likely causes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rootcause_max_series: int = Field(
        default=10_000, ge=1, description="Series that one question for a cause may look at."
    )
    rootcause_max_points: int = Field(
        default=5_000_000,
        ge=1_000,
        description="Points that one question for a cause may read, about 100 bytes each.",
    )
    rootcause_history_hours: float = Field(
        default=6.0, gt=0, description="Hours before an incident that say what is usual, if the question does not."
    )
    rootcause_changes_hours: float = Field(
        default=1.0, ge=0, description="Hours before an incident in which a change counts as evidence."
    )
