"""Routes: every series has a champion and perhaps a challenger, and nobody ever sees half of two versions."""

from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atalaia.core.models import Deployment, Stage
from atalaia.core.scores import Source
from atalaia.serving.cache import Loaded
from atalaia.serving.columns import (
    CHALLENGER,
    CHAMPION,
    NO_MODEL,
    NOT_LOADED,
    counts_of,
    counts_of_versions,
    place_of,
    row_of,
    slot_of,
)
from atalaia.serving.routing import Routes, change_to, change_to_none, gather_places
from tests.serving.builders import MEAN, STD, fleet, model_of


def loaded(*members: str, number: int = 1, mean: float = MEAN, stage: Stage = Stage.PRODUCTION) -> Loaded:
    deployment = Deployment(fleet("pumps"), number, "statistical", "", 0, "", number, stage)
    return Loaded(deployment, model_of(*members, mean=mean), Source.MLFLOW)


def send(routes: Routes, one: Loaded, side: int = CHAMPION, version: int = 0) -> int:
    slot = routes.add(one)
    names = one.model.series_ids
    routes.swap([change_to(one.model, slot, side, routes.indexes(names), np.arange(len(names)), version)])
    return slot


def count(routes: Routes, name: str, scored: int = 1) -> None:
    routes.columns.cells[routes.index_of[name], 6] += scored


@given(st.integers(0, 2**30), st.integers(0, 2**31 - 1))
def test_a_place_is_a_slot_and_a_row(slot: int, row: int) -> None:
    place = place_of(slot, row)
    assert (slot_of(place), row_of(place)) == (slot, row)
    assert slot_of(NO_MODEL) < 0 > slot_of(NOT_LOADED)
    assert NO_MODEL != NOT_LOADED


def test_a_series_without_a_model_has_none() -> None:
    routes = Routes()
    (index,) = routes.indexes(["a"]).tolist()
    assert (routes.found(index), routes.found(index, CHALLENGER), routes.waits(index)) == (
        NO_MODEL,
        NO_MODEL,
        False,
    )
    assert not routes.waits(-1)


def test_champion_and_challenger_lie_side_by_side() -> None:
    routes = Routes()
    champion, challenger = loaded("a", "b"), loaded("b", "a", number=2, mean=7.0, stage=Stage.STAGING)
    send(routes, champion)
    assert not routes.has_challengers
    send(routes, challenger, CHALLENGER)
    assert routes.has_challengers
    index = routes.index_of["a"]
    assert routes.found(index) == (champion, 0)
    assert routes.found(index, CHALLENGER) == (challenger, 1)
    assert routes.columns.bands[index, :4] == pytest.approx([MEAN, 3 * STD, 7.0, 3 * STD])
    routes.swap([change_to_none(CHALLENGER, routes.indexes(["a", "b"]), NO_MODEL)])
    assert not routes.has_challengers
    assert routes.found(index) == (champion, 0)
    assert np.isnan(routes.columns.bands[index, 2:4]).all()


def test_a_model_that_is_not_in_memory_is_waited_for() -> None:
    routes = Routes()
    routes.swap([change_to_none(CHAMPION, routes.indexes(["a"]), NOT_LOADED)])
    assert routes.found(0) == NOT_LOADED
    assert routes.waits(0)


def test_there_is_room_for_any_number_of_series_and_nothing_is_lost() -> None:
    routes = Routes()
    one = loaded("first", "second")
    send(routes, one)
    count(routes, "second", 5)
    before = routes.columns
    for start in range(0, 5_000, 700):
        routes.indexes([f"s{i}" for i in range(start, start + 700)])
    assert len(routes.columns) >= 5_602 > len(before)
    assert routes.found(routes.index_of["second"]) == (one, 1)
    assert counts_of(routes.columns.cells)[1].tolist() == [5, 0, 0, 0]
    assert routes.columns.cells.ctypes.data % 64 == 0
    assert [routes.names[i] for i in routes.indexes(["s0", "s4899", "first"])] == ["s0", "s4899", "first"]
    assert routes.found(routes.index_of["s4899"]) == NO_MODEL


