"""The protocol for assets, counted by hand and with its real contestants."""

from itertools import count

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.evaluation.asset import UNDETECTABLE, Asset, contestants, run_asset


def run(name, flags, labels, history=2):
    """Return a run whose only sensor says which moments will be flagged."""
    values = np.concatenate([np.zeros(history), np.asarray(flags, float)])[:, np.newaxis]
    marks = np.concatenate([np.zeros(history, bool), np.asarray(labels, bool)])
    return Asset(name, ("told",), None, values, marks, np.arange(len(marks)) < history)


def told(history, values):
    """Flag what the run says."""
    return values[:, 0] * 2.0


def figures_of(*runs, **given):
    (outcome,) = run_asset(runs, lambda: 0.0, who={"told": told}, **given)
    return outcome


def test_moments_of_all_runs_count_together():
    outcome = figures_of(run("a", [0, 1, 1, 0, 1, 0], [0, 0, 1, 1, 1, 0]), run("b", [1, 0, 0, 0], [0, 0, 0, 1]))
    assert outcome.figures["f1"] == pytest.approx(2 * 2 / (2 * 2 + 2 + 2))
    assert outcome.figures["far"] == pytest.approx(2 / 6)
    assert outcome.figures["mar"] == pytest.approx(2 / 4)
    assert outcome.figures["detection"] == pytest.approx(2 / 4)
    assert outcome.per_series["a"]["f1"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert outcome.per_series["b"]["detection"] == 0.0
    assert "detection_detectable" not in outcome.figures
    assert "vus_pr" not in outcome.figures


def test_the_history_is_not_judged():
    values = np.ones((4, 1))
    asset = Asset("a", ("told",), None, values, np.ones(4, bool), np.array([True, True, False, False]))
    assert figures_of(asset).figures["detection"] == 1.0
    with pytest.raises(ValueError, match="not its beginning"):
        figures_of(Asset("a", ("told",), None, values, np.ones(4, bool), np.array([True, False, True, False])))


def test_delays_are_of_found_faults_only():
    labels = [0, 1, 1, 1, 0, 1, 1, 0, 1, 1]
    outcome = figures_of(run("a", [1, 0, 0, 1, 1, 0, 0, 1, 1, 0], labels))
    assert outcome.figures["delay_points"] == pytest.approx((2 + 0) / 2)
    assert figures_of(run("a", [0, 0], [1, 1])).figures["delay_points"] is None


def test_faults_that_no_sensor_shows_can_be_left_out():
    runs = [run("fault00", [0, 0], [0, 0]), run("fault01", [1, 1, 0, 0], [1, 1, 1, 1]), run("fault02", [1], [1])]
    runs += [run(name, [0], [1]) for name in UNDETECTABLE]
    assert figures_of(*runs).figures["detection_detectable"] == pytest.approx((0.5 + 1.0) / 2)
    assert figures_of(*runs).figures["detection"] == pytest.approx(3 / 8)


def test_a_figure_that_there_is_not_is_none():
    outcome = figures_of(run("calm", [0, 0], [0, 0]), run("all history", [], []))
    assert outcome.figures["mar"] is outcome.figures["f1"] is None
    assert outcome.figures["far"] == 0.0
    assert outcome.per_series["all history"]["far"] is None
    assert outcome.per_series["all history"]["seconds_per_10k"] is None
    assert figures_of().figures["f1"] is None


def test_no_opinion_is_no_flag():
    assert figures_of(run("a", [np.nan, 1], [1, 1])).figures["detection"] == 0.5


def test_ranking_is_measured_as_the_caller_says():
    asked = []

    def measured(scores, labels, window):
        asked.append((scores.tolist(), labels.tolist(), window))
        return float("nan") if not labels.any() else 0.75

    outcome = figures_of(run("a", [0, 1], [0, 1]), run("calm", [0, 1], [0, 0]), vus_pr=measured)
    assert outcome.figures["vus_pr"] == 0.75
    assert outcome.per_series["calm"]["vus_pr"] is None
    assert asked[0] == ([0.0, 2.0], [False, True], 100)


def test_time_is_what_the_stopwatch_says():
    ticks = count(step=3)
    (outcome,) = run_asset([run("a", [0] * 100, [0] * 100)], lambda: float(next(ticks)), who={"told": told})
    assert outcome.figures["seconds_per_10k"] == pytest.approx(3.0 * 100)


def test_contestants_are_told_apart_by_name():
    assert list(contestants()) == ["relations", "isolation_forest", "peer:t2", "peer:pca_spe"]


def test_the_real_contestants_find_a_sensor_that_is_off():
    values = plant(0, 900)
    values[700:800, 3] += 2.5
    labels = (np.arange(900) >= 700) & (np.arange(900) < 800)
    asset = Asset("a", tuple("abcdef"), None, values, labels, np.arange(900) < 500)
    f1 = {outcome.name: outcome.figures["f1"] or 0.0 for outcome in run_asset([asset], lambda: 0.0)}
    assert f1["relations"] > 0.8  # an alarm holds on for up to 30 moments
    assert f1["peer:t2"] > 0.1
    assert f1["peer:pca_spe"] > 0.3
    assert 0.2 < f1["isolation_forest"] < f1["relations"]
