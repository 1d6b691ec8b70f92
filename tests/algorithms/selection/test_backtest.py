from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, ClassVar

import numpy as np
import pytest

from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.detectors.protocol import Column, State
from atalaia.algorithms.selection.backtest import SAID_WEIGHT, Figures, Share, backtest
from atalaia.algorithms.selection.trials import Said, Trial, prepare
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import Scores
from tests.algorithms.selection.histories import daily, noise, past_of


@dataclass(frozen=True)
class Oracle:
    """Knows what the values should be; blind, it says nothing of anything; loud, it alarms always."""

    truth: Any
    loudness: float = 0.0
    is_blind: bool = False

    name: ClassVar[str] = "oracle"
    parts: ClassVar[tuple[str, ...]] = ("truth",)
    min_points: ClassVar[int] = 1
    band_decides: ClassVar[bool] = True
    max_bytes_per_series: ClassVar[int] = 8

    def fit(self, group: Group) -> State:
        return {"points": np.asarray(group.counts)}

    def score(self, state: State, rows: IntArray, timestamps: IntArray, values: FloatArray) -> Scores:
        off = np.abs(values - np.array([self.truth[int(t)] for t in timestamps]))
        score = np.full(len(off), np.nan) if self.is_blind else off * 1e9 + self.loudness
        return Scores(score, off, off, off, np.zeros(len(off), np.int16))

    def layout(self) -> Mapping[str, Column]:
        return {"points": Column("<i8")}

    def hyperparameters(self) -> dict[str, Any]:
        return {}

    def bands(self, state: State) -> None:
        return None


def trials_and_truth() -> tuple[list[Trial], dict[int, float]]:
    past = past_of(daily())
    return prepare([past]), dict(zip(past.timestamps.tolist(), past.values.tolist(), strict=True))


def still() -> float:
    return 0.0


def test_who_knows_the_truth_finds_everything_and_nothing_else():
    trials, truth = trials_and_truth()
    figures = backtest(Oracle(truth), trials, still)
    assert figures.injected.found == figures.injected.all >= 20
    assert set(figures.kinds) == {"spike_up", "spike_down", "level", "slope", "flat", "season"}
    assert (figures.recall, figures.precision, figures.f1, figures.evidence) == (1.0, 1.0, 1.0, 1.0)
    assert figures.false_alarms == 0
    assert figures.vus_pr > 0.8
    assert figures.bytes_per_series == 8


def test_who_says_nothing_finds_nothing():
    trials, truth = trials_and_truth()
    figures = backtest(Oracle(truth, is_blind=True), trials, still)
    assert (figures.recall, figures.precision, figures.f1, figures.separation) == (0.0, 0.0, 0.0, 0.0)
    assert figures.false_a_day == 0.0


def test_who_always_alarms_finds_nothing_either():
    trials, truth = trials_and_truth()
    figures = backtest(Oracle(truth, loudness=5.0), trials, still)
    assert figures.injected.found == 0  # its alarms are there without the anomalies too
    assert figures.false_alarms == 1


def test_time_is_what_the_stopwatch_says():
    trials, truth = trials_and_truth()
    ticks = count()
    assert backtest(Oracle(truth), trials, lambda: float(next(ticks))).seconds == 1.0


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_can_be_tried_and_does_the_same_again(name):
    trials = prepare([past_of(daily()), past_of(noise(400))])
    first, again = (backtest(make_detector(name, {}), trials, still) for _ in range(2))
    assert first == again
    assert 0.0 <= first.separation <= 1.0
    assert first.injected.all == sum(len(copy.events) for trial in trials for copy in trial.copies)
    assert first.bytes_per_series > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_huge_values_give_figures(name):
    figures = backtest(make_detector(name, {}), prepare([past_of(daily(1_000) * 1e130)]), still)
    assert np.isfinite([figures.recall, figures.f1, figures.vus_pr, figures.evidence]).all()


def test_feedback_joins_as_labelled_events_and_quiet_stretches():
    past = past_of(daily())
    values = past.values.copy()
    values[[2_500, 2_700]] += 500.0
    first, second = int(past.timestamps[2_500]), int(past.timestamps[2_700])
    told = (Said(first, first, True), Said(second, second, False), Said(0, 5, True))  # the last before all points
    bare = backtest(make_detector("seasonal_profile", {}), prepare([replace(past, values=values)]), still)
    figures = backtest(
        make_detector("seasonal_profile", {}), prepare([replace(past, values=values, said=told)]), still
    )
    assert (figures.useful, figures.noise) == (Share(1, 1), Share(1, 1))
    assert figures.false_alarms == bare.false_alarms - 1
    assert figures.recall > bare.recall or bare.recall == 1.0
    assert figures.precision < 1.0


def test_labels_that_contradict_each_other_favour_nobody():
    past = past_of(daily())
    values = past.values.copy()
    values[2_500] += 500.0
    at = int(past.timestamps[2_500])
    told = (Said(at, at, True), Said(at, at, False))
    trials = prepare([replace(past, values=values, said=told)])
    agreed = []
    for name, given in (("seasonal_profile", {}), ("statistical", {"threshold_sigma": 1_000.0})):  # one sees it
        figures = backtest(make_detector(name, given), trials, still)
        assert (figures.useful.all, figures.noise.all) == (1, 1)
        agreed.append((figures.useful.found, figures.useful.found + 1 - figures.noise.found))
    assert agreed == [(1, 1), (0, 1)]


def figures_of(**more: Any) -> Figures:
    told: dict[str, Any] = {
        "kinds": {"level": Share(6, 9)}, "separation": 0.5, "useful": Share(), "noise": Share(),
        "false_alarms": 0, "days": 1.0, "vus_pr": 0.5, "seconds": 0.0, "bytes_per_series": 8.0,
    }  # fmt: skip
    return Figures(**{**told, **more})


def test_the_word_of_people_weighs_more_than_what_was_put_in():
    assert figures_of().evidence == 0.5
    heard = figures_of(useful=Share(1, 1), noise=Share(0, 2))
    assert heard.evidence == pytest.approx((9 * 0.5 + SAID_WEIGHT * 3) / (9 + SAID_WEIGHT * 3))
    deaf = figures_of(useful=Share(0, 1), noise=Share(2, 2))
    assert deaf.evidence < figures_of().evidence < heard.evidence
    assert deaf.precision < 1.0
