"""From the metrics of an incident to a ranking of services, each with its reasons.

With a graph and an alarm, a service is as suspect as the part of the alarm's extra that it explains and none of its
callees does: an average over calls (latency, failed calls) is multiplied by the number of calls where a metric
counts them, so that the parts of two services can be compared. Without an alarm, metrics vote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.causes.calls import Calls, path_to
from atalaia.algorithms.causes.extras import calls_of, extras
from atalaia.algorithms.causes.following import explained
from atalaia.algorithms.causes.meanings import Meaning, meaning_of
from atalaia.algorithms.causes.shifts import Shifts, measure
from atalaia.algorithms.causes.votes import shares, vote
from atalaia.core.points import FloatArray, Group, IntArray

REASONS = 5
"""Metrics that are named as the reasons of a service, at most."""
_INHERITED = 0.1
"""What a service is worth whose callees explain all of it: it comes before those that explain nothing."""
_VOTE = 0.01
"""What the votes of a service are worth where a graph and an alarm decide: the order of equals."""
_NOISES = 3.0
"""How many times its noise a service must have moved by to be part of an explanation."""
_SCALES = 0.5
"""And how many scales: half of half its usual level."""
_CHANGED = 1.5
"""What a change shortly before, or in, the incident makes of the score of its service."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of an incident.

    Attributes
    ----------
    services, metrics
        Of each of m series, the service or asset and the metric.
    history
        The points of each before the incident.
    window
        float64[m, w], each in the incident, on a common grid; NaN where there is no point.
    calls
        Who depends on whom, if known.
    alarmed_service, alarmed_metric
        Where the alarm was, if known. Without the metric, the one of the service that moved furthest is taken.
    meanings
        What metrics mean, where their names do not say it.
    changed
        Services that were changed shortly before or in the incident.
    """

    services: Sequence[str]
    metrics: Sequence[str]
    history: Group
    window: FloatArray
    calls: Calls | None = None
    alarmed_service: str | None = None
    alarmed_metric: str | None = None
    meanings: Mapping[str, Meaning] = field(default_factory=dict[str, Meaning])
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Reason:
    """How one series moved.

    Attributes
    ----------
    position
        Of the series in the evidence.
    expected, seen, scales
        See `Shifts`.
    direction
        ``up`` or ``down``.
    is_bad
        Whether that way is bad; None where nobody knows.
    part
        How far it moved, as a part of the furthest move of its metric that way; what it counts in a vote.
    since
        Position in the window of the first of the points that are meant.
    """

    position: int
    service: str
    metric: str
    expected: float
    seen: float
    scales: float
    direction: str
    is_bad: bool | None
    part: float
    since: int


@dataclass(frozen=True, slots=True)
class Suspect:
    """A service, and why it is where it is.

    Attributes
    ----------
    explains
        Which part of the alarm's extra it explains; None without an alarm.
    own
        Which part of that (or of its votes) none of its callees explains.
    path
        From the alarmed service to it, both included; empty where there is none.
    is_changed
        Whether it was changed shortly before.
    """

    service: str
    score: float
    explains: float | None
    own: float
    path: tuple[str, ...]
    is_changed: bool
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What an incident probably began in.

    Attributes
    ----------
    suspects
        Services, the likeliest first.
    metrics
        All series that moved, those of the likeliest services first.
    alarmed_service
        The one that the evidence names, else the service that nobody depends on and whose calls got worse most.
    alarmed_metric
        The metric whose extra was explained; None where metrics voted.
    left_out
        Positions of series of which nothing can be said, each with the reason.
    """

    suspects: tuple[Suspect, ...]
    metrics: tuple[Reason, ...]
    alarmed_service: str | None
    alarmed_metric: str | None
    left_out: Mapping[int, str]


