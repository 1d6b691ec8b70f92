"""Assets on the stream: the anomaly is one of the sensor that broke, whatever batches its readings come in."""

from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.relations import Relations
from atalaia.core.clock import MICROS
from atalaia.core.points import Points
from atalaia.serving.asset_watching import Watching
from tests.serving.builders import Place, series
from tests.serving.conftest import OpenPlace
from tests.serving.test_assets import KEY, SENSORS, STAMPS, asset_model

MINUTE = 60 * MICROS
AFTER = plant(1, 150, 3)
AFTER[60:100, 1] += 9.0


def watching(place: Place, *, taught: bool = True, known: tuple[str, ...] = SENSORS) -> Watching:
    for name in known:
        place.known.number(name)
    found = Watching(place.serving, place.known, 5)
    for pupil in found.pupils() if taught else ():
        pupil.done()
    return found


def arrived(place: Place, first: int = 0, until: int = 450, values: np.ndarray = AFTER) -> Points:
    """Return readings number [first, until) after the training, the sensors one after the other at each moment."""
    numbers = np.tile(np.array([place.known.number(name) for name in SENSORS], np.int32), len(values))
    stamps = STAMPS[-1] + (np.repeat(np.arange(len(values), dtype=np.int64), 3) + 1) * MINUTE
    return Points(numbers, stamps, values.ravel()).take(np.arange(first, min(until, numbers.size)))


def watch(watching: Watching, points: Points, **more: Any) -> Any:
    return watching.watch_block(points.series, points.timestamps, points.values, **more)


def strange(block: Any) -> list[tuple[int, int]]:
    """Return number and time of the points of a block that belong to an anomaly."""
    at = np.flatnonzero(block.alarm)
    return list(zip(block.points.series[at].tolist(), block.points.timestamps[at].tolist(), strict=True))


def test_a_broken_relation_alarms_on_the_sensor_that_broke_and_says_why(place: Place) -> None:
    place.deploy(KEY, asset_model())
    block = watch(watching(place), arrived(place))
    heat = place.known.number("heat")
    found = strange(block)
    assert {number for number, _ in found} == {heat}
    assert 60 <= (found[0][1] - STAMPS[-1]) // MINUTE - 1 <= 66
    index = int(np.argmax(np.where(block.alarm, block.score, 0.0)))
    why = block.explain(index)
    assert why.part == "relation"
    assert "the other sensors of press 3 say" in why.text
    assert why.lower < why.expected < why.upper
    assert block.model(index).model_id == "asset:press 3"
    assert block.relations(index)[0].series_id == "heat"
    calm = int(np.flatnonzero(block.points.series != heat)[0])
    assert (block.score[calm], block.alarm[calm], block.relations(calm)) == (0.0, False, ())


@pytest.mark.parametrize("size", [1, 2, 3, 50])
def test_the_same_points_belong_to_the_anomaly_whatever_the_batches(place: Place, size: int) -> None:
    place.deploy(KEY, asset_model())
    wanted = strange(watch(watching(place), arrived(place)))
    one, found = watching(place), list[tuple[int, int]]()
    for first in range(0, 450, size):
        block = watch(one, arrived(place, first, first + size))
        stamps, numbers = block.points.timestamps, block.points.series
        for number in set(numbers.tolist()):
            assert (np.diff(stamps[numbers == number]) >= 0).all()
        found += strange(block)
    assert found == wanted


def test_a_point_that_its_own_model_finds_strange_stays_so(place: Place) -> None:
    place.deploy(KEY, asset_model())
    place.promote(series("heat"), mean=1e6)
    place.models.find("heat")
    block = watch(watching(place), arrived(place))
    own = place.serving.score_named(
        ["heat"] * 150, STAMPS[-1] + np.arange(1, 151) * MINUTE, AFTER[:, 1].copy()
    ).score
    heat = block.points.series == place.known.number("heat")
    assert block.alarm[heat].all()
    assert (block.score[heat] >= own).all()
    assert block.model(int(np.flatnonzero(heat)[0])).model_id == "series:heat"


def test_series_of_no_asset_are_scored_as_ever(place: Place) -> None:
    place.deploy(KEY, asset_model())
    place.promote(series("other"))
    place.models.find("other")
    one = watching(place)
    points = Points(np.array([place.known.number("other")], np.int32), STAMPS[:1], np.array([1e6]))
    block = watch(one, points)
    assert block.alarm.tolist() == [True]
    assert block.explain(0).part == "level"
    assert len(watch(one, Points.empty()).score) == 0
    strangers = watch(one, Points(np.array([9_999, -1], np.int32), STAMPS[:2], np.zeros(2)))
    assert np.isnan(strangers.score).all()


