"""How rare a stretch of a series is, beside the rest of its history."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, IntArray

ALIKE = 0.5
"""What is this part as strange, or stranger, counts: the same outage twice does not have the same score, as a model
is surer of what it expects the longer it learns."""

_DAY_US = 86_400 * MICROS


@dataclass(frozen=True, slots=True)
class Rarity:
    """How often a history holds something as strange.

    Attributes
    ----------
    strength
        The highest strangeness inside the stretch.
    points
        Other points that were looked at.
    days
        Time from the first to the last point that was looked at, those of the stretch among them.
    as_strange
        Others at least half as strange as the strangest of the stretch, see `ALIKE`.
    episodes
        In how many stretches apart these lie.
    """

    strength: float
    points: int
    days: float
    as_strange: int
    episodes: int

    @property
    def share(self) -> float | None:
        """The share of the other points that are so strange; None when there are none."""
        return self.as_strange / self.points if self.points else None

    @property
    def once_in_days(self) -> float | None:
        """In how many days it happens once; None when nothing else is half as strange."""
        return self.days / (self.episodes + 1) if self.episodes else None


def rarity(
    timestamps: IntArray, strangeness: FloatArray, inside: NDArray[np.bool_], apart_us: int
) -> Rarity | None:
    """Return how rare the points `inside` are, None when nothing is known of them.

    Parameters
    ----------
    timestamps
        int64[n], microseconds since the epoch, rising.
    strangeness
        float64[n], higher is stranger; points that are NaN are not looked at.
    inside
        bool[n], the points of the stretch.
    apart_us
        Strange points nearer to each other are one episode.
    """
    known = np.isfinite(strangeness)
    own = known & inside
    if not own.any():
        return None
    strength = float(strangeness[own].max())
    others = known & ~inside
    alike = timestamps[others & (strangeness >= ALIKE * strength)]
    episodes = int(np.count_nonzero(np.diff(alike) > apart_us)) + 1 if len(alike) else 0
    seen = timestamps[known]
    days = int(seen[-1] - seen[0]) / _DAY_US
    return Rarity(strength, int(np.count_nonzero(others)), days, len(alike), episodes)


def rarity_text(found: Rarity | None) -> str:
    """Return how rare something is, in words, with what that rests on.

    Examples
    --------
    >>> rarity_text(Rarity(3.0, 8063, 28.0, 0, 0))
    'not seen in the 28 days known: nothing half as strange among 8,063 other points'
    >>> rarity_text(Rarity(3.0, 8063, 28.0, 5, 1))
    'once in 14 days: half as strange or more 1 other time in the 28 days known (8,063 other points)'
    """
    if found is None or not found.points:
        return "too little history to tell"
    known, others = f"in the {_days(found.days)} known", f"{found.points:,} other points"
    if found.once_in_days is None:
        return f"not seen {known}: nothing half as strange among {others}"
    times = "1 other time" if found.episodes == 1 else f"{found.episodes:,} other times"
    return f"once in {_days(found.once_in_days)}: half as strange or more {times} {known} ({others})"


def _days(days: float) -> str:
    if days >= 1.95:
        return f"{days:,.0f} days" if days >= 9.95 else f"{days:.2g} days"
    hours = days * 24
    return f"{hours:.0f} hours" if hours >= 1.95 else f"{hours * 60:.0f} minutes"
