"""The streaming profile: level, seasons, scale and threshold that follow a series point by point."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from atalaia.algorithms.detectors.hyperparameters import choice, number, text
from atalaia.algorithms.detectors.protocol import MAX_BYTES_PER_SERIES, Advanced, Column, State, empty_state
from atalaia.algorithms.detectors.spread import median_and_mad, usable
from atalaia.algorithms.local_time import DAY_US, HOUR_US, to_local, zone_name
from atalaia.algorithms.ordering import by_series
from atalaia.algorithms.streaming.adopting import adopt
from atalaia.algorithms.streaming.columns import ACCEPTED, CALM, PLAIN, WEEK, Batch, Columns, Found, Pace
from atalaia.algorithms.streaming.judging import expect
from atalaia.algorithms.streaming.learning import MIN_POINTS, MOST_FACTOR
from atalaia.algorithms.streaming.passing import pass_over, pass_over_own
from atalaia.algorithms.streaming.turning import begin, restart
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores

_CHUNK_POINTS = 16_384
"""Points that are learnt in one go: about two milliseconds, during which no other thread runs."""

_FIT_POINTS = 500_000
"""Points of history that are brought into the form of the loops at once."""

WEEK_BUCKETS = 168

_HEAVIER = 4.0
"""There are two thresholds, and tails of real series are heavier than exponential: both are set for points that are
so much rarer. Measured on series without an anomaly, see docs/why/how-streaming-works.md."""


@dataclass(frozen=True)
class StreamingProfile:
    """How far a value is from level, time of day and time of week of its series, all of which follow the stream.

    What is expected is a level, plus the offset of the time of day (``bucket_minutes`` wide), plus that of the hour
    of the week, plus where the last hour was. Level and seasons follow what the others leave of a value, the level
    with a memory of ``level_hours``, the time of day with one of ``season_days``, the week with one of four weeks.
    A season is used while it lowers the mean absolute error of foretelling the next point, which it has not seen,
    by 10 %; the time of day after three days, the week after two weeks. The scale is the mean absolute deviation
    (times 1.2533) of what remains, by time of day where the series has one. A deviation teaches as if it were 3
    scales and no more (Huber, "Robust estimation of a location parameter", 1964).

    A value is strange alone when it is farther off than one point in ``rarity_points``, and at least
    ``threshold_sigma`` usual deviations: the tail over 4 of them is taken for exponential, and its share and mean
    follow the stream (peaks over threshold: Siffer et al., "Anomaly detection in streams with extreme value
    theory", KDD 2017, with the shape fixed at 0, so that a logarithm is all it takes). What is at the beginning of
    an alarm counts as if it was at the threshold, so that a series which alarms often gets a higher one.

    A value is strange together with those before it when all evidence exceeds what it does at one point in
    ``rarity_points``. Evidence of four views is added, each in parts of what is usual for the series, and faded by
    half from point to point: how far values are off, whether the last ones lie off on one side (``shift``), how far
    they are from one another (``jump``), and whether they scatter more or less than before (``spread``). Only the
    first depends on the value in question. So the others narrow the band around what is expected, by three
    quarters at most, and the score is over 1 exactly outside of the band.

    An alarm opens when ``open_points`` of the last ``open_window`` points exceed the threshold and closes after
    ``close_points`` in a row that do not. While it is open nothing is learnt, so that an outage does not become
    normal; after ``accept_hours``, or when it has lasted for more points than had taught what they are compared
    with, the level moves to where the points are and everything is learnt again, so that no alarm lasts for ever.

    The state takes 850 + 11,520 / ``bucket_minutes`` bytes a series: 1,234 for half hours.

    - Decay is by time: a point counts for the time since the one before, up to a bucket in the seasons, and weighs
      a tenth at most in the level. So a gap costs nothing, and irregular steps and steps of seconds or hours are
      learnt alike. The tails and what is usual of each view count points, as ``rarity_points`` does.
    - A point that is not newer than the last one of its series is scored, and changes nothing. Nor does NaN, which
      gets no score, nor an infinite value, which gets a high one.
    - Fewer than 10 points: not learnt, no opinion. What is learnt from the first points is forgotten fast.
    - A constant series: the scale is never less than a millionth of its level (and 1e-12), so it alarms when it
      moves.
    - After a jump of the level points are anomalous until the new level is accepted.
    - Times are local to ``timezone``, so that office hours stay in place when the clocks change.
    """

    name: ClassVar[str] = "streaming"
    parts: ClassVar[tuple[str, ...]] = ("level", "season_day", "season_week", "shift", "jump", "spread")
    min_points: ClassVar[int] = MIN_POINTS
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = MAX_BYTES_PER_SERIES

    threshold_sigma: float = number(6.0, above=0.0, most=MOST_FACTOR)
    rarity_points: float = number(5000.0, above=1.0, most=1e12)
    bucket_minutes: int = choice(
        30, (10, 12, 15, 16, 18, 20, 24, 30, 36, 40, 45, 48, 60, 72, 80, 90, 120, 180, 240)
    )
    level_hours: float = number(24.0, above=0.0, most=10_000.0)
    season_days: float = number(7.0, above=0.0, most=1000.0)
    open_points: int = choice(1, range(1, 9))
    open_window: int = choice(1, range(1, 9))
    close_points: int = choice(5, range(1, 9))
    accept_hours: float = number(24.0, above=0.0, most=10_000.0)
    timezone: str = text("UTC", zone_name)

    def fit(self, group: Group) -> State:
        """Return the states after a pass over each history, which begins at its median and its scaled MAD.

        It is passed over once more with what the first pass has found: that did not know the seasons yet when it
        learnt the scales, nor what is usual of each view when it learnt the tails.
        """
        state, pace = self.empty(len(group)), self._pace
        columns = _columns(state)
        for row in range(len(group)):
            values = group.series(row)[1]
            values = values[usable(values)]
            if len(values) >= self.min_points:
                begin(columns, pace, row, *median_and_mad(values), self.min_points)
        for start, end in _parts(group.indptr):
            points = slice(int(group.indptr[start]), int(group.indptr[end]))
            rows = np.repeat(np.arange(start, end, dtype=np.int64), group.counts[start:end])
            batch = self._batch(state, rows, group.timestamps[points], group.values[points])
            found = _found(len(rows))
            pass_over_own(columns, pace, batch, found, False)
            restart(columns, pace, np.arange(start, end))
            pass_over_own(columns, pace, batch, found, True)
        return state

    def empty(self, series: int) -> State:
        """Return the states of series that have no points yet."""
        return empty_state(self.layout(), series)

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        """Return the scores of n points as the states stand, which stay as they are.

        The larger of ``off / factor`` and ``(past + 0.75 off) / limit``, where ``off`` is the deviation in parts of
        what is usual, ``past`` the evidence of the points before, and ``factor`` and ``limit`` the two thresholds.
        """
        batch, found = self._batch(state, rows, timestamps, values), _found(len(rows))
        expect(_columns(state), self._pace.width_us, batch, found)
        return _scores(found)

    def advance(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Advanced:
        """Score points as `score` does, each after those before it of its series, and learn from each."""
        batch, found = self._batch(state, rows, timestamps, values), _found(len(rows))
        columns, pace = _columns(state), self._pace
        order = by_series(batch.rows, len(columns.points))
        ordered = batch if order is None else _taken(batch, order)
        for first in range(0, len(rows), _CHUNK_POINTS):
            pass_over(columns, pace, ordered, found, first, min(first + _CHUNK_POINTS, len(rows)), True)
        if order is not None:
            found = _put_back(found, order)
        return Advanced(_scores(found), found.onset, found.alarm)

    def adopt(self, state: State, row: int, peers: State) -> int:
        """Let a row without points begin with what peers have in common; return how many had something to give.

        These are medians over the peers that are known for three days at least, all in units of a series: the shape
        of the seasons, errors, tails, and what is usual of each view. Level and unit follow from its own first ten
        points; the peers say how those scatter, what the seasons do meanwhile, and how large a unit is beside a
        level. From then on its own points take over.
        """
        return adopt(_columns(state), row, _columns(peers))

    def bands(self, state: State) -> None:
        """Return None: what is expected depends on the time."""

    def layout(self) -> Mapping[str, Column]:
        """Return what the arrays of the state look like."""
        return {
            "points": Column("<i8", low=0),
            "times": Column("<i8", (3,)),
            "levels": Column("<f8", (3,)),
            "gauges": Column("<f4", (9,), low=0.0),
            "marks": Column("<i4", (4,), low=0),
            "views": Column("<f4", (17,), is_new=True),
            "part": Column("|i1", low=PLAIN, high=WEEK),
            "alarm": Column("|i1", low=CALM, high=ACCEPTED),
            "day": Column("<f4", (DAY_US // self._pace.width_us, 2)),
            "week": Column("<f4", (WEEK_BUCKETS,)),
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters by name."""
        return asdict(self)

    @property
    def _pace(self) -> Pace:
        return Pace(
            width_us=self.bucket_minutes * 60 * MICROS,
            per_width=1.0 / (self.bucket_minutes * 60 * MICROS),
            least_factor=self.threshold_sigma,
            rarity=_HEAVIER * self.rarity_points,
            per_level=1.0 / (self.level_hours * HOUR_US),
            season_days=self.season_days,
            open_points=self.open_points,
            open_window=max(self.open_window, self.open_points),
            close_points=self.close_points,
            accept_us=int(self.accept_hours * HOUR_US),
        )

    def _batch(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Batch:
        """Return the points as the loops take them; those do not look where they write."""
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(state["points"]):
            raise IndexError("a row is not the position of a series")
        return Batch(
            np.ascontiguousarray(rows, np.int64),
            np.ascontiguousarray(timestamps, np.int64),
            np.ascontiguousarray(to_local(timestamps, self.timezone), np.int64),
            np.ascontiguousarray(values, np.float64),
        )


def _columns(state: State) -> Columns:
    return Columns(*(state[name] for name in Columns._fields))


def _found(points: int) -> Found:
    return Found(
        score=np.empty(points),
        expected=np.empty(points),
        lower=np.empty(points),
        upper=np.empty(points),
        part=np.empty(points, np.int16),
        onset=np.empty(points, np.bool_),
        alarm=np.empty(points, np.bool_),
    )


def _scores(found: Found) -> Scores:
    return Scores(found.score, found.expected, found.lower, found.upper, found.part)


def _parts(indptr: IntArray) -> Iterator[tuple[int, int]]:
    """Yield ranges of series that hold a bounded number of points, or one series that alone holds more."""
    start = 0
    while start < len(indptr) - 1:
        fitting = int(np.searchsorted(indptr, int(indptr[start]) + _FIT_POINTS, side="right")) - 1
        end = max(fitting, start + 1)
        yield start, end
        start = end


def _taken(batch: Batch, order: IntArray) -> Batch:
    """Return the points of `batch` in `order`."""
    return Batch(batch.rows[order], batch.timestamps[order], batch.local[order], batch.values[order])


def _put_back(found: Found, order: IntArray) -> Found:
    """Return what was found of points in `order`, in the order that they had before."""
    back = _found(len(order))
    for column, ordered in zip(back, found, strict=True):
        column[order] = ordered
    return back
