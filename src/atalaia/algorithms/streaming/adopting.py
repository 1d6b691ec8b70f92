"""What a series that is new begins with: what its peers have in common, in units of a series.

A prior lies in the columns of a row before its first point, so that what comes of points depends on the row alone.
It takes effect when the first points have given level and unit.
"""

import numpy as np

from atalaia.algorithms.compiled import compiled
from atalaia.algorithms.local_time import DAY_US
from atalaia.algorithms.streaming.columns import (
    AGE,
    CHANGE,
    DAY_ERROR,
    FIRST,
    JUMP_PAST,
    LAST,
    LAST_REST,
    LAST_SCALES,
    LEVEL,
    LIMIT,
    MEAN,
    OFFSET,
    OWN_PAST,
    OWN_UNIT,
    PLAIN,
    PLAIN_ERROR,
    RECENT,
    SCALE,
    SHIFT_PAST,
    SHIFT_SPREAD,
    SPREAD,
    SPREAD_PAST,
    STRANGE,
    UNIT,
    WEEK_ERROR,
    Columns,
    SingleArray,
)
from atalaia.algorithms.streaming.judging import least_scale, seasonal
from atalaia.algorithms.streaming.learning import FROM_MEAN, MIN_POINTS
from atalaia.algorithms.streaming.looking import forget
from atalaia.core.points import FloatArray, IntArray

MIN_PEER_DAYS = 3
"""A series that is known for less has nothing to give to others: it knows no season yet."""

PRIOR_DAYS, PRIOR_POINTS = 3, 60
"""A prior counts for so many days of seasons, and for so many points of level and scale."""

# Seasons are in use at once where they differ by so much of themselves among the peers, and no more.
_MOST_UNLIKE = 0.25

# Variance of the logarithm of a unit that ten points give, and the least of one that peers give.
_SAMPLING, _LEAST_SAMPLING = 0.15, 0.04

# Columns of `views` that have no other use before a series is learnt. They hold mean and mean deviation of the
# seasons at the points so far; how the peers scatter; the usual logarithm of unit to level among them, and one
# divided by its variance.
_SEASON, _SWING, _NOISE, _RATIO, _TRUST = OWN_PAST, SHIFT_PAST, LAST_REST, JUMP_PAST, SPREAD_PAST
_OF_THE_LAST = (OWN_PAST, SHIFT_PAST, JUMP_PAST, SPREAD_PAST, RECENT, MEAN, LAST_REST, LAST_SCALES)


def adopt(c: Columns, row: int, peers: Columns) -> int:
    """Let a row without points begin with what `peers` have in common; return how many had something to give.

    Where peers agree in their seasons, the row uses them at once; else it only remembers them, and uses them once
    they foretell its own points.
    """
    rows = _knowing(peers)
    if not len(rows) or c.points[row]:
        return 0
    day: SingleArray = np.median(peers.day[rows], axis=0)
    gauges: SingleArray = np.median(peers.gauges[rows], axis=0)
    views: SingleArray = np.median(peers.views[rows], axis=0)
    views[list(_OF_THE_LAST)] = 0.0
    of_day = peers.day[rows, :, SCALE].mean(axis=1)
    scale = np.where(peers.part[rows] == PLAIN, peers.gauges[rows, SPREAD], of_day)
    views[_NOISE] = np.median(scale * peers.views[rows, OWN_UNIT])
    views[_RATIO], views[_TRUST] = _unit_to_level(peers, rows)
    gauges[STRANGE] = gauges[SHIFT_SPREAD] = 0.0
    part = int(np.median(peers.part[rows]))
    if part == PLAIN or _unlikeness(peers.day[rows, :, OFFSET]) > _MOST_UNLIKE:
        part = PLAIN
        # As if all that the seasons explain were known: its own points soon say how much that is.
        gauges[SPREAD] = views[_NOISE] / max(float(views[OWN_UNIT]), 1e-6)
        gauges[[PLAIN_ERROR, DAY_ERROR, WEEK_ERROR]] = gauges[DAY_ERROR]
    gauges[SPREAD] = max(float(gauges[SPREAD]), 1e-6)  # above 0, which says that the row has a prior
    c.part[row], c.day[row], c.gauges[row], c.views[row] = part, day, gauges, views
    c.week[row] = np.median(peers.week[rows], axis=0)
    return len(rows)


