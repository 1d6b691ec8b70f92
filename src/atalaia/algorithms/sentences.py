"""What a score means, in one sentence."""

from collections.abc import Sequence
from math import floor, isfinite, isnan, log10

from atalaia.core.scores import THRESHOLD

_WHEN = {"season_day": " for this time of day", "season_week": " for this time of the week"}
SHAPES = {
    **{f"shape_{n}": f"the last {n} points together are unlike any known of this series" for n in (8, 16, 32)},
    **{f"same_time_{n}": f"the last {n} points are unlike those at this time of other days" for n in (4, 16)},
    "shape": "the last 32 points together are of a shape that its network was not taught",
}
_NARROW = {
    "shift": ", which is narrow because the last points lie off together",
    "jump": ", which is narrow because the last points jump",
    "spread": ", which is narrow because the last points scatter unlike before",
}
_FAR = 1000.0
_WITH_IT = "; off with it: "
_OTHERS = 3
"""Sensors that a sentence names beside the first."""
_FORMATS = tuple(f",.{decimals}f" for decimals in range(13))


def sentence(times: float, value: float, expected: float, lower: float, upper: float, part: str) -> str:
    """Return why `value` has its score, e.g. for a person who was woken by it.

    Parameters
    ----------
    times
        How many times the allowed deviation it is from the expected value; for a detector of shapes, its score.
    value, expected, lower, upper
        The value, what was expected, and the band.
    part
        What decided.

    Examples
    --------
    >>> sentence(8.8, 91.3, 12.0, 3.1, 20.9, "season_day")
    '91.3 is above the expected 12 (band 3.1 to 20.9) for this time of day; 8.8 times the allowed deviation'
    """
    if not isfinite(expected):
        return "no opinion: this series had too few points to learn from"
    decimals = _decimals(upper - lower)
    low, high = _shown(lower, decimals), _shown(upper, decimals)
    when = _WHEN.get(part, "")
    far = f"{times:.1f}" if times < _FAR else f"more than {_FAR:,.0f}"
    if lower <= value <= upper:
        inside = f"{_shown(value, decimals)} is inside the expected band {low} to {high}{when}"
        strange = times > THRESHOLD and part in SHAPES
        return f"{inside}, but {SHAPES[part]}; {far} times the threshold" if strange else inside
    usual = _shown(expected, decimals)
    if isnan(value):
        return f"no opinion: the value is missing; {usual} was expected (band {low} to {high}){when}"
    seen = _shown(value, decimals)
    side = "above" if value > upper else "below"
    band = f"{seen} is {side} the expected {usual} (band {low} to {high}{_NARROW.get(part, '')}){when}"
    if part in SHAPES:
        return f"{band}, and {SHAPES[part]}; {far} times the threshold"
    return f"{band}; {far} times the allowed deviation"


def asset_sentence(
    times: float, seen: float, expected: float, lower: float, upper: float, asset: str, others: Sequence[str]
) -> str:
    """Return why a sensor of an asset is named in an alarm of it.

    Parameters
    ----------
    times
        How many times the allowed deviation it is off.
    seen, expected, lower, upper
        What it showed, what was expected, and the band; NaN where no single sensor explains the alarm.
    others
        Further sensors that are off, the most telling first.

    Examples
    --------
    >>> asset_sentence(2.5, 31.2, 20.0, 18.0, 22.0, "press 3", [])
    'it shows 31.2 where the other sensors of press 3 say 20 (band 18 to 22); 2.5 times the allowed deviation'
    """
    if not isfinite(expected):
        return f"it is the strangest sensor of {asset}, whose sensors do not belong together as they did"
    more = f" and {len(others) - _OTHERS} more" if len(others) > _OTHERS else ""
    off = f"{_WITH_IT}{', '.join(others[:_OTHERS])}{more}" if others else ""
    whose = f"the other sensors of {asset}"
    return f"it shows {relation_text(times, seen, expected, lower, upper, whose)}{off}"


def without_others(text: str) -> str:
    """Return what `asset_sentence` returned, without the names of further sensors.

    Examples
    --------
    >>> without_others("it shows 3 where ...; off with it: heat, flow")
    'it shows 3 where ...'
    """
    before, found, _ = text.rpartition(_WITH_IT)
    return before if found else text


def relation_text(
    times: float, seen: float, expected: float, lower: float, upper: float, whose: str = "the other sensors"
) -> str:
    """Return how far a sensor is from what others say.

    Examples
    --------
    >>> relation_text(2.5, 31.2, 20.0, 18.0, 22.0)
    '31.2 where the other sensors say 20 (band 18 to 22); 2.5 times the allowed deviation'
    """
    decimals = _decimals(upper - lower)
    low, high = _shown(lower, decimals), _shown(upper, decimals)
    far = f"{times:.1f}" if times < _FAR else f"more than {_FAR:,.0f}"
    said = f"{whose} say {_shown(expected, decimals)} (band {low} to {high})"
    return f"{_shown(seen, decimals)} where {said}; {far} times the allowed deviation"


def _decimals(width: float) -> int:
    """Return how many decimals tell the ends of a band of this width apart, with three digits of it."""
    return min(max(2 - floor(log10(width)), 0), 12) if width > 0 else 12


def _shown(number: float, decimals: int) -> str:
    if not -1e15 < number < 1e15:
        return f"{number:.4g}"
    text = format(number, _FORMATS[decimals])
    if decimals:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
