"""While versions take each other's place, no request sees half of two, and no count falls."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.core.scores import Score, Source
from atalaia.serving.cache import Loaded
from atalaia.serving.service import PointToScore
from tests.kit.fakes import PATIENCE_S
from tests.serving.builders import MEAN, START_US, Place, fleet, model_of, open_place, series


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with open_place(tmp_path) as place:
        yield place


@pytest.fixture
def restless() -> Iterator[None]:
    """Let threads take turns a hundred times as often as they would."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 100)
    yield
    sys.setswitchinterval(usual)


MEMBERS = tuple(f"m{i}" for i in range(400))
MEANS = (0.0, 1e6)
TURNS = 20


def version_seen(scores: list[float]) -> int:
    """Return 1 or 2, whichever version gave all of the scores of the value 0.0."""
    strange = [score > 1 for score in scores]
    assert all(strange) or not any(strange), f"{sum(strange)} of {len(strange)} are of the second version"
    return 1 + strange[0]


def of_numbers(place: Place) -> int:
    numbers = np.array([place.known.number(name) for name in MEMBERS], np.int32)
    block = place.serving.score_block(numbers, np.full(len(numbers), START_US), np.zeros(len(numbers)))
    seen = version_seen(block.score.tolist())
    assert set(np.round(block.columns.expected)) == {MEANS[seen - 1]}
    assert {int(block.model(i).version[1:]) % 2 for i in (0, 7, 399)} == {seen % 2}
    assert ("above" in block.explain(5).text or "below" in block.explain(5).text) == (seen == 2)
    return seen


def of_names(place: Place) -> int:
    block = place.serving.score_named(MEMBERS[:50], np.full(50, START_US), np.zeros(50))
    return version_seen(block.score.tolist())


def of_answers(answers: list[Score]) -> int:
    seen = version_seen([answer.score or 0.0 for answer in answers])
    assert {int(answer.model.version[1:]) % 2 for answer in answers} == {seen % 2}
    assert {round(answer.explanation.expected or 0.0) for answer in answers} == {MEANS[seen - 1]}
    return seen


def of_a_batch(place: Place) -> int:
    return of_answers(place.serving.predict([PointToScore(name, START_US, 0.0) for name in MEMBERS]))  # type: ignore[arg-type]


def of_one_point(place: Place) -> int:
    answer = place.serving.predict_now(PointToScore("m17", START_US, 0.0))
    assert answer is not None
    score = place.serving.score_point_now("m3", START_US, 0.0)[0]
    assert score is not None
    assert score >= 0
    return of_answers([answer])


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("look", [of_numbers, of_names, of_a_batch, of_one_point])
@pytest.mark.parametrize("seasonal", [False, True], ids=["plain bands", "plain bands and none"])
def test_no_request_sees_half_of_two_versions(place: Place, look: Callable[[Place], int], seasonal: bool) -> None:
    """A fleet is promoted from one version to a very different one and back, while others score it."""
    key = fleet("pumps")
    first, second = model_of(*MEMBERS, mean=MEANS[0]), model_of(*MEMBERS, mean=MEANS[1])
    if seasonal:
        first = replace(first, detector=Seasonless())
    versions = [place.shelf.train(key, model) for model in (first, second)]
    place.shelf.deploy(versions[0])
    models = {1: first, 2: second}
    place.models.load = lambda d: Loaded(d, models[d.number], Source.MLFLOW)  # type: ignore[method-assign]
    place.models.refresh()
    over, seen = threading.Event(), dict[int, int]()
    turns = [0]

    def promote() -> None:
        while not over.is_set():
            turns[0] += 1
            place.shelf.deploy(versions[turns[0] % 2])
            place.models.refresh()

    promoter = threading.Thread(target=promote)
    promoter.start()
    until = time.monotonic() + 0.5
    try:
        while time.monotonic() < until or len(seen) < 2 or turns[0] <= TURNS:
            version = look(place)
            seen[version] = seen.get(version, 0) + 1
            assert time.monotonic() < until + PATIENCE_S
    finally:
        over.set()
        promoter.join(PATIENCE_S)
    assert len(place.models.routes.models) == 1


class Seasonless(ZScore):
    """A detector whose bands serving may not know beforehand."""

    def bands(self, state: object) -> None:  # type: ignore[override]
        """Return nothing, as detectors do that depend on the time."""


@pytest.mark.usefixtures("restless")
def test_counts_never_fall_while_versions_change(place: Place) -> None:
    place.promote(fleet("pumps"), *MEMBERS)
    place.promote(series("lone"))
    over = threading.Event()
    numbers = np.array([place.known.number(name) for name in MEMBERS], np.int32)

    def score() -> None:
        while not over.is_set():
            place.serving.score_block(numbers, np.full(len(numbers), START_US), np.zeros(len(numbers)))
            place.predict(("lone", MEAN), ("m1", MEAN))

    scorer = threading.Thread(target=score)
    scorer.start()
    before: dict[str, float] = {}
    try:
        for turn in range(60):
            if turn % 3 == 0:
                place.models.reload("lone" if turn % 2 else "m0")
            if turn % 20 == 10:
                place.promote(fleet("pumps"), *MEMBERS, mean=float(turn))
            now = place.metric("anomaly_predictions_total")
            fallen = {labels for labels, count in before.items() if now.get(labels, count) < count}
            assert not fallen
            before = now
    finally:
        over.set()
        scorer.join(PATIENCE_S)
    assert any('version="v4"' in labels for labels in before)
