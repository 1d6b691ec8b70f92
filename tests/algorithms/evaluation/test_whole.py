"""The protocol whole."""

from dataclasses import replace

import numpy as np
import pytest

from atalaia.algorithms.evaluation.whole import run_whole
from tests.algorithms.evaluation.builders import labelled


def _clock():
    now = iter(range(10_000))
    return lambda: float(next(now))


def test_ours_and_what_others_published_stand_side_by_side() -> None:
    a = replace(labelled("a"), published={"Best": 0.6, "Other": 0.2, "Broken": float("nan")})
    b = replace(labelled("b"), published={"Best": 0.4, "Other": 0.2, "Broken": 0.3})
    methods = {"values": lambda values: np.abs(values - 50.0)}
    outcomes = run_whole([a, b], methods, _clock())
    assert [outcome.name for outcome in outcomes] == ["values", "published:Best", "published:Other"]
    assert outcomes[1].figures["vus_pr"] == pytest.approx(0.5)
    assert (outcomes[0].figures["vus_pr"] or 0) > 0.5
    assert outcomes[0].figures["seconds_per_10k"] == pytest.approx(1e4 * 2 / (len(a) + len(b)))
    assert set(outcomes[0].per_series["a"]) == {"seconds_per_10k", "vus_pr", "auc_pr", "event_f1"}


def test_a_series_without_an_event_has_no_figures_but_its_cost() -> None:
    (outcome,) = run_whole([labelled("quiet", events=0)], {"m": lambda values: values}, _clock())
    assert outcome.figures["vus_pr"] is None
    assert set(outcome.per_series["quiet"]) == {"seconds_per_10k"}


def test_no_series_gives_no_figures() -> None:
    (outcome,) = run_whole([], {"m": lambda values: values}, _clock())
    assert outcome.figures == {"vus_pr": None, "auc_pr": None, "event_f1": None, "seconds_per_10k": None}