def rank(evidence: Evidence) -> Ranking:
    """Return services and metrics, the likeliest cause first.

    Raises
    ------
    ValueError
        When the columns of the evidence are not of one length.
    """
    rows = len(evidence.services)
    if not rows == len(evidence.metrics) == len(evidence.history) == len(evidence.window):
        raise ValueError("services, metrics, history and window must tell of the same series")
    table = _Table.of(evidence)
    shifts = measure(evidence.history, evidence.window, table.metrics, table.is_success)
    moved = np.where(shifts.is_known, shifts.scales, 0.0)
    parts = shares(moved, table.metrics, table.services)
    votes = vote(parts, table.metrics, table.services, len(table.names))
    if evidence.alarmed_service is None:
        evidence = replace(evidence, alarmed_service=_entry(evidence, table, shifts))
    alarm = _alarm(evidence, table, shifts)
    told = None if alarm is None else _explained(evidence, table, shifts, alarm)
    score, own = _scores(evidence, table, votes, told)
    start = evidence.alarmed_service or ""
    reached = {} if evidence.calls is None else evidence.calls.reached(start)
    reasons = _reasons(evidence, table, shifts, parts)
    order = sorted(range(len(table.names)), key=lambda i: (-score[i], table.names[i]))
    suspects = tuple(
        Suspect(
            name := table.names[i],
            float(score[i]),
            None if told is None else float(told[i]),
            float(own[i]),
            path_to(name, reached, start),
            name in evidence.changed,
            tuple(reasons.get(i, ())[:REASONS]),
        )
        for i in order
    )
    metric = None if alarm is None or told is None else evidence.metrics[alarm]
    ranked = _in_order(reasons, order, score)
    return Ranking(suspects, ranked, evidence.alarmed_service, metric, _left_out(evidence, shifts))


@dataclass(frozen=True, slots=True)
class _Table:
    """The evidence with numbers for names."""

    names: list[str]
    metric_names: list[str]
    services: IntArray
    metrics: IntArray
    meanings: list[Meaning]
    is_success: NDArray[np.bool_]

    @staticmethod
    def of(evidence: Evidence) -> "_Table":
        names = list(dict.fromkeys(evidence.services))
        metric_names = list(dict.fromkeys(evidence.metrics))
        number = {name: i for i, name in enumerate(names)}
        metric = {name: i for i, name in enumerate(metric_names)}
        meanings = [evidence.meanings.get(name) or meaning_of(name) for name in metric_names]
        metrics = np.array([metric[name] for name in evidence.metrics], np.int64)
        of_metric = np.array([meaning.is_success for meaning in meanings], bool)
        services = np.array([number[name] for name in evidence.services], np.int64)
        return _Table(names, metric_names, services, metrics, meanings, of_metric[metrics])


def _entry(evidence: Evidence, table: _Table, shifts: Shifts) -> str | None:
    """Return the service that nobody depends on whose calls got worse most, None where none clearly did."""
    if evidence.calls is None:
        return None
    entries = evidence.calls.entries
    of_a_call = [meaning.direction if meaning.is_of_a_call else 0 for meaning in table.meanings]
    worse = shifts.scales * np.array(of_a_call, np.float64)[table.metrics] * _is_strange(shifts)
    worse *= [service in entries for service in evidence.services]
    found = int(worse.argmax()) if len(worse) else -1
    return evidence.services[found] if found >= 0 and worse[found] > 0 else None


def _is_strange(shifts: Shifts) -> NDArray[np.bool_]:
    """Return which series moved beyond their noise, and far enough to be part of an explanation."""
    moved = np.abs(shifts.seen - shifts.expected)
    return shifts.is_known & (np.abs(shifts.scales) >= _SCALES) & (moved >= _NOISES * shifts.noise)


def _alarm(evidence: Evidence, table: _Table, shifts: Shifts) -> int | None:
    """Return the position of the series that the alarm was about, None where that is not known."""
    best = 0.0
    found: int | None = None
    known: list[int] = np.flatnonzero(shifts.is_known).tolist()
    for position in known:
        if evidence.services[position] != evidence.alarmed_service:
            continue
        meaning = table.meanings[int(table.metrics[position])]
        far = float(shifts.scales[position]) * (meaning.direction or 1)
        if evidence.alarmed_metric is None:
            is_meant = meaning.direction != 0 and far > best
        else:
            is_meant = evidence.metrics[position] == evidence.alarmed_metric and (found is None or far > best)
        if is_meant:
            best, found = far, position
    return found