@pytest.mark.parametrize("reserved", [1 << 22, 1_024])
def test_what_was_begun_before_there_were_more_series_still_points_and_counts(
    monkeypatch: pytest.MonkeyPatch, reserved: int
) -> None:
    monkeypatch.setattr("atalaia.serving.routing._RESERVED", reserved)
    routes, one = Routes(), loaded("a", "b")
    send(routes, one)
    held = routes.columns
    held.cells[1, 6] += 2
    routes.indexes([f"s{i}" for i in range(50_000)])
    held.cells[1, 6] += 3
    kept = 5 if reserved > 50_000 else 2  # beyond what is reserved, cells are copied
    assert counts_of(routes.columns.cells)[1].tolist() == [kept, 0, 0, 0]
    assert routes.found(1) == (one, 1)
    last = routes.index_of["s49999"]
    assert (routes.found(last), routes.found(last, CHALLENGER)) == (NO_MODEL, NO_MODEL)
    assert not counts_of(routes.columns.cells)[2:].any()
    assert np.isnan(routes.columns.bands[2:, :4]).all()


def test_series_that_may_come_cost_no_memory() -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    many = [Routes() for _ in range(20)]
    assert process.memory_info().rss - before < len(many) * 2**20


def test_an_index_stays_whatever_order_series_come_in() -> None:
    routes = Routes()
    assert routes.indexes(["b", "a", "b"]).tolist() == [0, 1, 0]
    assert routes.indexes(["a", "c", "b"]).tolist() == [1, 2, 0]
    assert sorted(routes.index_of.values()) == list(range(len(routes.names)))
    assert [routes.names[i] for i in routes.index_of.values()] == list(routes.index_of)


def test_numbers_of_series_may_be_anything() -> None:
    routes = Routes()
    routes.number({})
    routes.number({"a": 1, "far": 1_000_000})
    routes.number({"b": 1_500})
    by_number = routes.columns.by_number
    assert {name: int(by_number[n]) for name, n in (("a", 1), ("far", 1_000_000), ("b", 1_500))} == routes.index_of
    assert (by_number >= 0).sum() == 3


def test_places_are_looked_up_together() -> None:
    routes = Routes()
    one = loaded("a", "b")
    slot = send(routes, one)
    routes.indexes(["bare"])
    models, places = routes.look_up(np.array([1, -1, 0, 2], np.int32))
    assert places == [place_of(slot, 1), NO_MODEL, place_of(slot, 0), NO_MODEL]
    assert models[slot] is one
    assert routes.look_up(np.array([], np.int32))[1] == []


def test_places_that_changed_after_they_were_counted_are_not_read() -> None:
    routes = Routes()
    send(routes, loaded("a"))
    asked, places = np.array([0], np.int32), np.array([7])
    seen = routes.swaps.item()
    assert gather_places(routes.columns.cells, asked, places, routes.swaps, seen)
    send(routes, loaded("a", number=2))
    before = places.tolist()
    assert not gather_places(routes.columns.cells, asked, places, routes.swaps, seen)
    assert places.tolist() == before


def test_a_model_that_comes_and_goes_while_places_are_looked_up_answers_for_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes, last = Routes(), loaded("a", number=3)
    old = send(routes, loaded("a"))

    def late(*args: Any) -> bool:
        monkeypatch.undo()
        between = send(routes, loaded("a", number=2))
        routes.drop([old])
        told = gather_places(*args)
        send(routes, last)
        routes.drop([between])
        return told

    monkeypatch.setattr("atalaia.serving.routing.gather_places", late)
    models, (place,) = routes.look_up(np.array([0], np.int32))
    assert models[slot_of(place)] is last


# counts


def told(routes: Routes, name: str = "a") -> tuple[int, int, object]:
    """Return (scored, compared) since the version serves, and that version."""
    counts, versions = counts_of_versions(routes.columns)
    index = routes.index_of[name]
    return int(counts[index, 0]), int(counts[index, 2]), routes.versions[int(versions[index])]


