"""A score above the threshold in force is an anomaly; no opinion is none."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from atalaia.core.scores import THRESHOLD, Confidence, Explanation, ModelRef, Score, Scores, Source


def score_of(number: float | None) -> Score:
    return Score(
        series_id="pump-7",
        timestamp=datetime(2014, 4, 10, tzinfo=UTC),
        value=1.0,
        score=number,
        confidence=Confidence.HIGH,
        model=ModelRef("series:pump-7", "v1", "statistical"),
        stage="Production",
        source=Source.MLFLOW,
        explanation=Explanation(None, None, None, "", ""),
    )


@pytest.mark.parametrize(
    ("number", "strange"), [(THRESHOLD, False), (math.nextafter(1.0, 2.0), True), (0.0, False), (None, False)]
)
def test_only_a_score_above_the_threshold_is_an_anomaly(number: float | None, strange: bool) -> None:
    assert score_of(number).is_anomaly is strange


def test_no_opinion_is_no_anomaly() -> None:
    assert not score_of(float("nan")).is_anomaly


def test_scores_are_as_long_as_their_points() -> None:
    column = np.zeros(3)
    assert len(Scores(column, column, column, column, np.zeros(3, np.int16))) == 3
