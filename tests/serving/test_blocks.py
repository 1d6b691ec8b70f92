"""A block over many models says of each point what its model says of it alone, challengers in the same pass."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.core.clock import MICROS
from atalaia.core.models import Deployment, ModelKey, Scope, Stage
from atalaia.core.points import Group, IntArray
from atalaia.core.scores import Source
from atalaia.serving.blocks import Block, score_bands
from atalaia.serving.cache import Loaded
from atalaia.serving.columns import (
    CHALLENGED,
    CHALLENGER,
    CHAMPION,
    DISAGREED,
    NOT_LOADED,
    SCORED,
    STRANGE,
    counts_of,
    slot_of,
)
from atalaia.serving.routing import Routes, change_to, change_to_none
from atalaia.serving.streams import Streams
from tests.serving.builders import MEAN, START_US, STD, fleet, model_of, series

FIELDS = ("score", "expected", "lower", "upper", "part")
STEP_US = 600 * MICROS


def model(algorithm: str, *members: str, seed: int = 0) -> FleetModel:
    """Return a model of three weeks with a day in them."""
    stamps = START_US + np.arange(21 * 144, dtype=np.int64) * STEP_US
    noise = np.random.default_rng(seed).normal(0.0, 1.0, len(stamps))
    values = 10 + 5 * np.sin(2 * np.pi * (stamps / (86_400 * MICROS))) + noise
    return FleetModel.fit(make_detector(algorithm, {}), members, Group.of([(stamps, values)] * len(members)))


def loaded(key: ModelKey, one: FleetModel, stage: Stage = Stage.PRODUCTION) -> Loaded:
    return Loaded(Deployment(key, 1, one.detector.name, "", 0, "", 1, stage), one, Source.MLFLOW)


PUMPS = loaded(fleet("pumps"), model_of("a", "b"))
FAN = loaded(series("fan"), model("seasonal_profile", "fan"))
OVENS = loaded(fleet("ovens"), model("seasonal_profile", "c", "d", seed=1))
IDS = ("a", "fan", "nobody", "b", "c", "d", "lazy")
LAZY = loaded(series("lazy"), model_of("lazy", mean=-7.0))
HOLDERS = {"a": PUMPS, "b": PUMPS, "fan": FAN, "c": OVENS, "d": OVENS, "lazy": LAZY}
POINTS = st.lists(st.tuples(st.integers(0, len(IDS) - 1), st.floats(-1e100, 1e100) | st.just(math.nan)))


def routes_to(*models: Loaded, challengers: Sequence[Loaded] = ()) -> Routes:
    """Return routes to models, whose series have their position in `IDS`, plus 1, for a number."""
    routes = Routes()
    for one in [*models, *challengers]:
        names = one.model.series_ids
        side = CHALLENGER if one in challengers else CHAMPION
        routes.swap([change_to(one.model, routes.add(one), side, routes.indexes(names), np.arange(len(names)))])
    routes.swap([change_to_none(CHAMPION, routes.indexes(["lazy"]), NOT_LOADED)])
    routes.number({name: i + 1 for i, name in enumerate(IDS) if name in routes.index_of})
    return routes


def find(name: str) -> tuple[Loaded, int] | None:
    return (LAZY, 0) if name == "lazy" else None


def block_of(routes: Routes, rows: Sequence[int], values: Sequence[float], **how: object) -> Block:
    numbers = np.array(rows, np.int32) + 1
    return Block(routes, numbers, at(len(rows)), np.array(values, np.float64), find, **how)  # type: ignore[arg-type]


def at(count: int) -> IntArray:
    return START_US + np.arange(count, dtype=np.int64) * MICROS


@given(POINTS)
def test_a_block_says_of_each_point_what_its_model_says_of_it_alone(points: list[tuple[int, float]]) -> None:
    block = block_of(routes_to(PUMPS, FAN, OVENS), [row for row, _ in points], [value for _, value in points])
    stamps = at(len(points))
    for i, (row, value) in enumerate(points):
        holder = HOLDERS.get(IDS[row])
        if holder is None:
            assert math.isnan(block.score[i])
            assert not block.alarm[i]
            continue
        place = np.array([holder.model.row_of(IDS[row])], np.int64)
        alone = holder.model.score(place, stamps[i : i + 1], np.array([value]))
        for field in FIELDS if holder is not LAZY else ("score",):
            np.testing.assert_array_equal(getattr(block.columns, field)[i], getattr(alone, field)[0], err_msg=field)
        assert block.alarm[i] == (alone.score[0] > 1)
        assert block.model(i) == holder.ref
        assert block.explain(i) == holder.model.explain(alone, 0, value)


def test_a_number_that_nobody_has_is_a_series_without_a_model() -> None:
    block = block_of(routes_to(PUMPS), [2**31 - 2, -5, -1, 0], [1.0] * 4)
    assert np.isnan(block.score).tolist() == [True, True, True, False]


def test_points_are_counted_by_champion_and_where_the_challenger_disagrees() -> None:
    strict = replace(PUMPS.model, detector=make_detector("statistical", {"threshold_sigma": 0.5}))
    challenger = loaded(fleet("pumps"), strict, Stage.STAGING)
    routes = routes_to(PUMPS, OVENS, challengers=[challenger])
    assert routes.has_challengers
    block_of(routes, [0, 0, 3, 4], [MEAN, MEAN + 2 * STD, MEAN + 9 * STD, 1e9])
    counts = {
        name: counts_of(routes.columns.cells)[routes.index_of[name]].tolist() for name in ("a", "b", "c", "d")
    }
    assert counts == {"a": [2, 0, 2, 1], "b": [1, 1, 1, 0], "c": [1, 1, 0, 0], "d": [0, 0, 0, 0]}
    assert (SCORED, STRANGE, CHALLENGED, DISAGREED) == (0, 1, 2, 3)


def test_a_challenger_that_depends_on_the_time_is_scored_beside_a_plain_champion() -> None:
    challenger = loaded(fleet("pumps"), model("seasonal_profile", "a", "b"), Stage.STAGING)
    routes = routes_to(PUMPS, challengers=[challenger])
    block = block_of(routes, [0, 3, 0], [MEAN, MEAN, 10.0])
    assert block.model(0) == PUMPS.ref
    assert counts_of(routes.columns.cells)[routes.index_of["a"]].tolist() == [2, 1, 2, 2]


def test_a_champion_that_depends_on_the_time_has_a_plain_challenger() -> None:
    challenger = loaded(fleet("ovens"), model_of("c", "d"), Stage.STAGING)
    routes = routes_to(OVENS, challengers=[challenger])
    block_of(routes, [4, 5, 4], [10.0, MEAN, MEAN])
    assert counts_of(routes.columns.cells)[routes.index_of["c"], [SCORED, CHALLENGED]].tolist() == [2, 2]


def test_points_that_were_counted_before_are_not_counted_again() -> None:
    routes = routes_to(PUMPS, OVENS)
    block_of(routes, [0, 4], [MEAN, MEAN], counted=False)
    assert not counts_of(routes.columns.cells).any()


def test_a_model_that_comes_and_goes_meanwhile_neither_answers_nor_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    routes, last = routes_to(PUMPS, OVENS), loaded(fleet("pumps"), model_of("a", "b", mean=7.0))
    old = slot_of(int(routes.columns.cells[routes.index_of["a"], 4]))

    def promote(one: Loaded, before: int) -> int:
        slot = routes.add(one)
        routes.swap([change_to(one.model, slot, CHAMPION, routes.indexes(["a", "b"]), np.arange(2))])
        routes.drop([before])
        return slot

    def late(*args: Any) -> int:
        monkeypatch.undo()
        between = promote(loaded(fleet("pumps"), model_of("a", "b", mean=-7.0)), old)
        told: int = score_bands(*args)
        promote(last, between)
        return told

    monkeypatch.setattr("atalaia.serving.blocks.score_bands", late)
    block = block_of(routes, [0, 4, 3, 0], [7.0, 10.0, MEAN, 7.0])
    assert block.at(0) == (last, 0)
    assert block.alarm.tolist() == [False, False, True, False]
    counts = counts_of(routes.columns.cells)
    assert {name: counts[routes.index_of[name], :2].tolist() for name in ("a", "b", "c", "d")} == {
        "a": [2, 0],
        "b": [1, 1],
        "c": [1, 0],
        "d": [0, 0],
    }


def test_a_block_that_was_begun_before_there_were_more_series_counts_all_the_same() -> None:
    routes = routes_to(PUMPS)

    def slowly(name: str) -> tuple[Loaded, int] | None:
        routes.indexes([f"new{i}" for i in range(5_000)])
        return find(name)

    numbers = np.array([IDS.index("lazy") + 1, 1], np.int32)
    Block(routes, numbers, at(2), np.array([-7.0, MEAN]), slowly)
    counts = counts_of(routes.columns.cells)
    assert [counts[routes.index_of[name], SCORED] for name in ("lazy", "a")] == [1, 1]


def test_series_may_be_named_by_their_index() -> None:
    routes = routes_to(OVENS, PUMPS)
    indexes = np.array([routes.index_of["b"], -1, routes.index_of["a"]], np.int32)
    block = Block(routes, indexes, at(3), np.full(3, MEAN), find, by_index=True)
    assert np.isnan(block.score).tolist() == [False, True, False]
    assert block.model(0) == PUMPS.ref


def test_a_streaming_model_learns_only_where_it_may() -> None:
    stream = loaded(fleet("streams"), model("streaming", "a", "b").alive())
    routes = routes_to(stream)
    before = {name: array.copy() for name, array in stream.model.state.items()}
    later = stream.model.alive()
    numbers = np.array([1, 4], np.int32)
    stamps = START_US + 30 * 86_400 * MICROS + np.arange(2, dtype=np.int64)
    Block(routes, numbers, stamps, np.array([10.0, 11.0]), find)
    for name, array in stream.model.state.items():
        np.testing.assert_array_equal(array, before[name])
    streams = Streams(routes)
    Block(routes, numbers, stamps, np.array([10.0, 11.0]), find, streams=streams)
    for name, array in stream.model.state.items():  # before it has caught up, what arrives would leave a gap
        np.testing.assert_array_equal(array, before[name])
    streams.taught(stream)
    Block(routes, numbers, stamps, np.array([10.0, 11.0]), find, streams=streams)
    detector = later.detector
    detector.advance(later.state, np.array([0, 1]), stamps, np.array([10.0, 11.0]))  # type: ignore[attr-defined]
    for name, array in stream.model.state.items():
        np.testing.assert_array_equal(array, later.state[name])
    assert Scope.FLEET is stream.deployment.key.scope


THRESHOLDS = np.array([1.0, 2.0, 0.7, 1.0, 3.0, 1.5, 0.5, 2.5])
"""By number: of those of `IDS`, from 1 on."""


def test_thresholds_that_were_moved_hold_for_every_model_and_every_way_to_ask() -> None:
    own, routes = routes_to(PUMPS, FAN, OVENS), routes_to(PUMPS, FAN, OVENS)
    routes.set_thresholds(THRESHOLDS)
    rows, values = [0, 1, 3, 4, 5, 6], [51.0, 20.0, 57.0, 11.0, -30.0, -7.5]
    before, after = block_of(own, rows, values), block_of(routes, rows, values)
    by_row = THRESHOLDS[np.array(rows) + 1]
    np.testing.assert_allclose(after.score * by_row, before.score)
    np.testing.assert_allclose(after.raw(), before.score)
    np.testing.assert_array_equal(after.alarm, after.score > 1.0)
    told, untold = after.columns, before.columns
    np.testing.assert_allclose(told.upper - told.expected, (untold.upper - untold.expected) * by_row)
    for i in range(len(rows)):
        why = after.explain(i)
        assert (why.lower, why.upper) == pytest.approx((told.lower[i], told.upper[i]))
    named = Block(
        routes, routes.indexes_of(np.array(rows, np.int32) + 1), at(6), np.array(values), find, by_index=True
    )
    np.testing.assert_array_equal(named.score, after.score)


def test_a_threshold_outlives_the_model_and_goes_back_to_the_last_bit() -> None:
    routes = routes_to(PUMPS, FAN)
    values = [53.0, 57.0, 11.0]
    plain = block_of(routes, [0, 3, 1], values).score
    routes.set_thresholds(THRESHOLDS)
    moved = block_of(routes, [0, 3, 1], values).score
    assert (moved < plain).any()
    again = loaded(fleet("pumps"), model_of("a", "b"))
    routes.swap([change_to(again.model, routes.add(again), CHAMPION, routes.indexes(["a", "b"]), np.arange(2))])
    np.testing.assert_array_equal(block_of(routes, [0, 3, 1], values).score, moved)
    routes.set_thresholds(np.ones(0))
    np.testing.assert_array_equal(block_of(routes, [0, 3, 1], values).score, plain)


def test_a_threshold_waits_for_a_series_that_no_model_holds_yet() -> None:
    routes = Routes()
    routes.set_thresholds(THRESHOLDS)
    routes.indexes(["z"] * 5)
    fresh = routes_to(PUMPS)
    expected = block_of(fresh, [0], [53.0]).score / THRESHOLDS[1]
    routes.swap([change_to(PUMPS.model, routes.add(PUMPS), CHAMPION, routes.indexes(["a", "b"]), np.arange(2))])
    routes.number({"a": 1, "b": 4})
    np.testing.assert_allclose(block_of(routes, [0], [53.0]).score, expected)
    routes.reserve(5_000)
    np.testing.assert_allclose(block_of(routes, [0], [53.0]).score, expected)


def test_challengers_are_held_to_the_same_threshold() -> None:
    challenger = loaded(fleet("pumps"), model_of("a", "b", mean=51.0), Stage.STAGING)
    routes = routes_to(PUMPS, challengers=[challenger])
    routes.set_thresholds(np.array([1.0, 100.0]))
    block_of(routes, [0, 0, 0], [50.0, 70.0, 30.0])
    counts = counts_of(routes.columns.cells)[0]
    assert [counts[i] for i in (SCORED, STRANGE, CHALLENGED, DISAGREED)] == [3, 0, 3, 0]
