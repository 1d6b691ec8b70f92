"""Which detector to take, from what each did in a backtest, and why, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atalaia.algorithms.selection.backtest import Figures

MERITS = {
    "statistical": 0.60,
    "robust_zscore": 0.61,
    "seasonal_profile": 0.71,
    "streaming": 0.84,
    "memory_bank": 0.91,
}
"""What detectors do in general: VUS-PR and half of the event F1 at their own threshold on labelled series from
operations (NAB, Microsoft Cloud Monitoring, KPI), the mean over the three sets. Anomalies that are put in are
simpler than real ones, and alone they choose worse than these figures do: see the guide."""

LEAST_MERIT = min(MERITS.values())
"""Of a detector that is not measured yet: it has to show here that it is better."""

TIE = 0.01
"""Detectors nearer to the best than this are as good; the one that costs least is taken."""

TIE_OF_NOISE = 0.1
"""The same where no point tells of the next: what knows more than a level has nothing to know."""

_LIGHT_BYTES, _MEDIUM_BYTES = 256.0, 4096.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Tried:
    """A detector that could be taken: what it did, or why it was not tried."""

    name: str
    figures: Figures | None
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """The detector that is taken, and why.

    Attributes
    ----------
    reason
        A sentence or two for people.
    tried
        All that could have been taken.
    series, points
        Histories that were looked at, and points of them.
    said
        Anomalies on which people's word was heard.
    is_white
        Whether the histories are white noise.
    """

    algorithm: str
    reason: str
    tried: tuple[Tried, ...] = ()
    series: int = 0
    points: int = 0
    said: int = 0
    is_white: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the choice as JSON values."""
        return {
            "algorithm": self.algorithm,
            "reason": self.reason,
            "series": self.series,
            "points": self.points,
            "said": self.said,
            "candidates": [_as_json(tried, white=self.is_white) for tried in self.tried],
        }


def utility_of(name: str, figures: Figures, *, white: bool) -> float:
    """Return how good a detector is for these histories: what it is in general, plus what it did on them."""
    return figures.evidence + (0.0 if white else _merit(name))


def choose(tried: Sequence[Tried], *, white: bool = False) -> tuple[str, str]:
    """Return the name of the best detector and the reason; the cheapest of those that are as good.

    Parameters
    ----------
    tried
        At least one of them with figures.
    white
        Whether the histories are white noise.
    """
    known = {one.name: one.figures for one in tried if one.figures is not None}
    utilities = {name: utility_of(name, figures, white=white) for name, figures in known.items()}
    best = max(utilities.values())
    equal = [name for name in known if utilities[name] >= best - (TIE_OF_NOISE if white else TIE)]
    cheapest = min(_cost(known[name]) for name in equal)
    chosen = max((name for name in equal if _cost(known[name]) == cheapest), key=lambda name: utilities[name])
    others = sorted((name for name in known if name != chosen), key=lambda name: -utilities[name])
    return chosen, _reason(chosen, others[:1], known, tried, white=white)


def too_large(bytes_per_series: float, series: int, most_bytes: int) -> str:
    """Return why a detector is too large for so many series, empty when it is not."""
    if bytes_per_series * series <= most_bytes:
        return ""
    return (
        f"would keep {_megabytes(bytes_per_series * series)} of {series:,} series, {_megabytes(most_bytes)} may be"
    )


def _merit(name: str) -> float:
    return MERITS.get(name, LEAST_MERIT)


def _cost(figures: Figures) -> int:
    """Return the class of what it keeps: kept by the million, by the thousand, or for few series."""
    return (figures.bytes_per_series >= _LIGHT_BYTES) + (figures.bytes_per_series >= _MEDIUM_BYTES)


def _reason(
    chosen: str, others: Sequence[str], known: Mapping[str, Figures], tried: Sequence[Tried], *, white: bool
) -> str:
    mine = known[chosen]
    parts = [f"{chosen}: {_told(mine)}"]
    for other in others:
        text = f"{other} {_told(known[other])}"
        times = known[other].bytes_per_series / max(mine.bytes_per_series, 1.0)
        parts.append(f"{text} and keeps {times:,.0f} times as much" if times >= 2.0 else text)
    if not white and any(known[other].evidence >= mine.evidence for other in others):
        better_in_general = all(_merit(chosen) > _merit(other) for other in others)
        parts.append(
            f"{chosen} is taken because it finds more real anomalies in labelled series"
            if better_in_general
            else f"{chosen} is taken because it is as good and keeps less"
        )
    if white:
        parts.append("no point tells of the next, so nothing costlier is worth it")
    parts += [f"{one.name} {one.left_out}" for one in tried if one.left_out]
    said = mine.useful.all + mine.noise.all
    if said:
        parts.append(
            f"it found {mine.useful.found} of {mine.useful.all} that people called useful, and flagged"
            f" {mine.noise.found} of {mine.noise.all} that they did not"
        )
    return "; ".join(parts)


def _told(figures: Figures) -> str:
    put = figures.injected
    return (
        f"found {put.found} of {put.all} injected anomalies with {figures.false_a_day:.2g} false alarms a day and"
        f" ranked them above {figures.separation:.0%} of the usual"
    )


def _as_json(tried: Tried, *, white: bool) -> dict[str, Any]:
    figures = tried.figures
    if figures is None:
        return {"algorithm": tried.name, "left_out": tried.left_out}
    return {
        "algorithm": tried.name,
        "total": round(utility_of(tried.name, figures, white=white), 4),
        "found": {kind: [share.found, share.all] for kind, share in figures.kinds.items()},
        "recall": round(figures.recall, 4),
        "separation": round(figures.separation, 4),
        "event_f1": round(figures.f1, 4),
        "vus_pr": round(figures.vus_pr, 4),
        "false_alarms_day": round(figures.false_a_day, 4),
        "useful": [figures.useful.found, figures.useful.all],
        "noise": [figures.noise.found, figures.noise.all],
        "bytes_per_series": round(figures.bytes_per_series),
        "cpu_seconds": round(figures.seconds, 4),
    }


def _megabytes(amount: float) -> str:
    return f"{amount / _MIB:,.0f} MiB" if amount >= _MIB else f"{amount / 1024:,.0f} KiB"
