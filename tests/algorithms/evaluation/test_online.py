"""The protocol online: what is learnt and judged, and the figures that come of it."""

from dataclasses import replace

import numpy as np
import pytest

from atalaia.algorithms.evaluation.contest import Judged, Stretch
from atalaia.algorithms.evaluation.labelled import Labelled
from atalaia.algorithms.evaluation.online import MOST_POINTS, group_alarms, run_online, split
from tests.algorithms.evaluation.builders import DAY, labelled


class _Watch:
    """A stopwatch that goes on by a second each time that it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def _oracle(series: Labelled, scale: float = 2.0, false: int = 0):
    """A judge that knows the labels, and gives some false alarms."""

    def judge(past: Stretch, future: Stretch, per_week: float) -> Judged:
        scores = np.zeros(len(future))
        if len(past) + len(future) == len(series):
            scores = series.labels[len(past) :].astype(np.float64) * scale
            scores[: false * 20 : 20] = 1.5
        return Judged(scores, 1.0)

    return judge


def test_a_contestant_that_knows_everything_gets_the_best_figures() -> None:
    series = labelled()
    (outcome,) = run_online([series], {"oracle": _oracle(series)}, _Watch())
    figures = outcome.figures
    assert (figures["event_f1"], figures["recall_1fa_week"], figures["recall"], figures["precision"]) == (
        1,
        1,
        1,
        1,
    )
    assert figures["auc_pr"] == 1.0
    assert (figures["vus_pr"] or 0) > 0.8
    assert figures["realised_fa_day"] == 0.0
    assert figures["promised_fa_day"] == pytest.approx(1 / 7)
    assert figures["seconds_per_10k"] == pytest.approx(1e4 / len(series))
    assert outcome.per_series["a"]["recall"] == 1.0


def test_false_alarms_are_counted_per_day_and_on_quiet_series() -> None:
    quiet = labelled("quiet", events=0)
    (outcome,) = run_online([quiet], {"loud": _oracle(quiet, false=4)}, _Watch(), per_week=2.0)
    assert outcome.figures["realised_fa_day"] == pytest.approx(4 / 5)
    assert outcome.figures["quiet_alarms_week"] == pytest.approx(7 * 4 / 5)
    assert outcome.figures["promised_fa_day"] == pytest.approx(2 / 7)
    assert outcome.figures["vus_pr"] is None
    assert outcome.figures["recall"] is None


def test_series_without_times_keep_no_promise() -> None:
    series = labelled(timed=False)
    (outcome,) = run_online([series], {"oracle": _oracle(series)}, _Watch())
    assert outcome.figures["realised_fa_day"] is None
    assert outcome.figures["event_f1"] == 1.0


def test_the_history_is_what_the_source_says_or_the_first_half_and_both_are_bounded() -> None:
    series = labelled(days=10)
    assert [len(part) for part in split(series)] == [5 * DAY, 5 * DAY, 5 * DAY]
    assert [len(part) for part in split(replace(series, history=700))] == [700, 10 * DAY - 700, 10 * DAY - 700]
    long = labelled(days=120)
    past, future, labels = split(long)
    assert (len(past), len(future), len(labels)) == (MOST_POINTS, MOST_POINTS, MOST_POINTS)
    assert past.timestamps[-1] < future.timestamps[0]
    assert len(split(replace(long, data="nab"))[1]) == 60 * DAY


def test_files_of_nab_get_its_own_score() -> None:
    series = replace(labelled(data="nab"), history=432)
    (outcome,) = run_online([series], {"oracle": _oracle(series)}, _Watch())
    assert outcome.figures["nab_standard"] == pytest.approx(100.0)
    assert outcome.figures["nab_low_fp"] == pytest.approx(100.0)


def test_two_sets_may_have_a_series_of_one_name() -> None:
    series = [labelled("x", data="one"), labelled("x", data="two")]
    (outcome,) = run_online(series, {"oracle": _oracle(series[0])}, _Watch())
    assert list(outcome.per_series) == ["x", "two/x"]


def test_alarms_of_a_group_become_its_first() -> None:
    scores = np.array([0.0, 3.0, 2.0, 4.0, 1.0, np.nan, 2.0, 1.5, 9.0])
    assert group_alarms(scores, 3).tolist() == [0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 9.0]
    assert group_alarms(np.full(3, np.nan), 2).tolist() == [0.0, 0.0, 0.0]


def test_at_any_threshold_the_first_alarm_of_each_group_is_kept() -> None:
    rng = np.random.default_rng(1)
    scores = rng.exponential(size=500)
    grouped = group_alarms(scores, 10)
    for threshold in (1.0, 2.0, 3.0):
        over = np.flatnonzero(scores > threshold)
        alone = [i for i in over if not (scores[max(i - 10, 0) : i] > threshold).any()]
        assert set(alone) <= set(np.flatnonzero(grouped > threshold))
