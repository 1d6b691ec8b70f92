"""Events and alerts, counted at one threshold and at all."""

import numpy as np
import pytest

from atalaia.algorithms.evaluation.events import NOTHING, Count, best_f1, count, recall_within, sweep

_LABELS = np.zeros(400, np.bool_)
_LABELS[100:110] = _LABELS[200:220] = True


def _scores(**at: float) -> np.ndarray:
    scores = np.zeros(400)
    for place, score in at.items():
        scores[int(place[1:])] = score
    return scores


def test_events_and_alerts_are_counted_apart() -> None:
    flags = np.zeros(400, np.bool_)
    flags[[105, 108, 300, 350]] = True
    assert count(flags, _LABELS) == Count(events=2, found=1, hits=1, false=2)


def test_recall_precision_and_f1() -> None:
    c = Count(events=4, found=2, hits=3, false=1)
    assert (c.recall, c.precision, c.f1) == (0.5, 0.75, 0.6)
    assert (c + NOTHING) == c
    assert Count(events=2, found=0, hits=0, false=0).f1 == 0.0
    assert np.isnan(NOTHING.recall)
    assert np.isnan(NOTHING.precision)
    assert np.isnan(NOTHING.f1)


def test_the_best_threshold_and_the_budget_are_found() -> None:
    counts = sweep(_scores(p105=9.0, p300=8.0, p350=7.0, p210=6.0), _LABELS)
    assert recall_within(counts, 0) == 0.5
    assert recall_within(counts, 1) == 0.5
    assert recall_within(counts, 2) == 1.0
    assert best_f1(counts) == pytest.approx(2 / 3)


def test_flagging_nearly_everything_is_no_success() -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros(20_000, np.bool_)
    labels[::1000] = True
    counts = sweep(rng.normal(size=20_000), labels)
    assert best_f1(counts) < 0.5
    assert recall_within(counts, 3) < 0.5


def test_a_score_without_ranks_finds_nothing() -> None:
    assert sweep(np.zeros(100), np.ones(100, np.bool_)) == []
    assert best_f1([]) == 0.0
    assert recall_within([], 5) == 0.0
