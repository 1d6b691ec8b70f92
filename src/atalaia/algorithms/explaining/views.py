"""What the parts of detectors look at, in plain words."""

from atalaia.core.scores import THRESHOLD

_SHAPE = "the shape of the last {} points together, beside the shapes that this series is known to have"
_SAME_TIME = "the last {} points together, beside those at the same time of other days"
VIEWS = {
    "level": "the value, beside the usual level of the series",
    "season_day": "the value, beside what is usual at this time of day",
    "season_week": "the value, beside what is usual at this time of the week",
    **{f"shape_{n}": _SHAPE.format(n) for n in (8, 16, 32)},
    **{f"same_time_{n}": _SAME_TIME.format(n) for n in (4, 16)},
    "shape": "the shape of the last points together, beside what a network can draw of this series",
    "forecast": "the value, beside what a network foretold from the last points",
    "missing": "how long no point has come, beside the longest silences of the series",
    "flat": "how often one value has come in a row, beside the longest such rows of the series",
    "shift": "the value, where the last points already lay off together",
    "jump": "the value, where the last points already jumped",
    "relation": "the value, beside what the other sensors of the asset say it should be",
    "snapshot": "what all sensors of the asset show at one moment, beside the moments that it was taught",
    "spread": "the value, where the last points already scattered unlike before",
}
"""By the name of a part, what it looks at."""


def view(part: str) -> str:
    """Return what a part of a detector looks at, e.g. for a person who reads an alarm."""
    return VIEWS.get(part, f"{part!r}, a view of this model")


def distance(score: float | None) -> str:
    """Return how far a score is from an alarm, in words.

    Examples
    --------
    >>> distance(0.4)
    '0.4 of what an alarm needs'
    >>> distance(2.5)
    '2.5 times what an alarm needs'
    """
    if score is None or score != score:
        return "no opinion"
    if score <= THRESHOLD:
        return f"{score:.2g} of what an alarm needs"
    return f"{score:,.1f} times what an alarm needs" if score < 1000 else "over 1,000 times what an alarm needs"