def test_counts_begin_anew_with_another_version_and_only_then() -> None:
    routes = Routes()
    key = fleet("pumps")
    v1, v2 = routes.numbered(key, 1), routes.numbered(key, 2)
    assert routes.numbered(key, 1) == v1 != v2 != 0
    slot = send(routes, loaded("a"), version=v1)
    count(routes, "a", 3)
    assert told(routes) == (3, 0, (key, 1))
    routes.swap([change_to_none(CHAMPION, routes.indexes(["a"]), NOT_LOADED)])  # dropped to make room
    routes.drop([slot])
    assert told(routes) == (3, 0, (key, 1))
    send(routes, loaded("a"), version=v1)  # and loaded anew
    count(routes, "a")
    assert told(routes) == (4, 0, (key, 1))
    send(routes, loaded("a", number=2), version=v2)
    assert told(routes) == (0, 0, (key, 2))
    count(routes, "a", 2)
    send(routes, loaded("a"), version=v1)
    assert told(routes) == (0, 0, (key, 1))
    assert counts_of(routes.columns.cells)[0, 0] == 6


def test_a_new_challenger_begins_its_comparison_and_leaves_the_counts_of_the_champion() -> None:
    routes = Routes()
    send(routes, loaded("a"), version=1)
    routes.numbered(fleet("pumps"), 1)
    count(routes, "a", 3)
    routes.columns.cells[0, 7] += 2
    send(routes, loaded("a", number=2, stage=Stage.STAGING), CHALLENGER, version=2)
    assert told(routes)[:2] == (3, 0)
    routes.columns.cells[0, 7] += 1
    assert told(routes)[:2] == (3, 1)
    send(routes, loaded("a", number=3), version=3)
    routes.versions += [None] * 3
    assert told(routes)[:2] == (0, 0)


def test_answers_without_a_model_are_counted_apart() -> None:
    routes = Routes()
    v1 = routes.numbered(fleet("pumps"), 1)
    send(routes, loaded("a"), version=v1)
    count(routes, "a", 3)
    routes.without_model(0)
    count(routes, "a")
    routes.without_model(0)
    assert told(routes) == (1, 0, None)
    send(routes, loaded("a"), version=v1)
    assert told(routes) == (0, 0, (fleet("pumps"), 1))


# whatever happens


class AnyOrder(RuleBasedStateMachine):
    """Models come, are replaced and go; the routes say at each moment what a dictionary says."""

    names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)

    def __init__(self) -> None:
        super().__init__()
        self.routes = Routes()
        self.wanted: dict[tuple[str, int], tuple[Loaded, int] | int] = {}
        self.slots: list[int] = []

    @rule(names=names, side=st.sampled_from([CHAMPION, CHALLENGER]))
    def come(self, names: list[str], side: int) -> None:
        one = replace(loaded(*names))
        self.slots.append(send(self.routes, one, side))
        for row, name in enumerate(names):
            self.wanted[name, side] = (one, row)

    @rule(names=names, side=st.sampled_from([CHAMPION, CHALLENGER]), why=st.sampled_from([NO_MODEL, NOT_LOADED]))
    def go(self, names: list[str], side: int, why: int) -> None:
        self.routes.swap([change_to_none(side, self.routes.indexes(names), why)])
        for name in names:
            self.wanted[name, side] = why

    @rule()
    def drop(self) -> None:
        used = [found[0] for found in self.wanted.values() if not isinstance(found, int)]
        self.routes.drop([slot for slot in self.slots if self.routes.models.get(slot) not in used])

    @rule(count=st.integers(1, 1_500))
    def grow(self, count: int) -> None:
        self.routes.indexes([f"x{len(self.routes.names) + i}" for i in range(count)])

    @invariant()
    def each_series_has_what_it_was_given(self) -> None:
        for (name, side), wanted in self.wanted.items():
            index = self.routes.index_of[name]
            assert self.routes.found(index, side) == wanted
            bands = self.routes.columns.bands[index, 2 * side : 2 * side + 2]
            if isinstance(wanted, int):
                assert np.isnan(bands).all()
            else:
                assert wanted[0].model.bands is not None
                assert bands.tolist() == [column[wanted[1]] for column in wanted[0].model.bands]


TestAnyOrder = AnyOrder.TestCase
