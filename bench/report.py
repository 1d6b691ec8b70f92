"""The form in which every benchmark reports."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure beside its baseline, measured in the same run.

    Attributes
    ----------
    ratio
        How many times better than the baseline: above 1 is better, whichever way the unit goes.
    target
        What `ratio` should reach, or where there is no peer, the bound that `value` must keep.
    """

    name: str
    value: float
    unit: str
    baseline: str
    baseline_value: float
    ratio: float
    target: str
    passed: bool


def more_is_better(
    name: str, value: float, unit: str, baseline: str, baseline_value: float, *, reach: float
) -> Figure:
    """Return a figure of which more is better; the ratio should reach `reach`."""
    ratio = value / baseline_value
    return Figure(name, value, unit, baseline, baseline_value, ratio, f"ratio >= {reach:g}", ratio >= reach)


def less_is_better(
    name: str, value: float, unit: str, baseline: str, baseline_value: float, *, reach: float
) -> Figure:
    """Return a figure of which less is better; the ratio should reach `reach`."""
    ratio = baseline_value / value
    return Figure(name, value, unit, baseline, baseline_value, ratio, f"ratio >= {reach:g}", ratio >= reach)


def bounded(name: str, value: float, unit: str, baseline: str, baseline_value: float, *, at_most: float) -> Figure:
    """Return a figure of which less is better, and which must stay below a bound."""
    ratio = baseline_value / value
    return Figure(name, value, unit, baseline, baseline_value, ratio, f"value <= {at_most:g}", value <= at_most)


def none_at_all(name: str, value: float, unit: str, baseline: str) -> Figure:
    """Return a count of what must not happen."""
    return Figure(name, value, unit, baseline, 0.0, float(not value), "value <= 0", not value)


def write(file: str, figures: Sequence[Figure]) -> None:
    """Write the figures to `bench/results`, in place of those of the same names, and print them."""
    RESULTS.mkdir(exist_ok=True)
    rounded: list[dict[str, Any]] = [
        {**asdict(f), "value": _round(f.value), "ratio": _round(f.ratio)} for f in figures
    ]
    for row in rounded:
        row["baseline_value"] = _round(row["baseline_value"])
    before: list[dict[str, Any]] = json.loads((RESULTS / file).read_text()) if (RESULTS / file).exists() else []
    fresh = {row["name"]: row for row in rounded}
    merged = [fresh.pop(row["name"], row) for row in before] + list(fresh.values())
    (RESULTS / file).write_text(json.dumps(merged, indent=1) + "\n")
    for f in figures:
        mark = "ok  " if f.passed else "MISS"
        sys.stdout.write(
            f"{mark} {f.name:34} {f.value:14,.4g} {f.unit:16} {f.ratio:8.2f} x  {f.target:16}"
            f" beside {f.baseline} ({f.baseline_value:,.4g})\n"
        )


def _round(number: float) -> float:
    return float(f"{number:.5g}")
