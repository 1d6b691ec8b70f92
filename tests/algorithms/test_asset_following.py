"""A model that follows: what it says of readings, and that it stands where it stood when it comes back."""

import numpy as np
import pytest

from atalaia.algorithms.artifacts import pack, unpack
from atalaia.algorithms.asset_following import Following
from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.moments import Pace
from atalaia.algorithms.forests import IsolationForest
from atalaia.algorithms.relations import Relations
from atalaia.core.points import Group

MINUTE = 60_000_000
START = 1_700_000_000_000_000
NAMES = tuple("abcdef")
STAMPS = START + np.arange(600, dtype=np.int64) * MINUTE
HISTORY = plant(0)
PACE = Pace.of(Group.of((STAMPS, HISTORY[:, i]) for i in range(6)))
DETECTORS = [Relations(), IsolationForest(trees=10, contamination=0.01)]
AFTER = plant(1, 200)
AFTER[60:100, 3] += 9.0


def readings(first=0, until=1200):
    """Return readings of moments after the training, one sensor after the other at each."""
    part = slice(first, until)
    stamps = STAMPS[-1] + (np.repeat(np.arange(200, dtype=np.int64), 6) + 1) * MINUTE
    return np.tile(np.arange(6, dtype=np.int64), 200)[part], stamps[part], AFTER.ravel()[part]


def following(detector=DETECTORS[0]):
    return Following(AssetModel.fit(detector, NAMES, HISTORY, PACE), PACE, 5)


def test_what_is_said_is_about_the_readings_of_the_sensor_that_is_off():
    words = following().follow(*readings())
    strange = [word for word in words if word.is_strange]
    assert {word.sensor for word in words} == {3}
    assert all(word.row % 6 == 3 for word in words)
    moments = [word.row // 6 for word in strange]
    assert 60 <= moments[0] <= 66
    assert 95 <= moments[-1] <= 106
    assert moments == list(range(moments[0], moments[-1] + 1))
    assert all(word.seen == AFTER[word.row // 6, 3] for word in words)
    assert strange[0].causes[0].sensor == 3
    assert not words[-1].is_strange
    assert words[-1].score <= 1.0


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@pytest.mark.parametrize("size", [1, 5, 100, 1200])
def test_however_readings_come_in_batches_the_same_is_said(detector, size):
    def said(words):
        return [(w.sensor, w.at_us, w.seen, w.score, w.is_strange, w.causes) for w in words]

    whole, cut = following(detector), following(detector)
    wanted, found = said(whole.follow(*readings())), []
    for first in range(0, 1200, size):
        found += said(cut.follow(*readings(first, first + size)))
    assert found == wanted
    assert whole.to_bytes("x") == cut.to_bytes("x")


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@pytest.mark.parametrize("moments", [0, 63, 64.5, 110])
def test_what_comes_back_goes_on_where_it_stood(detector, moments):
    until = round(moments * 6)
    one = following(detector)
    one.follow(*readings(0, until))
    data = one.to_bytes("x")
    other = following(detector)
    assert other.bring_back(data, "x")
    assert other.to_bytes("x") == data
    rest = readings(until)
    assert one.follow(*rest) == other.follow(*rest)
    assert one.to_bytes("x") == other.to_bytes("x")


def test_what_an_artefact_holds_anyway_is_not_stored():
    one = following(DETECTORS[1])
    one.follow(*readings())
    assert len(one.to_bytes("x")) < len(one.model.to_bytes()) / 5


def test_a_state_of_another_artefact_or_setting_is_not_taken():
    one = following()
    data = one.to_bytes("x")
    assert not following().bring_back(data, "y")
    other = Following(AssetModel.fit(DETECTORS[0], NAMES, HISTORY, PACE), PACE, 6)
    assert not other.bring_back(data, "x")


HOSTILE = {
    "an array missing": lambda arrays: arrays.pop("waiting_clock"),
    "an array more": lambda arrays: arrays.update(other=np.zeros(3)),
    "another shape": lambda arrays: arrays.update(stand=np.zeros(3)),
    "another type": lambda arrays: arrays.update(waiting_held=np.zeros(6, np.int64)),
    "an array of a model it is not": lambda arrays: arrays.update(model_trees=np.zeros(6)),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_what_was_never_written_is_refused_and_changes_nothing(change):
    one = following()
    one.follow(*readings())
    header, members = unpack(one.to_bytes("x"))
    arrays = {name: member.array(member.dtype, member.shape).copy() for name, member in members.items()}
    change(arrays)
    other = following()
    before = other.to_bytes("x")
    with pytest.raises(ValueError, match="array|asset"):
        other.bring_back(pack(header, arrays), "x")
    with pytest.raises(ValueError, match="zip"):
        other.bring_back(b"rubbish", "x")
    assert other.to_bytes("x") == before
