"""Counters that only grow become what grew a second."""

import re

import numpy as np

from atalaia.core.clock import MICROS
from atalaia.core.points import FloatArray, IntArray

_NAMED = re.compile(r"_(?:total|count|sum|bucket)$")
_FALLS = 0.05
"""A counter may begin anew now and then; what falls more often is none."""


def is_counter(metric: str, values: FloatArray) -> bool:
    """Return whether a series is a counter: its name says so, and it grows."""
    if not _NAMED.search(metric) or len(values) < 2:
        return False
    steps = np.diff(values)
    return bool((steps > 0).any()) and float((steps < 0).mean()) <= _FALLS


def rates(timestamps: IntArray, values: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return what a counter grew by in a second, at each point but the first; at a new beginning, since that."""
    steps = np.diff(values)
    grown = np.where(steps < 0, values[1:], steps)
    return timestamps[1:], grown / (np.diff(timestamps) / MICROS)