def _explained(evidence: Evidence, table: _Table, shifts: Shifts, alarm: int) -> FloatArray | None:
    """Return which part of the alarm's extra each service explains.

    None where the alarmed metric is as usual, or no other service has it.
    """
    metric = int(table.metrics[alarm])
    direction = table.meanings[metric].direction or (1 if shifts.scales[alarm] >= 0 else -1)
    mine = np.flatnonzero((table.metrics == metric) & shifts.is_known)
    if len(np.unique(table.services[mine])) < 2:
        return None
    worse = direction * (evidence.window[mine] - shifts.expected[mine, None])
    is_part = _is_strange(shifts)[mine] | (table.services[mine] == table.services[alarm])
    is_average = table.meanings[metric].is_of_a_call
    calls = _traffic(evidence, table, alarm) if is_average else None
    extra = extras(worse, table.services[mine], len(table.names), is_part, calls)
    is_comparable = not is_average or calls is not None
    found = explained(extra, extra[table.services[alarm]], is_comparable=is_comparable)
    return found if bool((found > 0).any()) else None


def _traffic(evidence: Evidence, table: _Table, alarm: int) -> FloatArray | None:
    """Return the calls of each service in the window, None where no metric counts those of the alarmed one."""
    best: FloatArray | None = None
    covered = 0
    for metric, meaning in enumerate(table.meanings):
        if not meaning.is_traffic:
            continue
        mine = np.flatnonzero(table.metrics == metric)
        calls = calls_of(evidence.window[mine], table.services[mine], len(table.names))
        counted = int((calls.sum(axis=1) > 0).sum())
        if counted > covered and calls[table.services[alarm]].sum() > 0:
            best, covered = calls, counted
    return best


def _scores(
    evidence: Evidence, table: _Table, votes: FloatArray, told: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Return the score of each service, and what of it is its own."""
    value = votes if told is None else told
    own = value
    if evidence.calls is not None:
        left = evidence.calls.left_by_callees(dict(zip(table.names, value.tolist(), strict=True)))
        own = np.array([left[name] for name in table.names])
    elif told is not None:
        # Without a graph anything may be below the alarm, which shows all of itself: that says nothing.
        is_alarmed = np.array([name == evidence.alarmed_service for name in table.names], bool)
        below = float(told[~is_alarmed].max(initial=0.0))
        own = np.where(is_alarmed, np.maximum(told - below, 0.0), told)
    score = own + _INHERITED * value + (_VOTE * votes if told is not None else 0.0)
    if evidence.calls is not None and evidence.alarmed_service in evidence.calls:
        reached = evidence.calls.reached(evidence.alarmed_service or "")
        score = np.where([name in reached for name in table.names], score, _VOTE * score)
    changed = np.array([name in evidence.changed for name in table.names], bool)
    return np.where(changed, _CHANGED * score, score), own


def _in_order(
    reasons: Mapping[int, Sequence[Reason]], order: Sequence[int], score: FloatArray
) -> tuple[Reason, ...]:
    """Return all reasons; how far a series moved counts as much as the score of its service."""
    ranked = [
        (float(score[service]) * reason.part, -place, -reason.position, reason)
        for place, service in enumerate(order)
        for reason in reasons.get(service, ())
    ]
    ranked.sort(key=lambda entry: entry[:3], reverse=True)
    return tuple(entry[3] for entry in ranked)


def _reasons(evidence: Evidence, table: _Table, shifts: Shifts, parts: FloatArray) -> dict[int, list[Reason]]:
    found: dict[int, list[Reason]] = {}
    order = np.lexsort((-np.abs(shifts.scales), -parts))
    positions: list[int] = order[(shifts.is_known & (shifts.scales != 0))[order]].tolist()
    for position in positions:
        direction = table.meanings[int(table.metrics[position])].direction
        scales = float(shifts.scales[position])
        reason = Reason(
            position,
            evidence.services[position],
            evidence.metrics[position],
            float(shifts.expected[position]),
            float(shifts.seen[position]),
            scales,
            "up" if scales > 0 else "down",
            None if direction == 0 else direction * scales > 0,
            float(parts[position]),
            int(shifts.since[position]),
        )
        found.setdefault(int(table.services[position]), []).append(reason)
    return found


def _left_out(evidence: Evidence, shifts: Shifts) -> dict[int, str]:
    counts = evidence.history.counts
    found: dict[int, str] = {}
    positions: list[int] = np.flatnonzero(~shifts.is_known).tolist()
    for position in positions:
        if not np.isfinite(shifts.expected[position]):
            found[position] = f"too few points before the incident: {int(counts[position])}"
        else:
            found[position] = "no points in the incident"
    return found
