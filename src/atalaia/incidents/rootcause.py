"""A question for the cause of an incident, and what was found."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from atalaia.algorithms.causes.counters import is_counter, rates
from atalaia.algorithms.causes.meanings import Meaning, meaning_of
from atalaia.algorithms.causes.ranking import Ranking, Suspect
from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.incidents.ports import Change

DEFAULT_METRIC_LABEL = "__name__"
DEFAULT_SERVICE_LABEL = "service"
_MOST_CELLS = 2_000_000
_MOST_BINS = 1_440
_LEAST_BINS = 3
_USUAL_STEP_S = 60.0
_DIRECTIONS = {"up": 1, "down": -1, "either": 0}

Points = tuple[IntArray, FloatArray]
"""Timestamps in microseconds and values of one series."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes
    ----------
    start_us, end_us
        The incident.
    history_us
        How long before it says what is usual.
    series_ids, fleet_id, labels
        What to look at: these series, or those of the fleet that have all labels ``name:value``.
    edges
        Who depends on whom: (caller, callee).
    directions
        Of metrics whose name does not say it, which way is bad: ``up``, ``down`` or ``either``.
    traffic_metric
        The metric that counts calls.
    """

    start_us: int
    end_us: int
    history_us: int
    series_ids: Sequence[str] = ()
    fleet_id: str | None = None
    labels: Sequence[str] = ()
    service_label: str = DEFAULT_SERVICE_LABEL
    metric_label: str = DEFAULT_METRIC_LABEL
    alarmed_series: str | None = None
    alarmed_service: str | None = None
    alarmed_metric: str | None = None
    edges: Sequence[tuple[str, str]] = ()
    directions: Mapping[str, str] = field(default_factory=dict[str, str])
    traffic_metric: str | None = None

    @property
    def meanings(self) -> dict[str, Meaning]:
        """What the question says of metrics, where it says anything."""
        said: dict[str, Meaning] = {}
        for metric, direction in self.directions.items():
            named = meaning_of(metric)
            said[metric] = Meaning(_DIRECTIONS[direction], is_of_a_call=named.is_of_a_call)
        if self.traffic_metric is not None:
            said[self.traffic_metric] = Meaning(is_traffic=True)
        return said


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found.

    Attributes
    ----------
    series_ids
        Of the series that were looked at, by position.
    left_out
        By id, series of which nothing can be said, each with the reason.
    changes
        By service, what happened to it shortly before or in the incident.
    step_us
        Distance of two places in the window.
    """

    question: Question
    ranking: Ranking
    series_ids: Sequence[str]
    points: int
    step_us: int
    has_graph: bool
    left_out: Mapping[str, str]
    changes: Mapping[str, Sequence[Change]]

    def since_us(self, place: int) -> int:
        """Return when a place in the window begins."""
        return self.question.start_us + place * self.step_us


def measured(metric: str, points: Points) -> Points:
    """Return the points of a series, those of a counter as what it grew by in a second."""
    timestamps, values = points
    is_number = np.isfinite(values)
    timestamps, values = timestamps[is_number], values[is_number]
    return rates(timestamps, values) if is_counter(metric, values) else (timestamps, values)


def step_of(series: Iterable[Points], question: Question, count: int) -> int:
    """Return how wide a place of the window is: as the points of most of the series lie apart."""
    apart = [float(np.median(np.diff(timestamps))) for timestamps, _ in series if len(timestamps) > 1]
    length = question.end_us - question.start_us
    most = max(_LEAST_BINS, min(_MOST_BINS, _MOST_CELLS // max(count, 1)))
    step = float(np.quantile(apart, 0.9, method="higher")) if apart else _USUAL_STEP_S * MICROS
    return max(1, int(np.ceil(np.clip(step, length / most, length / _LEAST_BINS))))


def split(series: Sequence[Points], question: Question, step_us: int) -> tuple[Group, FloatArray]:
    """Return the points before the incident, and the means of those in it on a grid of `step_us`."""
    bins = -(-(question.end_us - question.start_us) // step_us)
    window = np.full((len(series), bins), np.nan)
    before: list[Points] = []
    for row, (timestamps, values) in enumerate(series):
        start = int(np.searchsorted(timestamps, question.start_us))
        before.append((timestamps[:start], values[:start]))
        places = (timestamps[start:] - question.start_us) // step_us
        counts = np.bincount(places, minlength=bins)
        np.divide(np.bincount(places, values[start:], bins), counts, out=window[row], where=counts > 0)
    return Group.of(before), window


def sentence(suspect: Suspect, alarmed_metric: str | None) -> str:
    """Return, for people, why a service stands where it does."""
    parts: list[str] = []
    if suspect.explains is not None:
        own = f", {suspect.own:.0%} of it its own" if suspect.own < suspect.explains - 0.005 else ""
        parts.append(f"explains {suspect.explains:.0%} of what {alarmed_metric} shows at the alarm{own}")
    if len(suspect.path) > 1:
        parts.append("reached by " + " > ".join(suspect.path))
    for reason in suspect.reasons[:1]:
        said = {True: ", which is bad", False: ", which is good", None: ""}[reason.is_bad]
        parts.append(
            f"{reason.metric} went {reason.direction} from {reason.expected:.4g} to {reason.seen:.4g} "
            f"({abs(reason.scales):.1f} scales{said})"
        )
    if suspect.is_changed:
        parts.append("was changed shortly before")
    return "; ".join(parts) or "nothing of it moved"
