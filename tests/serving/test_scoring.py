"""Blocks over many models say what each model says alone; the fallback is a z-score on running statistics."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.clock import MICROS, from_us
from atalaia.core.models import Deployment, ModelKey
from atalaia.core.points import IntArray
from atalaia.core.scores import Confidence, Explanation, Score, Source
from atalaia.core.series import Statistics
from atalaia.serving.cache import Loaded
from atalaia.serving.scoring import Block, rows_by_model, score_fallback
from tests.serving.builders import MEAN, START_US, STD, fleet, model_of, series

FIELDS = ("score", "expected", "lower", "upper", "part")


def loaded(key: ModelKey, *members: str, mean: float = MEAN, points: int = 200) -> Loaded:
    model = model_of(*members, mean=mean, points=points)
    return Loaded(Deployment(key, 1, "statistical", "", 0, "", 1), model, Source.MLFLOW)


PUMPS = loaded(fleet("pumps"), "a", "b")
FAN = loaded(series("fan"), "fan", mean=-7.0)
IDS = ("a", "fan", "nobody", "b", "stranger")
MODELS = (PUMPS, FAN, None, PUMPS, FAN)  # the last is asked for a series that its model does not hold
POINTS = st.lists(st.tuples(st.integers(0, len(IDS) - 1), st.floats(-1e100, 1e100) | st.just(math.nan)), min_size=1)


def at(count: int) -> IntArray:
    return START_US + np.arange(count, dtype=np.int64) * MICROS


def block_of(rows: IntArray, values: list[float]) -> Block:
    block = Block(at(len(rows)), np.array(values, np.float64))
    for one, points, model_rows in rows_by_model(MODELS, IDS, rows):
        block.add(one, points, model_rows)
    return block


@given(POINTS)
def test_a_block_says_of_each_point_what_its_model_says_of_it_alone(points: list[tuple[int, float]]) -> None:
    rows = np.array([row for row, _ in points], np.int64)
    block = block_of(rows, [value for _, value in points])
    stamps = at(len(points))
    for i, (row, value) in enumerate(points):
        model, name = MODELS[row], IDS[row]
        place = model.model.row_of(name) if model else None
        if model is None or place is None:
            assert math.isnan(block.scores.score[i])
            assert block.answer(i, name) is None
            continue
        alone = model.model.score(np.array([place], np.int64), stamps[i : i + 1], np.array([value]))
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(block.scores, field)[i], getattr(alone, field)[0])
        assert block.model(i) == model.ref
        assert block.explain(i) == model.model.explain(alone, 0, value)


@given(POINTS)
def test_every_point_goes_to_its_model_once(points: list[tuple[int, float]]) -> None:
    rows = np.array([row for row, _ in points], np.int64)
    parts = rows_by_model(MODELS, IDS, rows)
    taken = sorted(np.concatenate([part for _, part, _ in parts]).tolist()) if parts else []
    assert taken == [i for i, row in enumerate(rows.tolist()) if IDS[row] not in ("nobody", "stranger")]
    for model, part, model_rows in parts:
        assert [IDS[row] for row in rows[part]] == [model.model.series_ids[row] for row in model_rows]


def test_series_of_one_model_are_scored_together() -> None:
    parts = rows_by_model(MODELS, IDS, np.array([3, 1, 0, 3], np.int64))
    assert [(str(model.deployment.key), part.tolist(), rows.tolist()) for model, part, rows in parts] == [
        ("fleet:pumps", [0, 2, 3], [1, 0, 1]),
        ("series:fan", [1], [0]),
    ]


def test_without_any_model_there_is_nothing_to_split() -> None:
    assert rows_by_model([None], ["a"], np.zeros(3, np.int64)) == []


def test_an_answer_says_all_of_it() -> None:
    block = block_of(np.array([1, 0], np.int64), [-7.0, MEAN + 6 * STD])
    calm, strange = block.answer(0, "fan"), block.answer(1, "a")
    assert calm is not None
    assert strange is not None
    assert (calm.is_anomaly, strange.is_anomaly) == (False, True)
    assert strange.score == pytest.approx(2.0)
    assert (strange.series_id, strange.value, strange.timestamp) == ("a", 62.0, from_us(START_US + MICROS))
    assert (str(strange.model.model_id), strange.model.version, strange.stage) == (
        "fleet:pumps",
        "v1",
        "Production",
    )
    assert (strange.source, strange.confidence) == (Source.MLFLOW, Confidence.HIGH)
    assert strange.explanation.expected == pytest.approx(MEAN)
    assert "above the expected 50" in strange.explanation.text


def test_a_series_that_was_hardly_learnt_is_answered_without_an_opinion() -> None:
    young = loaded(series("a"), "a", points=5)
    block = Block(at(1), np.array([99.0]))
    for one, points, rows in rows_by_model([young], ["a"], np.zeros(1, np.int64)):
        block.add(one, points, rows)
    answer = block.answer(0, "a")
    assert answer is not None
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
