import numpy as np
import pytest

from atalaia.algorithms.adoption import adopting
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.readiness import readiness_of
from atalaia.core.points import Group
from atalaia.core.scores import Confidence
from tests.algorithms.selection.histories import daily, noise, past_of


def model_of(algorithm: str, values: np.ndarray) -> FleetModel:
    past = past_of(values)
    return FleetModel.fit(make_detector(algorithm, {}), ["a"], Group.of([(past.timestamps, past.values)]))


@pytest.mark.parametrize(
    ("algorithm", "values", "days", "expected"),
    [
        ("streaming", noise(7), 0.02, ("unlearnt", "low", "a level needs 10 points, 7 are known")),
        ("streaming", noise(432), 1.5, ("learnt", "high", "a daily season needs 3 days, 1.5 are known")),
        ("streaming", noise(2_880), 10.0, ("learnt", "high", "in 10.0 days no daily season has shown")),
        ("streaming", daily(), 10.0, ("seasonal", "high", "a weekly season needs 14 days, 10.0 are known")),
        ("seasonal_profile", daily(), 10.0, ("seasonal", "high", "a weekly season needs 14 days")),
        ("memory_bank", daily(), 10.0, ("seasonal", "high", "a weekly season needs 14 days")),
        ("statistical", daily(), 10.0, ("learnt", "high", "statistical learns no season")),
        ("statistical", noise(50), 0.2, ("learnt", "medium", "statistical learns no season")),
        ("statistical", np.full(50, np.nan), 0.2, ("unlearnt", "low", "a level needs")),
    ],
)
def test_a_series_says_what_is_known_and_what_is_missing(algorithm, values, days, expected):
    told = readiness_of(model_of(algorithm, values), "a", days)
    assert (told.state, told.confidence) == expected[:2]
    assert told.missing[0].startswith(expected[2])
    assert told.points == int(np.isfinite(values).sum())


def test_a_series_that_joined_later_is_not_learnt():
    told = readiness_of(model_of("streaming", noise(100)), "b", 3.0)
    assert (told.state, told.confidence, told.points) == ("unlearnt", Confidence.LOW, 0)
    assert told.missing == ("it was not there when the model was trained",)


def test_an_adopted_series_says_how_many_peers_it_began_from():
    trained = model_of("streaming", daily())
    model = adopting(trained, {"b": (0,)}, trained)
    told = readiness_of(model, "b", 0.0)
    assert (told.state, told.peers, told.points) == ("unlearnt", 1, 0)
    assert told.missing == ("a level needs 10 points, 0 are known",)
    at = np.arange(120, dtype=np.int64) * 60_000_000 + int(trained.state["times"].max())
    assert isinstance(model.detector, Streaming)
    model.detector.advance(model.state, np.ones(120, np.int64), at, np.sin(at / 1e9))
    told = readiness_of(model, "b", 0.1)
    assert (told.state, told.confidence, told.peers, told.points) == ("learnt", Confidence.HIGH, 1, 120)
    assert readiness_of(model, "a", 10.0).peers == 0
