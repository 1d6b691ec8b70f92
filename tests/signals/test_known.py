"""What others ask of the catalogue: numbers and statistics, in the process that follows and in every other."""

import pytest

from atalaia.kit.blobs import Blobs
from atalaia.signals import known as module
from atalaia.signals.known import KnownSeries
from atalaia.signals.memory import Memory


@pytest.fixture
def here(place):
    return KnownSeries(place.database, place.signals.memory)


@pytest.fixture
def elsewhere(place):
    """Return what another process knows."""
    return KnownSeries(place.database, Memory(place.database, Blobs(place.blobs.root)))


def test_statistics_are_those_of_the_follower_and_elsewhere_those_it_stored(place, here, elsewhere):
    place.send(("a", 0, 1.0), ("a", 1, 3.0))
    place.drain()
    place.store()
    place.send(("a", 2, 5.0))
    place.drain()
    assert (here.statistics("a").count, here.statistics("a").mean) == (3, 3.0)
    assert (elsewhere.statistics("a").count, elsewhere.statistics("a").mean) == (2, 2.0)
    place.store()
    assert elsewhere.statistics("a").mean == 3.0


def test_a_series_that_nobody_knows_has_no_statistics(here, elsewhere):
    assert here.statistics("nobody") is None
    assert elsewhere.statistics("x" * 1_000) is None


def test_a_series_that_was_not_scored_yet_has_none_but_is_known(place, here):
    place.send(("a", 0, 1.0))
    assert here.statistics("a").count == 0


@pytest.mark.parametrize("many", [1, 10_000])
def test_numbers_are_those_of_known_series(place, here, monkeypatch, many):
    monkeypatch.setattr(module, "_MANY", many)
    place.send(("a", 0, 1.0), ("b", 0, 1.0), ("c", 0, 1.0))
    assert here.numbers(["b", "nobody", "a"]) == {"b": 2, "a": 1}
    assert here.numbers([]) == {}


def put(place, fleet, *names):
    with place.database.write() as session:
        place.signals.resolve(session, names)
    with place.database.write() as session:
        place.signals.catalogue.set_fleet(session, fleet, names)


def test_who_joined_a_fleet_is_told_since_the_last_time(place, here):
    assert here.joined(0) == (0, ())
    put(place, "pumps", "a", "b")
    place.send(("alone", 0, 1.0))
    put(place, "ovens", "c")
    assert here.joined(0) == (4, [(1, "a", "pumps"), (2, "b", "pumps"), (4, "c", "ovens")])
    assert here.joined(2) == (4, [(4, "c", "ovens")])
    assert here.joined(0, "pumps") == (4, [(1, "a", "pumps"), (2, "b", "pumps")])
    assert here.joined(4) == (4, ())
    assert here.joined(1 << 31) == (4, ())


def test_labels_are_those_of_known_series(place, here):
    place.send(("a", 0, 1.0))
    with place.database.write() as session:
        place.signals.catalogue.label(session, "a", {"job": "web"})
    assert here.labels(["nobody", "a"]) == {"a": {"job": "web"}}


def test_without_models_that_learn_there_are_no_states(here, elsewhere):
    assert (here.states(), elsewhere.states()) == ({}, {})
