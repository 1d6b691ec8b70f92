"""Settings of lifecycle."""

from pydantic import BaseModel, ConfigDict, Field


class LifecycleSettings(BaseModel):
    """Training and promotion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inline_min_points: int = Field(default=10_000, ge=2, description="Points that inline training data must have.")
    inline_max_points: int = Field(default=100_000, ge=2, description="Points that inline training data may have.")
    history_min_points: int = Field(
        default=100, ge=2, description="Points that a series must have in the window of stored history."
    )
    history_max_points: int = Field(
        default=100_000, ge=2, description="Points of stored history that one series trains on, the newest."
    )
    min_std: float = Field(default=1e-6, ge=0, description="Standard deviation that training data must exceed.")
    window_hours: float = Field(default=168, gt=0, description="Hours of history that a training reads by default.")
    algorithm: str = Field(
        default="statistical",
        description="Algorithm of a training that names none; `auto` lets each history choose.",
    )
    auto_max_bytes: int = Field(
        default=67_108_864,
        ge=1,
        description="Memory that all series of a model may take together for `auto` to choose its algorithm.",
    )
    cooldown_s: float = Field(
        default=300, ge=0, description="Time between two trainings of the same series or fleet, in seconds."
    )
