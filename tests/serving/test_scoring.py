"""The fallback is a z-score on running statistics; a single point is answered as a block would."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.clock import from_us
from atalaia.core.models import Deployment
from atalaia.core.scores import Confidence, Explanation, Score, Source
from atalaia.core.series import Statistics
from atalaia.serving.cache import Loaded
from atalaia.serving.scoring import score_fallback, score_one
from tests.serving.builders import MEAN, START_US, STD, fleet, model_of


def loaded(*members: str, points: int = 200) -> Loaded:
    model = model_of(*members, points=points)
    return Loaded(Deployment(fleet("pumps"), 1, "statistical", "", 0, "", 1), model, Source.MLFLOW)


def test_an_answer_says_all_of_it() -> None:
    strange = score_one(loaded("a", "b"), 1, 1.0, "b", START_US, MEAN + 6 * STD)
    assert (strange.is_anomaly, strange.score) == (True, pytest.approx(2.0))
    assert (strange.series_id, strange.value, strange.timestamp) == ("b", 62.0, from_us(START_US))
    assert (strange.model.model_id, strange.model.version, strange.stage) == ("fleet:pumps", "v1", "Production")
    assert (strange.source, strange.confidence) == (Source.MLFLOW, Confidence.HIGH)
    assert strange.explanation.expected == pytest.approx(MEAN)
    assert "above the expected 50" in strange.explanation.text
    assert not score_one(loaded("a", "b"), 0, 1.0, "a", START_US, MEAN).is_anomaly


def test_a_series_that_was_hardly_learnt_is_answered_without_an_opinion() -> None:
    answer = score_one(loaded("a", points=5), 0, 1.0, "a", START_US, 99.0)
    assert (answer.score, answer.is_anomaly, answer.confidence) == (None, False, Confidence.LOW)
    assert answer.explanation.expected is None


def fallback(value: float, statistics: Statistics, sigma: float = 3.0, min_points: int = 10) -> Score:
    return score_fallback(statistics, "a", START_US, value, sigma=sigma, min_points=min_points)


@given(
    st.floats(-1e100, 1e100), st.floats(-1e100, 1e100), st.floats(1e-300, 1e100), st.floats(0.1, 100.0)
)  # fmt: skip
def test_the_fallback_is_the_distance_in_allowed_deviations(
    value: float, mean: float, std: float, sigma: float
) -> None:
    told = fallback(value, Statistics(10, mean, std, value), sigma)
    assert told.score is not None
    wanted = abs(value - mean) / (sigma * std) if sigma * std else math.inf
    assert told.score == pytest.approx(min(wanted, 1e6))
    why = told.explanation
    assert (why.expected, why.lower, why.upper) == (mean, mean - sigma * std, mean + sigma * std)


def test_the_threshold_of_the_fallback_is_where_it_was_set() -> None:
    known = Statistics(100, MEAN, STD, MEAN)
    assert not fallback(MEAN + 2 * STD, known, sigma=2.0).is_anomaly
    assert fallback(MEAN + 2.001 * STD, known, sigma=2.0).is_anomaly
    assert fallback(MEAN - 2.001 * STD, known, sigma=2.0).is_anomaly


def test_the_fallback_says_that_it_is_one() -> None:
    told = fallback(MEAN + 6 * STD, Statistics(100, MEAN, STD, MEAN))
    assert (told.confidence, told.source, told.stage) == (Confidence.LOW, Source.FALLBACK, "None")
    assert (told.model.model_id, told.model.version, told.model.algorithm) == (
        "catalogue",
        "running-statistics",
        "zscore",
    )
    assert told.explanation.text.endswith("(running statistics, no model)")
    assert told.timestamp == from_us(START_US)


@pytest.mark.parametrize(
    "statistics",
    [Statistics(9, MEAN, STD, MEAN), Statistics(0, 0.0, 0.0, None), Statistics(1_000, MEAN, 0.0, MEAN)],
    ids=["too few points", "no points", "no spread"],
)
def test_the_fallback_has_no_opinion_without_enough_to_go_by(statistics: Statistics) -> None:
    told = fallback(1e9, statistics)
    assert (told.score, told.is_anomaly, told.confidence) == (None, False, Confidence.LOW)
    assert told.explanation == Explanation(
        None, None, None, "none", "no model is in Production and too little is known"
    )


def test_the_fallback_begins_at_the_least_number_of_points() -> None:
    assert fallback(MEAN, Statistics(10, MEAN, STD, MEAN)).score == 0.0
    assert fallback(MEAN, Statistics(10, MEAN, STD, MEAN), min_points=11).score is None
