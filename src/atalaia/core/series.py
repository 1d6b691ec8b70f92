"""Series and fleets: what is watched, and what is trained together."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from atalaia.core.errors import Fault, Invalid

MAX_ID_CHARACTERS = 256
RESERVED_IDS = frozenset({"assets", "batch", "fleets", "jobs", "waves"})
"""Words that stand where an id stands in the paths of the API."""


def check_id(value: str, pointer: str = "/series_id") -> str:
    """Return `value` if it may name a series or a fleet.

    Any script, spaces and slashes are welcome; control characters, leading or trailing white space, lone
    surrogates, ``.`` and ``..``, the words in `RESERVED_IDS` and more than 256 characters are not.

    Raises
    ------
    Invalid
        With the reason and `pointer`.
    """
    reason = _why_not(value)
    if reason:
        raise Invalid("invalid_id", f"not usable as an id: {reason}", faults=[Fault(pointer, reason)])
    return value


def _why_not(value: str) -> str | None:
    if not value:
        return "it is empty"
    if len(value) > MAX_ID_CHARACTERS:
        return f"it has {len(value)} characters, at most {MAX_ID_CHARACTERS} are allowed"
    if value != value.strip():
        return "it begins or ends with white space"
    if value in (".", ".."):
        return "it means a folder wherever it stands in a path"
    if value in RESERVED_IDS:
        return f"{value!r} is reserved"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in value):
        return "it holds a control character"
    return None


@dataclass(frozen=True, slots=True)
class Statistics:
    """Running statistics of the values of one series, in order of arrival.

    Attributes
    ----------
    count
        Points that took part: those newer than all before them.
    mean, std
        Mean and sample standard deviation; ``std`` is 0.0 below two points.
    last_value
        The newest value, None when there is none.
    """

    count: int
    mean: float
    std: float
    last_value: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One stream of numbers with a name.

    Attributes
    ----------
    number
        Dense integer that stands for the series inside arrays.
    received
        Points received, repeats included.
    step_s
        Usual distance between two points in seconds, once it is known.
    """

    series_id: str
    number: int
    fleet_id: str | None
    first_at: datetime | None
    last_at: datetime | None
    received: int
    step_s: float | None
    statistics: Statistics
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Fleet:
    """Series that are trained together.

    Attributes
    ----------
    source
        ``rule`` (a setting put them together) or ``hand``.
    """

    fleet_id: str
    source: str
    series_count: int