def test_a_restart_anywhere_goes_on_to_the_last_bit(place: Place, open_serving: OpenPlace) -> None:
    place.deploy(KEY, asset_model())
    whole = watching(place)
    watch(whole, arrived(place))
    last = dict(whole.states())["asset:press 3/v1"]
    for stop in (1, 200, 212, 305):
        one = watching(place)
        first = strange(watch(one, arrived(place, 0, stop)))
        kept = {name: (lambda data=data: data) for name, data in one.states() if data is not None}
        lost = arrived(place, stop, stop + 7)
        watch(one, lost)  # and it dies before it stores this
        later = Watching(place.serving, place.known, 5)
        later.restore(kept)
        assert later.pupils() == []
        watch(later, lost, replayed=True)
        second = strange(watch(later, arrived(place, stop + 7)))
        assert dict(later.states())["asset:press 3/v1"] == last
        assert set(first) | set(second) <= set(strange(watch(watching(place), arrived(place))))


def test_what_it_knows_is_told_once_after_each_change(place: Place) -> None:
    place.deploy(KEY, asset_model())
    one = watching(place)
    assert [data is None for _, data in one.states()] == [False]
    assert [data is None for _, data in one.states()] == [True]
    watch(one, arrived(place, 0, 3))
    assert [data is None for _, data in one.states()] == [False]


def test_a_model_promoted_while_points_flow_catches_up(place: Place) -> None:
    one = watching(place)
    watch(one, arrived(place, 0, 200))
    place.deploy(KEY, asset_model())
    (pupil,) = one.pupils()
    ((numbers, since),) = pupil.shares
    assert numbers.tolist() == sorted(place.known.number(name) for name in SENSORS)
    assert since == STAMPS[-1] + 1
    assert strange(watch(one, arrived(place, 200, 210))) == []
    for number in numbers.tolist():  # series by series, as the history tells it
        known = arrived(place, 0, 210)
        of_one = known.take(known.series == number)
        pupil.teach(of_one.series, of_one.timestamps, of_one.values)
    pupil.done()
    assert one.pupils() == []
    watch(one, arrived(place, 210))
    whole = watching(place)
    watch(whole, arrived(place))
    assert dict(one.states()) == dict(whole.states())


def test_a_later_version_begins_anew_and_an_erased_sensor_leaves(place: Place) -> None:
    place.deploy(KEY, asset_model())
    one = watching(place)
    watch(one, arrived(place, 0, 190))
    place.deploy(KEY, asset_model().without({"flow"}))
    (pupil,) = one.pupils()
    assert len(pupil.shares[0][0]) == 2
    pupil.done()
    block = watch(one, arrived(place, 190))
    assert np.isnan(block.score[block.points.series == place.known.number("flow")]).all()
    assert [name for name, _ in one.states()] == ["asset:press 3/v2"]


@pytest.mark.parametrize("state", [b"rubbish", b""])
def test_a_state_that_cannot_be_read_is_learnt_anew(place: Place, state: bytes) -> None:
    place.deploy(KEY, asset_model())
    one = watching(place)
    one.restore({"asset:press 3/v1": lambda: state})
    assert len(one.pupils()) == 1


def test_a_model_that_was_never_told_the_pace_does_not_follow(place: Place) -> None:
    place.deploy(KEY, AssetModel.fit(Relations(), SENSORS, plant(0, 600, 3)))
    one = watching(place)
    assert one.pupils() == []
    assert strange(watch(one, arrived(place))) == []


def test_an_asset_whose_sensors_nobody_knows_waits(place: Place) -> None:
    place.deploy(KEY, asset_model(sensors=("new a", "new b")))
    one = watching(place, taught=False, known=())
    assert [pupil.shares for pupil in one.pupils()] == [[]]
    place.known.numbers = lambda series_ids: {name: place.known.number(name) for name in series_ids}
    assert [len(pupil.shares) for pupil in one.pupils()] == [1]


def test_a_threshold_that_people_moved_holds_for_alarms_of_the_asset_too(place: Place) -> None:
    place.deploy(KEY, asset_model())
    plain = watching(place)
    peak = float(np.nanmax(watch(plain, arrived(place)).score))
    heat = place.known.number("heat")
    thresholds = np.ones(heat + 1)
    thresholds[heat] = 1.01 * peak
    moved = watching(place)
    moved.set_thresholds(thresholds)
    block = watch(moved, arrived(place))
    assert strange(block) == []
    assert float(np.nanmax(block.score)) == pytest.approx(1 / 1.01)
    thresholds[heat] = 0.5 * peak
    moved = watching(place)
    moved.set_thresholds(thresholds)
    found = strange(watch(moved, arrived(place)))
    assert found
    assert {number for number, _ in found} == {heat}
