"""Means over the series that have a figure."""

from math import nan

from atalaia.algorithms.evaluation.outcomes import mean_of


def test_only_series_that_have_the_figure_count() -> None:
    per_series = {"a": {"f1": 0.5}, "b": {"f1": None}, "c": {}, "d": {"f1": nan}, "e": {"f1": 1.0}}
    assert mean_of(per_series, "f1") == 0.75


def test_no_series_gives_no_figure() -> None:
    assert mean_of({}, "f1") is None
    assert mean_of({"a": {"f1": None}}, "f1") is None
