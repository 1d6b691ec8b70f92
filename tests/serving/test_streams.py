"""Streaming models learn from points as they arrive; what they learnt outlives reloads, promotions, processes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.errors import Broken, Stale
from atalaia.core.models import Stage
from atalaia.core.points import Group
from atalaia.serving.streams import Pupil, Streams
from tests.kit.fakes import logged
from tests.serving.builders import START_US, Place, fleet, series
from tests.serving.conftest import OpenPlace
from tests.serving.test_blocks import model

KEY = fleet("streams")
MEMBERS = ("a", "b", "c")
LATER_US = START_US + 30 * 86_400 * MICROS
MINUTE_US = 60 * MICROS
TRAINED = model("streaming", *MEMBERS)


@pytest.fixture
def streaming(place: Place) -> Place:
    """Return serving with a streaming fleet in Production."""
    place.deploy(KEY, TRAINED)
    return place


def state_of(place: Place, name: str = "a") -> dict[str, Any]:
    found = place.find(name)
    assert found is not None
    return {key: array.copy() for key, array in found.model.state.items()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def watch(place: Place, minutes: range, *names: str, value: float = 10.0, replayed: bool = False) -> Any:
    """Let one point a minute of each series arrive, once all models have caught up, as the follower does."""
    for pupil in place.serving.pupils():
        pupil.done()
    names = names or MEMBERS
    numbers = np.array([place.known.number(name) for name in names] * len(minutes), np.int32)
    stamps = LATER_US + np.repeat(np.array(minutes, np.int64), len(names)) * MINUTE_US
    values = value + np.sin(stamps / MINUTE_US)
    return place.serving.watch_block(numbers, stamps, values, replayed=replayed)


def shares_of(pupil: Pupil) -> list[tuple[list[int], int]]:
    return [(numbers.tolist(), since_us) for numbers, since_us in pupil.shares]


def kept(place: Place) -> dict[str, Callable[[], bytes]]:
    """Return what the follower would store of the models, as it gives it back."""
    states = {name: state for name, state in place.serving.states() if state is not None}
    return {name: (lambda data=data: data) for name, data in states.items()}


def learnt(minutes: range, *, trained: FleetModel = TRAINED) -> dict[str, Any]:
    """Return the state of the model after it has learnt from all points that arrived."""
    living = trained.alive()
    assert isinstance(living.detector, Streaming)
    for minute in minutes:
        stamps = np.full(len(MEMBERS), LATER_US + minute * MINUTE_US)
        living.detector.advance(living.state, np.arange(len(MEMBERS)), stamps, 10.0 + np.sin(stamps / MINUTE_US))
    return dict(living.state)


def test_points_that_arrive_teach_and_those_asked_for_do_not(streaming: Place) -> None:
    streaming.predict(("a", 99.0), ("b", 10.0))
    numbers = np.array([streaming.known.number("a")], np.int32)
    streaming.serving.score_block(numbers, np.array([LATER_US]), np.array([99.0]))
    assert_same(state_of(streaming), dict(TRAINED.state))
    watch(streaming, range(50))
    assert_same(state_of(streaming), learnt(range(50)))


def test_a_series_in_alarm_alarms_until_it_is_calm_again(streaming: Place) -> None:
    calm = watch(streaming, range(30), "a")
    wild = watch(streaming, range(30, 60), "a", value=500.0)
    assert not calm.alarm.any()
    assert wild.alarm.any()
    first = int(np.flatnonzero(wild.alarm)[0])
    assert wild.score[first] > 1
    assert wild.model(first).model_id == "fleet:streams"
    assert wild.explain(first).expected == pytest.approx(float(wild.columns.expected[first]))


def test_states_are_told_once_after_each_change(streaming: Place) -> None:
    streaming.serving.pupils()[0].done()
    assert [(name, state is None) for name, state in streaming.serving.states()] == [("fleet:streams/v1", True)]
    watch(streaming, range(3))
    assert [state is None for _, state in streaming.serving.states()] == [False]
    assert [state is None for _, state in streaming.serving.states()] == [True]


def test_a_process_that_takes_over_goes_on_where_the_last_was(streaming: Place, open_serving: OpenPlace) -> None:
    watch(streaming, range(40))
    states = kept(streaming)
    watch(streaming, range(40, 60))  # and dies before it stores this
    later = open_serving()
    later.shelf.__dict__.update(streaming.shelf.__dict__)
    later.known.numbered.update(streaming.known.numbered)
    later.models.refresh()
    later.serving.restore(states)
    assert later.serving.pupils() == []
    watch(later, range(40, 60), replayed=True)
    assert_same(state_of(later), learnt(range(60)))
    watch(later, range(60, 70))
    watch(streaming, range(60, 70))
    assert_same(state_of(later), state_of(streaming))
    assert later.serving.counts("a", 0) == (10, 0)


def test_a_model_that_comes_into_memory_after_the_states_finds_its_own(
    streaming: Place, open_serving: OpenPlace
) -> None:
    watch(streaming, range(40))
    later = open_serving()
    later.shelf.__dict__.update(streaming.shelf.__dict__)
    later.known.numbered.update(streaming.known.numbered)
    later.models.streams.restore(kept(streaming))
    later.models.refresh()
    assert_same(state_of(later), learnt(range(40)))
    (pupil,) = later.serving.pupils()  # what was scored between the two it has to learn
    assert shares_of(pupil) == [([1, 2, 3], LATER_US + 39 * MINUTE_US + 1)]
    pupil.done()
    assert later.serving.pupils() == []


def test_a_memory_that_went_wrong_is_set_back_to_what_was_stored(streaming: Place) -> None:
    watch(streaming, range(40))
    states = kept(streaming)
    watch(streaming, range(40, 50))
    streaming.serving.restore(states)
    assert_same(state_of(streaming), learnt(range(40)))
    watch(streaming, range(40, 50), replayed=True)
    assert_same(state_of(streaming), learnt(range(50)))


def broken() -> bytes:
    raise Broken("bad_blob", "damaged")


@pytest.mark.parametrize("read", [broken, lambda: b"rubbish"], ids=["damaged", "no model"])
def test_a_state_that_cannot_be_read_leaves_the_model_as_it_is(streaming: Place, read: Callable[[], bytes]) -> None:
    with logged("state_not_read", model="fleet:streams/v1"):
        streaming.serving.restore({"fleet:streams/v1": read})
    assert_same(state_of(streaming), dict(TRAINED.state))
    assert len(streaming.serving.pupils()) == 1


def test_a_state_of_other_series_or_another_detector_is_not_taken(streaming: Place) -> None:
    for other in (model("streaming", "a", "b"), model("seasonal_profile", *MEMBERS)):
        data = other.to_bytes()
        streaming.serving.restore({"fleet:streams/v1": lambda data=data: data})
        assert_same(state_of(streaming), dict(TRAINED.state))


@pytest.mark.parametrize("name", ["a", "fleet:streams"])
def test_a_reload_forgets_nothing(streaming: Place, name: str) -> None:
    streaming.serving.pupils()[0].done()
    watch(streaming, range(40))
    if name == "a":
        streaming.models.reload(name)
    else:
        streaming.serving.versions.load(name)
    watch(streaming, range(40, 50))
    assert_same(state_of(streaming), learnt(range(50)))
    assert streaming.serving.pupils() == []


def test_a_challenger_learns_and_keeps_it_when_it_is_promoted(place: Place) -> None:
    place.promote(KEY, *MEMBERS)
    trained = place.shelf.train(KEY, TRAINED)
    place.shelf.deploy(trained, Stage.STAGING)
    place.models.refresh()
    watch(place, range(40))
    place.shelf.deploy(trained)
    place.models.refresh()
    found = place.find("a")
    assert found is not None
    assert (found.ref.version, found.stage) == ("v2", "Production")
    assert_same(state_of(place), learnt(range(40)))
    watch(place, range(40, 50))
    assert_same(state_of(place), learnt(range(50)))


def test_a_version_that_comes_back_has_to_learn_what_it_missed(streaming: Place) -> None:
    streaming.serving.pupils()[0].done()
    watch(streaming, range(20))
    first = streaming.shelf.deployed[KEY]
    streaming.deploy(KEY, model("streaming", *MEMBERS, seed=1))
    assert [shares_of(pupil)[0][1] < LATER_US for pupil in streaming.serving.pupils()] == [True]
    streaming.serving.pupils()[0].done()
    watch(streaming, range(20, 40))
    streaming.shelf.deploy(first)
    streaming.models.refresh()
    (pupil,) = streaming.serving.pupils()
    assert shares_of(pupil)[0][1] <= LATER_US + 19 * MINUTE_US + 1
    missed = range(40)
    numbers = np.sort(pupil.numbers)
    stamps = LATER_US + np.tile(np.array(missed, np.int64), len(numbers)) * MINUTE_US
    pupil.teach(np.repeat(numbers, len(missed)), stamps, 10.0 + np.sin(stamps / MINUTE_US))
    pupil.done()
    assert_same(state_of(streaming), learnt(range(40)))


def test_a_lone_streaming_model_is_loaded_at_once_and_stays(open_serving: OpenPlace) -> None:
    place = open_serving(cache_bytes=2**20)
    place.deploy(series("lone"), model("streaming", "lone"))
    assert place.models.is_resident("lone")
    place.models.cache._max_bytes = 1
    place.promote(series("x"))
    place.find("x")
    place.promote(series("y"))
    place.find("y")
    assert [place.models.is_resident(name) for name in ("lone", "x", "y")] == [True, False, True]


def test_a_pupil_knows_its_series_by_number_in_order(place: Place) -> None:
    place.known.numbered.update({"c": 3, "a": 9, "b": 5})
    place.deploy(KEY, model("streaming", "a", "b", "new", "c"))
    (pupil,) = place.serving.pupils()
    assert pupil.numbers.tolist() == [3, 5, 9]
    at = np.array([LATER_US, LATER_US + 1, LATER_US])
    pupil.teach(np.array([3, 3, 9], np.int32), at, np.array([1.0, 2.0, 3.0]))
    found = place.find("a")
    assert found is not None
    assert isinstance(found.model.detector, Streaming)
    assert (found.model.state["times"].max(axis=1) >= LATER_US).tolist() == [True, False, False, True]


def test_a_model_whose_series_nobody_has_seen_is_a_pupil_of_nothing(place: Place) -> None:
    place.deploy(KEY, model("streaming", "new"))
    (pupil,) = place.serving.pupils()
    assert (pupil.numbers.tolist(), shares_of(pupil)) == ([], [])


def test_series_of_which_a_model_knows_no_point_are_a_share_of_their_own(place: Place) -> None:
    at = START_US + np.arange(20) * MINUTE_US
    nothing = (np.empty(0, np.int64), np.empty(0))
    group = Group.of([(at, np.ones(20)), nothing, (at[:10], np.ones(10)), (at[:1], np.full(1, np.nan))])
    place.known.numbered.update({"c": 3, "a": 9, "b": 5, "d": 4})
    place.deploy(KEY, FleetModel.fit(make_detector("streaming", {}), ("a", "b", "c", "d"), group))
    (pupil,) = place.serving.pupils()
    assert shares_of(pupil) == [([3, 9], START_US + 9 * MINUTE_US + 1), ([4, 5], 0)]


def test_a_pupil_that_knows_only_the_beginning_of_time_knows_a_point(place: Place) -> None:
    at = np.zeros(1, np.int64)
    place.deploy(KEY, FleetModel.fit(make_detector("streaming", {}), ("a",), Group.of([(at, np.ones(1))])))
    (pupil,) = place.serving.pupils()
    assert shares_of(pupil) == [([1], 1)]


def test_what_a_model_has_half_learnt_is_told_to_nobody(streaming: Place) -> None:
    (pupil,) = streaming.serving.pupils()
    pupil.teach(pupil.numbers, np.full(3, LATER_US), np.ones(3))
    assert list(streaming.serving.states()) == []
    pupil.done()
    assert [(name, state is None) for name, state in streaming.serving.states()] == [("fleet:streams/v1", False)]


def test_what_was_noted_of_versions_that_are_gone_is_forgotten(streaming: Place) -> None:
    for seed in range(1, 4):
        watch(streaming, range(seed, seed + 1))
        streaming.deploy(KEY, model("streaming", *MEMBERS, seed=seed))
    watch(streaming, range(5, 6))
    assert [name for name, _ in streaming.serving.states()] == ["fleet:streams/v4"]
    streams = streaming.models.streams
    assert (streams._taught, streams._changed) == ({"fleet:streams/v4"}, set())


def test_a_state_whose_reading_is_given_up_ends_the_giving_back(streaming: Place) -> None:
    def lost() -> bytes:
        raise Stale("lease_lost", "another process follows")

    with pytest.raises(Stale):
        streaming.serving.restore({"fleet:streams/v1": lost})


def test_models_that_do_not_learn_have_no_states(place: Place) -> None:
    place.promote(fleet("pumps"), "a")
    assert isinstance(place.models.streams, Streams)
    assert list(place.serving.states()) == []
    assert place.serving.pupils() == []
