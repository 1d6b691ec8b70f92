import numpy as np
import pytest

from atalaia.algorithms.detectors import DETECTORS
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.selection.trials import Past
from bench.choosing import FIGURES, Judged, best, judged, mean, merits


def labelled(*, strange: bool = True) -> Labelled:
    values = np.random.default_rng(2).normal(50.0, 1.0, 1_200)
    labels = np.zeros(1_200, np.bool_)
    if strange:
        values[1_000:1_010] += 60.0
        labels[1_000:1_010] = True
    return Labelled("a", "set", ("value",), values[:, None], labels)


def of_set(data: str, vus_pr: float) -> Judged:
    figures = {name: {"vus_pr": vus_pr, "event_f1": 0.5, "event_f1_own": 0.2} for name in DETECTORS}
    return Judged(data, Past(np.empty(0, np.int64), np.empty(0)), figures)


def test_all_detectors_are_judged_on_what_follows_the_history():
    found = judged(labelled())
    assert found is not None
    assert len(found.past.values) == 600
    assert set(found.figures) == set(DETECTORS)
    for figures in found.figures.values():
        assert set(figures) == set(FIGURES)
        assert figures["event_f1"] == 1.0  # nobody overlooks that


def test_a_series_without_an_event_is_not_judged():
    assert judged(labelled(strange=False)) is None


def test_a_set_is_blind_to_its_own_figures():
    series = [of_set("a", 0.9), of_set("a", 0.9), of_set("b", 0.4), of_set("c", 0.2)]
    assert merits(series, "a")["streaming"] == pytest.approx((0.4 + 0.2) / 2 + 0.1)
    assert merits(series, "c")["streaming"] == pytest.approx((0.9 + 0.4) / 2 + 0.1)  # each set counts once


def test_the_oracle_is_at_least_as_good_as_any_one_detector():
    found = judged(labelled())
    assert found is not None
    series = [found]
    for figure in FIGURES:
        hindsight = mean(series, lambda one, figure=figure: best(one, figure))[figure]
        assert all(hindsight >= mean(series, lambda one, name=name: name)[figure] for name in DETECTORS)
