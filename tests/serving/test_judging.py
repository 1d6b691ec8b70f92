"""What a model says of a history, without being taught or counted by it."""

import numpy as np
import pytest

from atalaia.core.errors import Unavailable
from atalaia.core.scores import Confidence
from atalaia.serving.judging import Judge
from tests.serving.builders import MEAN, START_US, STD, Place, fleet, series

STAMPS = START_US + np.arange(50, dtype=np.int64) * 60_000_000
VALUES = np.full(50, MEAN)
VALUES[40] = MEAN + 30 * STD


def test_a_history_is_judged_by_the_model_in_production(place: Place) -> None:
    place.promote(fleet("f"), "a", "b")
    told = Judge(place.models).judge("b", "f", STAMPS, VALUES, 10, 1.0)
    assert told is not None
    assert told.score[40] == pytest.approx(10.0)
    assert (told.alarm.sum(), told.alarm[40]) == (1, True)
    assert (str(told.model.model_id), told.model.version, told.model.algorithm) == ("fleet:f", "v1", "statistical")
    assert (told.confidence, told.learnt, told.needed) == (Confidence.HIGH, 200, 10)
    assert not told.is_replayed
    assert told.explain(40).expected == pytest.approx(MEAN)
    assert "above the expected 50" in told.explain(40).text


def test_nothing_is_counted(place: Place) -> None:
    place.promote(series("a"))
    before = place.models.routes.columns.cells.copy()
    Judge(place.models).judge("a", None, STAMPS, VALUES, 10, 1.0)
    told = Judge(place.models).judge("a", None, STAMPS, VALUES, 10, 1.0)
    assert told is not None
    counts = place.models.routes.columns.cells[:, 6:8]
    np.testing.assert_array_equal(counts, before[: len(counts), 6:8])


def test_a_series_without_a_model_is_not_judged(place: Place) -> None:
    place.promote(fleet("f"), "a")
    judge = Judge(place.models)
    assert judge.judge("z", None, STAMPS, VALUES, 10, 1.0) is None
    assert judge.judge("z", "f", STAMPS, VALUES, 10, 1.0) is None
    assert judge.judge("z", "g", STAMPS, VALUES, 10, 1.0) is None


def test_a_process_that_serves_nothing_loads_the_model_for_the_question(place: Place) -> None:
    place.shelf.promote(fleet("f"), "a", "b")
    place.shelf.promote(series("b"), mean=MEAN + 1.0)
    judge = Judge(place.models)  # nobody told it to follow promotions
    own, of_fleet = judge.judge("b", "f", STAMPS, VALUES, 10, 1.0), judge.judge("a", "f", STAMPS, VALUES, 10, 1.0)
    assert own is not None
    assert of_fleet is not None
    assert (own.model.model_id, of_fleet.model.model_id) == ("series:b", "fleet:f")
    assert not place.models.is_resident("a")


def test_a_model_that_cannot_be_loaded_is_unavailable(place: Place) -> None:
    deployment = place.shelf.promote(series("a"))
    place.shelf.artefacts[deployment.run_id] = b"rubbish"
    judge = Judge(place.models)
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            judge.judge("a", None, STAMPS, VALUES, 10, 1.0)
        assert caught.value.code == "model_not_loaded"
    assert len(place.shelf.fetched) == 1
