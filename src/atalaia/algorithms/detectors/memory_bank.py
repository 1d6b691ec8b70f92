"""The memory bank: how far the newest shape of a series is from all the shapes that it is known to have."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from atalaia.algorithms.detectors.hyperparameters import choice, number, text
from atalaia.algorithms.detectors.protocol import Advanced, Column, State, empty_state
from atalaia.algorithms.detectors.spread import median_and_mad, usable
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.local_time import HOUR_US, to_local, zone_name
from atalaia.algorithms.memory.columns import (
    ACCEPTED,
    BINS,
    BLOCK_BINS,
    CALM,
    LENGTHS,
    LONGEST,
    SAME_TIME_LENGTHS,
    SLOTS,
    VIEWS,
    Batch,
    Columns,
    Found,
    Pace,
)
from atalaia.algorithms.memory.passing import begin, pass_over, pass_over_own, period_of
from atalaia.algorithms.memory.weighing import weigh
from atalaia.algorithms.ordering import by_series
from atalaia.algorithms.periods import NO_PERIOD, period
from atalaia.algorithms.streaming.judging import least_scale
from atalaia.algorithms.streaming.learning import MIN_POINTS
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

_CHUNK_POINTS = 1024
"""Points that are learnt in one go: a few milliseconds, during which no other thread runs."""

_CLEARLY = 0.1
"""By so much a period must resemble itself more than a day does, to be taken for it."""

_PROFILE = "profile_"
_INTS, _FLOATS = "<i8", "<f8"


@dataclass(frozen=True)
class MemoryBank:
    """How rare the newest windows of a series are among those known of it, and its deviation from a profile.

    Six views measure each point. Windows of the last 8, 16 and 32 points are compared with the three nearest of a
    bank of past windows (nearest neighbours of subsequences: Yeh et al., "Matrix profile I", ICDM 2016, but with
    windows scaled by the series and not each by itself, since in operations data the level says much). Windows of
    the last 4 and 16 points are compared with those at the same time of the eight days before. Each view keeps a
    histogram of its past with an exponential tail; the negative logarithms of the tail probabilities are added
    (Fisher, "Statistical methods for research workers", 1925). The sixth view is the score of `StreamingProfile`,
    which counts tenfold unless the series often has such scores.

    The score is that sum divided by a threshold, which follows the stream so that there are about
    ``false_alarms_per_week`` (see `atalaia.algorithms.memory.budget`). An alarm opens with one point over the
    threshold and closes after ``close_points`` in a row under it. While it is open nothing is learnt, so that what
    an outage looked like does not become known; after ``accept_hours`` it does.

    The state takes 136 bytes a window of the bank and 50 KiB: 183 KiB a series with 1,000 windows. This is a
    detector for hundreds or thousands of important series, not for a whole fleet.

    - The bank is a random sample of the last 15,000 windows (reservoir sampling: Vitter, "Random sampling with a
      reservoir", 1985), the same on each run.
    - A point that is not newer than the last one of its series is scored, and changes nothing. Nor does NaN, which
      gets no score, nor an infinite value, which gets a high one.
    - Fewer than 10 points: not learnt, no opinion. Fewer than 30: no evidence, the score is 0.
    - Expected value and band are those of the profile; a shape may be strange inside the band, and then ``part``
      says so.
    """

    name: ClassVar[str] = "memory_bank"
    parts: ClassVar[tuple[str, ...]] = (
        *(f"shape_{length}" for length in LENGTHS),
        *(f"same_time_{length}" for length in SAME_TIME_LENGTHS),
        *StreamingProfile.parts,
    )
    min_points: ClassVar[int] = MIN_POINTS
    band_decides: ClassVar[bool] = False
    max_bytes_per_series: ClassVar[int] = 640 * 1024

    false_alarms_per_week: float = number(1.0, above=0.0, most=1000.0)
    windows: int = choice(1000, (125, 250, 500, 1000, 2000, 4000))
    close_points: int = choice(5, range(1, 61))
    accept_hours: float = number(4.0, above=0.0, most=10_000.0)
    timezone: str = text("UTC", zone_name)

    def fit(self, group: Group) -> State:
        """Return the states after a pass over each history, as if it had just been streamed."""
        state = self.empty(len(group))
        profile = self._profile.empty(len(group))
        columns = _columns(state)
        for row in range(len(group)):
            moments, values = group.series(row)
            known = usable(values)
            if int(known.sum()) >= self.min_points:
                _begin(columns, row, moments[known], values[known])
        for points, rows in _by_parts(group):
            batch = self._batch(profile, rows, group.timestamps[points], group.values[points])
            pass_over_own(columns, self._pace, batch, _found(len(rows)))
        for name, array in profile.items():  # as it stood when the views learnt what it says, and not learnt twice
            state[_PROFILE + name][:] = array
        state["points"][:] = state[_PROFILE + "points"]
        return state

    def empty(self, series: int) -> State:
        """Return the states of series that have no points yet."""
        return empty_state(self.layout(), series)

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of points as the states stand, which stay as they are."""
        told = self._profile.score(_profile_of(state), rows, timestamps, values)
        batch, found = self._joined(rows, timestamps, values, told), _found(len(rows))
        weigh(_columns(state), batch, found)
        return _scores(told, found)

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score points as `score` does, each after those before it of its series, and learn from each."""
        told = self._profile.advance(_profile_of(state), rows, timestamps, values).scores
        batch, found, columns = self._joined(rows, timestamps, values, told), _found(len(rows)), _columns(state)
        order = by_series(batch.rows, len(state["points"]))
        ordered = batch if order is None else _taken(batch, order)
        for first in range(0, len(rows), _CHUNK_POINTS):
            pass_over(columns, self._pace, ordered, found, first, min(first + _CHUNK_POINTS, len(rows)))
        if order is not None:
            back = _found(len(rows))
            for column, sorted_ in zip(back, found, strict=True):
                column[order] = sorted_
            found = back
        state["points"][:] = state[_PROFILE + "points"]
        return Advanced(_scores(told, found), found.onset, found.alarm)

    def bands(self, state: State) -> None:
        """Return None: what is expected depends on the time."""

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        return {
            "points": Column(_INTS, low=0),
            "bank": Column("<f4", (LONGEST, self.windows)),
            "born": Column(_INTS, (self.windows,), low=0),
            "recent": Column("<f4", (LONGEST,)),
            "slots": Column("<f4", (SLOTS,)),
            "counts": Column("<f4", (VIEWS, BINS), low=0.0),
            "tails": Column(_FLOATS, (VIEWS, 4), low=0.0),
            "levels": Column(_FLOATS, (3,)),
            "times": Column(_INTS, (4,)),
            "marks": Column(_INTS, (7,), low=0),
            "state": Column("|i1", low=CALM, high=ACCEPTED),
            "blocks": Column("<f4", (BLOCK_BINS,), low=0.0),
            "budget": Column(_FLOATS, (4,), low=0.0),
            **{_PROFILE + name: column for name, column in self._profile.layout().items()},
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    @property
    def _profile(self) -> StreamingProfile:
        return StreamingProfile(timezone=self.timezone)

    @property
    def _pace(self) -> Pace:
        accept_us = int(self.accept_hours * HOUR_US)
        return Pace(self.windows, self.false_alarms_per_week, self.close_points, accept_us)

    def _batch(self, profile: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Batch:
        told = self._profile.advance(profile, rows, timestamps, values).scores
        return self._joined(rows, timestamps, values, told)

    def _joined(self, rows: IntArray, timestamps: IntArray, values: FloatArray, told: Scores) -> Batch:
        return Batch(
            np.ascontiguousarray(rows, np.int64),
            np.ascontiguousarray(timestamps, np.int64),
            np.ascontiguousarray(to_local(timestamps, self.timezone), np.int64),
            np.ascontiguousarray(values, np.float64),
            told.score,
            told.part,
        )


def _begin(columns: Columns, row: int, moments: IntArray, values: FloatArray) -> None:
    """Write what a history says of its series as a whole: its level, its scale, its step, its day."""
    centre, scale = median_and_mad(values)
    apart = np.diff(moments)
    step = int(np.median(apart[apart > 0])) if bool((apart > 0).any()) else 1
    begin(columns, row, centre, max(scale, least_scale(centre)), step, _day(values, step))


def _day(values: FloatArray, step: int) -> int:
    """Return after how many points a series repeats itself: a day, unless another period is clearer."""
    day, lag = period_of(step), period(values)
    if lag != NO_PERIOD and _resembles(values, lag) > _resembles(values, day) + _CLEARLY:
        return lag
    return day


def _resembles(values: FloatArray, lag: int) -> float:
    """Return the correlation of a series with itself `lag` points later, 0.0 where it is not known."""
    if not 0 < lag <= len(values) // 2:
        return 0.0
    x = values / max(float(np.abs(values).max()), 1e-300)
    early, late = x[:-lag] - x[:-lag].mean(), x[lag:] - x[lag:].mean()
    norm = float(np.sqrt((early @ early) * (late @ late)))
    return float(early @ late) / norm if norm > 0.0 else 0.0


def _taken(batch: Batch, order: IntArray) -> Batch:
    """Return the points of `batch` in `order`."""
    return Batch(
        batch.rows[order],
        batch.timestamps[order],
        batch.local[order],
        batch.values[order],
        batch.told[order],
        batch.told_part[order],
    )


def _columns(state: State) -> Columns:
    return Columns(*(state[name] for name in Columns._fields))


def _profile_of(state: State) -> State:
    return {name.removeprefix(_PROFILE): array for name, array in state.items() if name.startswith(_PROFILE)}


def _found(points: int) -> Found:
    return Found(
        evidence=np.zeros((points, VIEWS)),
        score=np.empty(points),
        part=np.zeros(points, np.int16),
        onset=np.zeros(points, np.bool_),
        alarm=np.zeros(points, np.bool_),
    )


def _scores(told: Scores, found: Found) -> Scores:
    return Scores(found.score, told.expected, told.lower, told.upper, found.part)


def _by_parts(group: Group) -> Iterator[tuple[slice, IntArray]]:
    """Yield the points of each series, and which it is."""
    for row in range(len(group)):
        points = slice(int(group.indptr[row]), int(group.indptr[row + 1]))
        yield points, np.full(points.stop - points.start, row, np.int64)
