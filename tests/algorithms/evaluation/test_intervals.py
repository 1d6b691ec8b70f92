"""Runs and alerts."""

import numpy as np

from atalaia.algorithms.evaluation.intervals import alerts, runs


def _marks(text: str) -> np.ndarray:
    return np.array([c == "x" for c in text], np.bool_)


def test_runs_are_found_at_both_ends() -> None:
    starts, ends = runs(_marks("xx..x..xxx"))
    assert (starts.tolist(), ends.tolist()) == ([0, 4, 7], [1, 4, 9])


def test_flags_close_to_each_other_are_one_alert() -> None:
    starts, ends = alerts(_marks("x" + "." * 9 + "xx" + "." * 10 + "x"))
    assert (starts.tolist(), ends.tolist()) == ([0, 22], [11, 22])


def test_nothing_flagged_is_no_alert() -> None:
    assert [len(part) for part in (*runs(_marks("...")), *alerts(_marks("")))] == [0, 0, 0, 0]
