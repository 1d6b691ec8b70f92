"""Pure decisions of signals: which fleet, when an anomaly opens and closes, which blocks to merge or to divide."""

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import lru_cache
from math import isnan
from typing import NamedTuple

from atalaia.core.anomalies import FeedbackKind
from atalaia.core.errors import Invalid
from atalaia.core.series import MAX_ID_CHARACTERS, check_id
from atalaia.signals.settings import FleetRule

_SUFFIX = 8
"""Characters that stay free behind a fleet's id, for the number of the next one when it is full."""
_ONE = re.compile(r"\[!?+\]?+[^]]*\]|[^*]", re.DOTALL)
"""What stands for one character in a shell pattern: a set in brackets, or any character but the star."""


def fleet_of(series_id: str, labels: Mapping[str, str], rules: Sequence[FleetRule]) -> str | None:
    """Return the id of the fleet that the first applicable rule names.

    None when no rule applies, or when what it makes of the id or the label cannot be the id of a fleet.
    """
    for rule in rules:
        if rule.label is not None:
            found = labels.get(rule.label)
        else:
            found = _wildcard(series_id, rule.match or "")
        if found is not None:
            return _fleet_id(rule.fleet.replace("{}", found).strip())
    return None


def _fleet_id(name: str) -> str | None:
    try:
        return check_id(name) if len(name) <= MAX_ID_CHARACTERS - _SUFFIX else None
    except Invalid:
        return None


def _wildcard(series_id: str, pattern: str) -> str | None:
    """Return what the first star of `pattern` stands for, as much as it can; the whole id if there is no star."""
    whole, before, behind = _compiled(pattern)
    if not whole.match(series_id):
        return None
    if behind is None:
        return series_id
    # One try for each end instead of one expression with a group, which could take exponential time.
    ends = range(len(series_id), before - 1, -1)
    return next((series_id[before:end] for end in ends if behind.match(series_id, end)), series_id)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> tuple[re.Pattern[str], int, re.Pattern[str] | None]:
    """Return the pattern, how many characters stand before its first star, and what stands behind that."""
    before = place = 0
    while found := _ONE.match(pattern, place):
        before, place = before + 1, found.end()
    behind = re.compile(translate(pattern[place + 1 :])) if place < len(pattern) else None
    return re.compile(translate(pattern)), before, behind


@dataclass(frozen=True, slots=True)
class Interval:
    """An anomaly that is open, as it grows point by point. Times are microseconds since the epoch.

    Attributes
    ----------
    peak
        Position of the strangest point in the block that is being read, None if it lies in an earlier one.
    strange, quiet
        Strange points so far; quiet points since the last strange one.
    is_open
        False while fewer strange points than `open_after_points` have been seen.
    """

    opened_at: int
    last_at: int
    peak_at: int
    peak_score: float
    strange: int
    quiet: int
    is_open: bool
    peak: int | None = None


def advance(
    current: Interval | None,
    timestamps: Sequence[int],
    scores: Sequence[float],
    alarms: Sequence[bool],
    positions: Sequence[int],
    *,
    known: Sequence[bool] | None = None,
    open_after: int,
    close_after: int,
    refractory_us: int = 0,
) -> tuple[list[Interval], Interval | None]:
    """Read one series' next points; return the intervals that closed, and the one that goes on.

    Parameters
    ----------
    timestamps, scores
        The points in order of time; NaN scores say nothing and change nothing.
    alarms
        Whether each of them is strange.
    positions
        Where they stand in the block that is being read.
    refractory_us
        An interval that is open does not close before it was quiet for so long.
    known
        Which of them lie inside a known event. The first of these ends what goes on: that neither grows nor stays.
    """
    closed: list[Interval] = []
    inside = [False] * len(timestamps) if known is None else known
    columns = zip(timestamps, scores, alarms, positions, inside, strict=True)
    for moment, score, alarm, position, is_known in columns:
        if is_known:
            closed += [current] if current is not None and current.is_open else []
            current = None
        elif isnan(score):
            continue
        elif alarm:
            current = _stranger(current, moment, score, position, open_after)
        elif current is not None:
            current = replace(current, quiet=current.quiet + 1)
            is_still = current.is_open and moment - current.last_at < refractory_us
            if current.quiet >= (close_after if current.is_open else 1) and not is_still:
                closed += [current] if current.is_open else []
                current = None
    return closed, current


def _stranger(current: Interval | None, moment: int, score: float, index: int, open_after: int) -> Interval:
    if current is None:
        return Interval(moment, moment, moment, score, 1, 0, open_after <= 1, index)
    strange = current.strange + 1
    grown = replace(
        current, last_at=moment, strange=strange, quiet=0, is_open=current.is_open or strange >= open_after
    )
    if score > current.peak_score:
        grown = replace(grown, peak_at=moment, peak_score=score, peak=index)
    return grown


