import numpy as np
import pytest

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.points import Group
from atalaia.lifecycle.report import drift, judge, score_summary
from tests.lifecycle.builders import START_US, wave


@pytest.fixture
def model():
    values = wave()
    stamps = START_US + np.arange(len(values), dtype=np.int64) * 60_000_000
    return FleetModel.fit(make_detector("statistical", {}), ["pump/7"], Group.of([(stamps, values)]))


def judged(model, values):
    stamps = START_US + np.arange(len(values), dtype=np.int64) * 60_000_000
    return judge(model, "pump/7", stamps, np.asarray(values, np.float64))


def test_a_summary_tells_quantiles_and_the_share_over_the_threshold(model):
    summary = score_summary(judged(model, [50.0] * 90 + [90.0] * 10))
    assert summary["points"] == 100
    assert summary["p50"] < 0.1 < 1.0 < summary["p99"]
    assert summary["over_threshold"] == pytest.approx(0.1)


def test_a_summary_of_nothing_says_so(model):
    assert score_summary(judged(model, [])) == {
        "points": 0,
        "p50": None,
        "p95": None,
        "p99": None,
        "over_threshold": None,
    }


def test_the_same_distribution_has_not_drifted():
    told = drift(wave(1_000, seed=1), wave(1_000, seed=2))
    assert not told["drifted"]
    assert told["p_value"] > 0.05


def test_another_level_has_drifted():
    told = drift(wave(500, seed=1), wave(500, seed=2) + 3.0)
    assert told["drifted"]
    assert told["statistic"] > 0.4


def test_a_difference_that_is_real_but_tiny_is_not_called_drift():
    told = drift(wave(50_000, seed=1), wave(50_000, seed=2) + 0.1)
    assert told["p_value"] < 0.05
    assert not told["drifted"]


@pytest.mark.parametrize(("reference", "recent"), [(29, 100), (100, 29), (0, 0)])
def test_too_few_points_tell_nothing(reference, recent):
    told = drift(wave(reference), wave(recent) + 100.0)
    assert (told["statistic"], told["drifted"]) == (None, False)
