"""Fleet models that adopted series after their training."""

import numpy as np
import pytest

from atalaia.algorithms.adoption import adopting, begun
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.core.errors import Broken
from atalaia.core.points import Group
from atalaia.core.scores import Confidence


def grown(*newcomers, known=("a", "b", "c")):
    at = np.arange(5 * 288, dtype=np.int64) * 300_000_000
    group = Group.of((at, np.sin(at / 1.4e10) + i) for i in range(len(known)))
    model = FleetModel.fit(make_detector("streaming", {}), known, group)
    return adopting(model, dict.fromkeys(newcomers, (0, 2)), model)


def test_adopted_series_come_behind_the_members_and_survive_bytes():
    model = grown("d", "e")
    again = FleetModel.from_bytes(model.to_bytes())
    assert (again.series_ids, again.members, again.adopted) == (("a", "b", "c", "d", "e"), 3, ((0, 2), (0, 2)))
    assert [again.peers_of(row) for row in (0, 2, 3)] == [None, None, (0, 2)]
    assert again.to_bytes() == model.to_bytes()
    assert model.alive().adopted == model.adopted
    assert again.confidence(3) is Confidence.LOW


def test_who_leaves_takes_a_place_among_peers_along():
    model = grown("d", "e").without({"a", "d"})
    assert (model.series_ids, model.adopted, model.members) == (("b", "c", "e"), ((1,),), 2)


def test_an_artefact_without_adopted_series_is_as_it_always_was():
    assert b"adopted" not in grown().to_bytes()


@pytest.mark.parametrize(
    "told", [[[3]], [[-1]], [["a"]], ["ab"], [[0]] * 9, {"d": [0]}, [[True]], [[0.5]], 7], ids=str
)
def test_peers_that_are_no_series_are_refused(told):
    model = grown("d")
    object.__setattr__(model, "adopted", told)
    with pytest.raises(Broken, match="cannot be used"):
        FleetModel.from_bytes(model.to_bytes())


def test_a_detector_that_adopts_nobody_has_none():
    at = np.arange(100, dtype=np.int64) * 300_000_000
    model = FleetModel.fit(make_detector("statistical", {}), ["a", "b"], Group.of([(at, at / 1e9)] * 2))
    object.__setattr__(model, "adopted", ((0,),))
    with pytest.raises(Broken, match="adopts no series"):
        FleetModel.from_bytes(model.to_bytes())


def test_the_model_that_grows_is_left_alone_and_its_members_stay_as_they_are():
    model = grown()
    larger = adopting(model, {"d": (1,)}, model)
    assert model.series_ids == ("a", "b", "c")
    for name, array in model.state.items():
        np.testing.assert_array_equal(larger.state[name][:3], array)
        assert larger.state[name].shape == (4, *array.shape[1:])


def test_what_peers_give_is_that_of_the_training_and_for_a_replay_that_of_now():
    model = grown()
    living = model.alive()
    at = np.array([6 * 288 * 300_000_000])
    assert isinstance(model.detector, Streaming)
    model.detector.advance(living.state, np.zeros(1, np.int64), at, np.ones(1))
    one, other = adopting(model, {"d": (0, 2)}, model), adopting(living, {"d": (0, 2)}, model)
    for name, array in begun(one, 3).items():
        np.testing.assert_array_equal(one.state[name][3:], array)
        np.testing.assert_array_equal(one.state[name][3:], other.state[name][3:])
    assert any(not np.array_equal(array, other.state[name][3:]) for name, array in begun(other, 3).items())