def pick_merge(rows: Sequence[int], *, fan_in: int, max_rows: int) -> slice | None:
    """Return which blocks to merge, given their sizes from oldest to newest, or None.

    Only neighbours are merged, so that the later block still wins over the earlier one. A run is worth it when it
    holds `fan_in` blocks of one tier (a tier holds sizes that differ by less than the factor `fan_in`) and else
    only of lower ones: every merge lifts each of its points by a tier or more, so that a point is rewritten a
    number of times that grows with the logarithm of the history (size-tiered compaction, O'Neil et al. 1996).
    """
    tiers = [_tier(size, fan_in) for size in rows]
    for start, tier in enumerate(tiers):
        end, total = start, 0
        while end < len(rows) and tiers[end] <= tier and total + rows[end] <= max_rows:
            total += rows[end]
            end += 1
        if tiers[start:end].count(tier) >= fan_in:
            while start > 0 and tiers[start - 1] <= tier and total + rows[start - 1] <= max_rows:
                start -= 1
                total += rows[start]
            return slice(start, end)
    return None


def _tier(rows: int, fan_in: int) -> int:
    tier = 0
    while rows >= fan_in:
        rows //= fan_in
        tier += 1
    return tier


BUCKET_SERIES = 4_096
"""Series whose points share blocks: those whose numbers, divided by this, are the same whole number."""
WIDE = -1
"""Stands for the bucket of a block that may hold all series."""


class Shape(NamedTuple):
    """What the choice of blocks depends on."""

    bucket: int
    sequence: int
    rows: int


def bucket_for(first: int, last: int) -> int:
    """Return the bucket for points of series `first` to `last`, `WIDE` when one bucket does not hold them."""
    bucket = first // BUCKET_SERIES
    return bucket if bucket == last // BUCKET_SERIES else WIDE


def pick_merges(blocks: Sequence[Shape], *, fan_in: int, max_rows: int, enough_rows: int) -> list[list[int]]:
    """Return runs of blocks to merge, as positions in `blocks` (oldest first), with `enough_rows` or little more.

    A run lies in one bucket. No wide block may lie between two of its blocks in time of arrival, and between wide
    ones no other: the merged block takes the place of the last, and would overrule what arrived in between.
    """
    lanes: dict[tuple[int, int], list[int]] = {}
    wide = [block.sequence for block in blocks if block.bucket == WIDE]
    narrow = [block.sequence for block in blocks if block.bucket != WIDE]
    for position, block in enumerate(blocks):
        crossed = bisect(narrow if block.bucket == WIDE else wide, block.sequence)
        lanes.setdefault((block.bucket, crossed), []).append(position)
    runs: list[list[int]] = []
    total = 0
    for lane in lanes.values():
        run = pick_merge([blocks[position].rows for position in lane], fan_in=fan_in, max_rows=max_rows)
        if run is not None and total < enough_rows:
            runs.append(lane[run])
            total += sum(blocks[position].rows for position in lane[run])
    return runs


def pick_split(blocks: Sequence[Shape], *, at_rows: int) -> list[int]:
    """Return the oldest wide blocks that hold `at_rows`, as positions in `blocks`, none when all do not hold them.

    What is divided takes the place of wide blocks in every bucket, so none of a bucket may lie in between.
    """
    wide = [position for position, block in enumerate(blocks) if block.bucket == WIDE]
    if not wide or sum(blocks[position].rows for position in wide) < at_rows:
        return []
    oldest = blocks[wide[0]].sequence
    crossing = [block.sequence for block in blocks if block.bucket != WIDE and block.sequence > oldest]
    chosen: list[int] = []
    total = 0
    for position in wide:
        if total >= at_rows or (crossing and blocks[position].sequence > crossing[0]):
            break
        chosen.append(position)
        total += blocks[position].rows
    return chosen


def per_series_week(sensitivity: float) -> float:
    """Return the false alarms a series and week that a sensitivity from 0 to 1 stands for.

    0.8 is one, what detectors aim at by themselves; each fifth more is ten times as many.
    """
    return float(10.0 ** ((sensitivity - 0.8) / 0.2))


LEAST_FACTOR, MOST_FACTOR = 0.5, 4.0
"""No threshold is moved farther than that by what people say."""


def step_of(kind: FeedbackKind, peak_score: float) -> float | None:
    """Return the factor by which feedback moves the threshold of a series, None where it does not.

    Noise: an alarm as high as this one shall not come again, as far as half more of a threshold allows. Useful: one
    that is a little weaker shall come too. What was expected says nothing of the threshold.
    """
    if kind is FeedbackKind.NOISE:
        return min(max(1.02 * peak_score, 1.1), 1.5)
    return 0.93 if kind is FeedbackKind.USEFUL else None


def factor_of(steps: Sequence[float]) -> float:
    """Return what steps, oldest first, make of the threshold of a series."""
    factor = 1.0
    for step in steps:
        factor = min(max(factor * step, LEAST_FACTOR), MOST_FACTOR)
    return factor


_DOUBT = 10.0
_MOST_A_DAY = 5.0
_HASTE = 0.1


def corrected(correction: float, by_day: Sequence[int], promised: float) -> float:
    """Return by how much the thresholds of a fleet are moved after a day more, given the alarms of the last days.

    A day counts for five times the promise and three at most: an outage of everything is one event, not a reason to
    see less from then on. Ten alarms too many or too few are no reason at all for a fleet that promises few.
    """
    alarms = sum(min(count, _MOST_A_DAY * promised + 3) for count in by_day)
    apart = (alarms + _DOUBT) / (promised * len(by_day) + _DOUBT)
    return min(max(correction * apart**_HASTE, LEAST_FACTOR), MOST_FACTOR)