def _knowing(c: Columns) -> IntArray:
    """Return the rows of series that have something to give: learnt, and known for some days."""
    known = c.times[:, LAST] - c.times[:, FIRST] >= MIN_PEER_DAYS * DAY_US
    return np.flatnonzero(known & (c.marks[:, AGE] > 0) & (c.views[:, LIMIT] > 0.0))


def _unlikeness(offsets: SingleArray) -> float:
    """Return how far the seasons of a peer usually are from those of the others, in parts of what they are."""
    around = offsets - offsets.mean(axis=1, keepdims=True)
    away = np.abs(around - np.median(around, axis=0)).mean(axis=1)
    return float(np.median(away / np.maximum(np.abs(around).mean(axis=1), 1e-9)))


def _unit_to_level(c: Columns, rows: IntArray) -> tuple[float, float]:
    """Return the usual logarithm of unit to level, and one divided by its variance; 0 where too few have both."""
    level: FloatArray = np.abs(c.levels[rows, LEVEL])
    unit: FloatArray = c.levels[rows, UNIT]
    known = (level > 0.0) & (unit > 0.0)
    if int(known.sum()) < 2:
        return 0.0, 0.0
    ratios = np.log(unit[known]) - np.log(level[known])
    usual = float(np.median(ratios))
    spread = float(np.median(np.abs(ratios - usual))) * 1.4826
    return usual, 1.0 / (spread * spread + _LEAST_SAMPLING)


@compiled
def warm_up_adopted(c: Columns, row: int, bucket: int, hour: int, value: float, seen: int) -> None:
    """Take one of the first points of a series with a prior, number `seen`; the last begins to have an opinion."""
    _, _, levels, _, _, views, parts, _, day, week = c
    offset = seasonal(int(parts[row]), float(day[row, bucket, OFFSET]), float(week[row, hour]))
    away, deviation = offset - views[row, _SEASON], value - levels[row, LEVEL]
    views[row, _SEASON] += away / seen
    levels[row, LEVEL] += deviation / seen
    if seen > 1:
        views[row, _SWING] += (abs(away) - views[row, _SWING]) / (seen - 1)
        levels[row, UNIT] += (abs(deviation) - levels[row, UNIT]) / (seen - 1)
    if seen == MIN_POINTS:
        _begin(c, row)


@compiled
def _begin(c: Columns, row: int) -> None:
    """Write level and unit of a series with a prior.

    The unit is such that the first points scatter as they do, given what the seasons do at their times and how the
    peers scatter; it is drawn to the ratio of unit to level that the peers have, the more the closer they agree.
    """
    views, levels = c.views, c.levels
    level, trust, own = levels[row, LEVEL], float(views[row, _TRUST]), 1.0 / _SAMPLING
    swing, noise, least = float(views[row, _SWING]) * FROM_MEAN, float(views[row, _NOISE]), least_scale(level)
    unit = levels[row, UNIT] * FROM_MEAN / max(np.sqrt(noise * noise + swing * swing), 1e-6)
    if trust > 0.0 and abs(level) > 0.0:
        usual = np.log(abs(level)) + views[row, _RATIO]
        if unit > least:
            usual = (own * np.log(unit) + trust * usual) / (own + trust)
        unit = np.exp(usual)
    levels[row, UNIT] = max(unit, least)
    levels[row, LEVEL] = level - levels[row, UNIT] * views[row, _SEASON]
    c.marks[row, AGE] = PRIOR_POINTS
    c.times[row, FIRST] -= PRIOR_DAYS * DAY_US
    forget(c, row, 0.0, 0.0)
    views[row, CHANGE] = 1.0
