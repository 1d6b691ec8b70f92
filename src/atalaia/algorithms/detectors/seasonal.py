"""The seasonal profile: a robust level and scale for the time of day and of the week."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.detectors.bands import SCALE_FLOOR, judge, scale_floor
from atalaia.algorithms.detectors.hyperparameters import choice, number, text
from atalaia.algorithms.detectors.profiles import explains, profile, profile_of_scale
from atalaia.algorithms.detectors.protocol import MAX_BYTES_PER_SERIES, Column, State
from atalaia.algorithms.detectors.spread import median_and_mad, usable
from atalaia.algorithms.local_time import DAY_US, HOUR_US, WEEK_US, day_bucket, to_local, week_bucket, zone_name
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

MIN_DAYS = 3
MIN_WEEKS = 2
WEEK_BUCKETS = 168

_LEVEL, _DAY, _WEEK = 0, 1, 2

# While profiles are compared, an outage in the history counts as this many scales and no more.
_CLIP_SCALES = 10.0

_MAX_FLOAT32 = 1e37


@dataclass(frozen=True)
class SeasonalProfile:
    """How far a value is from what is usual at that time of day, and of the week, for series that have such times.

    What is expected is the median of the history, plus the median deviation of the time of day (``bucket_minutes``
    wide), plus what then remains by hour of the week. The scale is the scaled median absolute deviation of what
    remains, for each time of day, mixed with that of the whole series. A season is used only where it lowers the
    mean absolute error by 10 % on days, or weeks, that it has not seen (see `explains`); otherwise the detector is
    the robust z-score. The time of day needs three days of history, the time of week two whole weeks.
    Times are local to ``timezone``, so that office hours stay in place when the clocks change.

    The state takes 701 + 11,520 / ``bucket_minutes`` bytes a series: 893 for hours, 1,853 for ten minutes.

    - Robust: the profile withstands wrong values in less than half of the points of a bucket.
    - Gaps and irregular steps do not matter; a time of day that was never seen is filled from its neighbours. NaN
      and infinite values of a history are left out. A NaN gets no score, an infinite value a high one.
    - Fewer than 10 points: not learnt, no opinion.
    - A constant series: the scale is never less than a millionth of its level (and 1e-12), so it alarms when it
      moves.
    - After a jump of the level every point is anomalous until the series is trained again.
    """

    name: ClassVar[str] = "seasonal_profile"
    parts: ClassVar[tuple[str, ...]] = ("level", "season_day", "season_week")
    min_points: ClassVar[int] = 10
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = MAX_BYTES_PER_SERIES

    threshold_sigma: float = number(6.0, above=0.0, most=1000.0)
    bucket_minutes: int = choice(
        30, (10, 12, 15, 16, 18, 20, 24, 30, 36, 40, 45, 48, 60, 72, 80, 90, 120, 180, 240)
    )
    timezone: str = text("UTC", zone_name)

    def fit(self, group: Group) -> State:
        """Return level, profiles and scales of each series, taken one after another."""
        state = self._unlearnt(len(group))
        for row in range(len(group)):
            timestamps, values = group.series(row)
            use = usable(values)
            timestamps, values = timestamps[use], values[use]
            state["points"][row] = len(values)
            if len(values) >= self.min_points:
                for name, learnt in self._learn(timestamps, values).items():
                    state[name][row] = learnt
        return state

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return ``|value - expected| / (threshold_sigma * scale)``, both as of the local time of the point."""
        local = to_local(timestamps, self.timezone)
        day, week = day_bucket(local, self._width_us), week_bucket(local, HOUR_US)
        expected = state["level"][rows] + state["day"][rows, day] + state["week"][rows, week]
        allowed = state["scale"][rows] * state["day_scale"][rows, day] * self.threshold_sigma
        return judge(values, expected, allowed, state["season"][rows].astype(np.int16))

    def bands(self, state: State) -> None:
        """Return None: what is expected depends on the time."""

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        buckets = (self._day_buckets,)
        return {
            "level": Column("<f8"),
            "scale": Column("<f8", low=SCALE_FLOOR),
            "points": Column("<i8", low=0),
            "season": Column("|i1", low=_LEVEL, high=_WEEK),
            "day": Column("<f4", buckets),
            "day_scale": Column("<f4", buckets, low=float(np.finfo(np.float32).tiny)),
            "week": Column("<f4", (WEEK_BUCKETS,)),
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    @property
    def _width_us(self) -> int:
        return self.bucket_minutes * 60 * MICROS

    @property
    def _day_buckets(self) -> int:
        return DAY_US // self._width_us

    def _unlearnt(self, series: int) -> State:
        state = {
            name: np.full((series, *column.shape), np.nan if column.dtype == "<f8" else 0, np.dtype(column.dtype))
            for name, column in self.layout().items()
        }
        state["day_scale"][:] = 1.0
        return state

    def _learn(self, timestamps: IntArray, values: FloatArray) -> dict[str, Any]:
        """Return one row of the state, without the number of points."""
        local = to_local(timestamps, self.timezone)
        day = day_bucket(local, self._width_us)
        level, scale = median_and_mad(values)
        left = values - level
        learnt: dict[str, Any] = {"level": level, "season": _LEVEL}
        # A cycle begins where the history does, not at midnight, so that none is cut.
        elapsed = timestamps - timestamps[0]
        for season, name, bucket, cycle_us, cycles, size in (
            (_DAY, "day", day, DAY_US, MIN_DAYS, self._day_buckets),
            (_WEEK, "week", week_bucket(local, HOUR_US), WEEK_US, MIN_WEEKS, WEEK_BUCKETS),
        ):
            clipped = np.clip(left, -_CLIP_SCALES * scale, _CLIP_SCALES * scale)
            if _spans(elapsed, cycles * cycle_us) and explains(bucket, elapsed // cycle_us, clipped, size):
                # What is left is measured against the profile as it is kept, rounded to 32 bits.
                learnt[name] = _compact(profile(bucket, left, size), -_MAX_FLOAT32)
                learnt["season"] = season
                left = left - learnt[name][bucket]
                _, scale = median_and_mad(left)
        return learnt | self._scales(level, left, day, seasonal=learnt["season"] != _LEVEL)

    def _scales(self, level: float, left: FloatArray, day: IntArray, *, seasonal: bool) -> dict[str, Any]:
        """Return the scale of the series, and what each time of day multiplies it by."""
        if not seasonal:
            return {"scale": np.maximum(median_and_mad(left)[1], scale_floor(np.float64(level)))}
        by_time = profile_of_scale(day, np.abs(left), self._day_buckets)
        by_time = np.maximum(by_time, scale_floor(np.float64(level)))
        scale = float(np.median(by_time))
        return {"scale": scale, "day_scale": _compact(by_time / scale, 1.0 / _MAX_FLOAT32)}


def _compact(numbers: FloatArray, low: float) -> NDArray[np.float32]:
    """Return `numbers` in 32 bits, those that do not fit at the ends of what does."""
    return np.clip(numbers, low, _MAX_FLOAT32).astype(np.float32)


def _spans(elapsed: IntArray, wanted_us: int) -> bool:
    """Return whether a history, its last step included, is at least `wanted_us` long."""
    steps = len(elapsed) - 1
    return int(elapsed[-1]) * (steps + 1) >= wanted_us * steps
