"""What is said of strange moments: whom an alarm is blamed on, and that it does not depend on the batches."""

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.assets.telling import EVERY, FIRST_LOOKS, advance_and_tell, calm
from atalaia.algorithms.forests import IsolationForest
from atalaia.algorithms.relations import Relations
from atalaia.core.scores import THRESHOLD

DETECTORS = [Relations(), IsolationForest(trees=10, contamination=0.01)]
HISTORY = plant(0)


def off(moments=200, first=60, last=120, sensor=3, by=9.0):
    values = plant(1, moments)
    values[first:last, sensor] += by
    return values


class Counting(Relations):
    """Counts how often it is asked for causes."""

    asked = 0

    def explain(self, state):
        type(self).asked += 1
        return super().explain(state)


def told_of(values, detector=DETECTORS[0]):
    state, stand = detector.fit(HISTORY), calm()
    return *advance_and_tell(detector, state, values, stand), state, stand


def test_the_sensor_that_is_off_is_blamed_from_the_beginning_on():
    scores, told, _, stand = told_of(off())
    strange = np.flatnonzero(scores.score > THRESHOLD)
    assert sorted(told) == strange.tolist()
    assert 60 <= strange[0] <= 66
    assert {one.sensor for one in told.values()} == {3}
    first = told[int(strange[0])]
    assert first.causes[0].sensor == 3
    assert first.is_off
    assert not told[int(strange[-1])].is_off  # the score outlives the cause, the blame does not
    assert stand.tolist() == calm().tolist()


def test_scores_and_state_are_those_of_the_detector_alone():
    values = off()
    scores, _, state, _ = told_of(values)
    alone = DETECTORS[0].fit(HISTORY)
    wanted = DETECTORS[0].advance(alone, values)
    for name in ("score", "sensor", "parts"):
        assert getattr(scores, name).tobytes() == getattr(wanted, name).tobytes()
    assert all(array.tobytes() == alone[name].tobytes() for name, array in state.items())


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_stream_may_be_cut_anywhere(detector, size):
    values = off()
    values[90] = np.nan
    scores, told, _, _ = told_of(values, detector)
    state, stand, found, said = detector.fit(HISTORY), calm(), [], {}
    for first in range(0, len(values), size):
        part, words = advance_and_tell(detector, state, values[first : first + size], stand)
        found.append(part.score)
        said |= {first + at: word for at, word in words.items()}
    assert np.concatenate(found).tobytes() == scores.score.tobytes()
    assert said == told


def test_the_blame_stays_while_the_sensor_is_off_and_moves_when_another_one_is():
    values = off(first=60, last=90)
    values[100:150, 1] += 9.0
    _, told, _, _ = told_of(values)
    blamed = [told[at].sensor for at in sorted(told) if told[at].is_off]
    assert blamed[0] == 3
    assert blamed[-1] == 1
    assert sum(a != b for a, b in zip(blamed, blamed[1:], strict=False)) == 1


def test_a_long_alarm_is_not_looked_into_at_every_moment():
    Counting.asked = 0
    detector = Counting()
    _, told, _, _ = told_of(off(2000, 60, 2000), detector)
    assert len(told) > 1900
    assert Counting.asked < FIRST_LOOKS + 2000 // EVERY + 30
    highest = max(one.score for one in told.values() if one.causes)
    assert all(one.score <= highest for one in told.values())
    assert {one.sensor for one in told.values()} == {3}


def test_of_nothing_nothing_is_said():
    scores, told, _, stand = told_of(np.empty((0, 6)))
    assert (len(scores), told) == (0, {})
    scores, told, _, stand = told_of(np.full((5, 6), np.nan))
    assert np.isnan(scores.score).all()
    assert (told, stand.tolist()) == ({}, calm().tolist())
