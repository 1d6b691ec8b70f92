import threading

import pytest

from atalaia.core.errors import Invalid, Missing
from atalaia.signals.catalogue import Catalogue
from atalaia.signals.settings import FleetRule, SignalsSettings
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


def catalogue(*rules, **settings):
    return Catalogue(SignalsSettings(fleet_rules=rules, **settings))


def resolve(database, catalogue, *names):
    with database.write() as session:
        numbers, created = catalogue.resolve(session, names)
    return numbers.tolist(), created


def fleet_of(database, catalogue, series_id):
    with database.read() as session:
        return catalogue.row(session, series_id).fleet_id


# numbers


def test_new_series_get_numbers_and_keep_them(database):
    one = catalogue()
    numbers, created = resolve(database, one, "a", "b", "a")
    assert created == 2
    assert numbers[0] == numbers[2] != numbers[1]
    assert resolve(database, one, "b", "c", "a") == ([numbers[1], 3, numbers[0]], 1)
    assert resolve(database, one, "a") == ([numbers[0]], 0)


def test_numbers_outlive_the_process(database):
    numbers, _ = resolve(database, catalogue(), "a", "b")
    assert resolve(database, catalogue(), "b", "a") == (numbers[::-1], 0)


def test_numbers_are_32_bit_integers(database):
    with database.write() as session:
        numbers, _ = catalogue().resolve(session, ["a"])
    assert numbers.dtype == "int32"


class Mishap(Exception):
    """Ends a transaction badly."""


def test_a_transaction_that_rolls_back_leaves_no_number_behind(database):
    one = catalogue()

    def fail():
        with database.write() as session:
            assert one.resolve(session, ["gone", "also gone"])[0].tolist() == [1, 2]
            raise Mishap

    with pytest.raises(Mishap):
        fail()
    numbers, created = resolve(database, one, "other", "gone")
    assert created == 2
    with database.read() as session:
        assert [one.number(session, name) for name in ("other", "gone")] == numbers
        with pytest.raises(Missing):
            one.number(session, "also gone")


def test_a_rollback_after_a_success_forgets_only_its_own(database):
    one = catalogue()
    kept, _ = resolve(database, one, "kept")

    def fail():
        with database.write() as session:
            one.resolve(session, ["kept", "gone"])
            raise Mishap

    with pytest.raises(Mishap):
        fail()
    assert resolve(catalogue=one, database=database) == ([], 0)
    numbers, created = resolve(database, one, "kept", "gone")
    assert (numbers[0], created) == (kept[0], 1)
    with database.read() as session:
        assert one.number(session, "gone") == numbers[1]


def test_two_processes_that_meet_the_same_series_agree_on_its_number(database):
    names = [f"series {i}" for i in range(40)]
    found = {}

    def meet(process, order):
        mine = catalogue(FleetRule(match="series *", fleet="all"))
        found[process] = [resolve(database, mine, name)[0][0] for name in order], mine

    threads = [threading.Thread(target=meet, args=(i, names if i % 2 else names[::-1])) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again, created = resolve(database, catalogue(), *names)
    assert created == 0
    assert len(set(again)) == 40
    for i in range(4):
        assert found[i][0] == (again if i % 2 else again[::-1])


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "x" * 257, "a\x00", "a\nb", "\x7f", "\x85x", "batch", "fleets", "jobs", "\ud800"]
)
def test_an_id_that_cannot_name_a_series_is_refused_with_its_place(database, name):
    one = catalogue()
    with pytest.raises(Invalid) as caught:
        resolve(database, one, "good", "good", name)
    assert caught.value.code == "invalid_id"
    assert caught.value.faults[0].pointer == "/points/2/series_id"
    with database.read() as session, pytest.raises(Missing):
        one.number(session, "good")


@pytest.mark.parametrize(
    "name", ["x" * 256, "a/b c", "日本 7", "%", "_", "батарея№1", "a" + "\u0301", "😀", "'; --"]
)
def test_any_script_can_name_a_series(database, name):
    one = catalogue()
    numbers, _ = resolve(database, one, name)
    with database.read() as session:
        assert one.row(session, name).number == numbers[0]
        assert one.row(session, name).series_id == name


def test_ten_thousand_new_series_fit_into_one_batch(database):
    names = [f"s{i}" for i in range(10_000)]
    numbers, created = resolve(database, catalogue(FleetRule(match="s*", fleet="s")), *names)
    assert created == 10_000
    assert numbers == list(range(1, 10_001))


@pytest.mark.parametrize("name", ["nobody", "x" * 300, ""])
def test_an_unknown_series_is_missing(database, name):
    with database.read() as session, pytest.raises(Missing) as caught:
        catalogue().row(session, name)
    assert caught.value.code == "unknown_series"


# fleets


def test_a_rule_puts_new_series_into_a_fleet(database):
    one = catalogue(FleetRule(match="pump *", fleet="pumps"))
    resolve(database, one, "pump 1", "fan 1", "pump 2")
    with database.read() as session:
        assert one.members(session, "pumps") == ["pump 1", "pump 2"]
        assert one.row(session, "fan 1").fleet_id is None


def test_a_full_fleet_is_followed_by_the_next(database):
    one = catalogue(FleetRule(match="s*", fleet="all"), fleet_max_series=2)
    resolve(database, one, "s1", "s2", "s3")
    resolve(database, one, "s4", "s5")
    with database.read() as session:
        found = {fleet: one.members(session, fleet) for fleet in ("all", "all-2", "all-3")}
    assert found == {"all": ["s1", "s2"], "all-2": ["s3", "s4"], "all-3": ["s5"]}


def test_labels_may_put_a_series_into_a_fleet_once(database):
    one = catalogue(FleetRule(label="asset", fleet="asset {}"))
    resolve(database, one, "a")
    assert fleet_of(database, one, "a") is None
    for asset in ("7", "8"):
        with database.write() as session:
            labelled = one.label(session, "a", {"asset": asset})
        assert labelled.labels == {"asset": asset}
        assert labelled.fleet_id == "asset 7"
    assert fleet_of(database, one, "a") == "asset 7"


def test_labels_are_set_and_removed_one_by_one(database):
    one = catalogue()
    resolve(database, one, "a")
    for changed, expected in (
        ({"x": "1", "y": "2"}, {"x": "1", "y": "2"}),
        ({"x": "3", "z": None}, {"x": "3", "y": "2"}),
        ({"y": None, "z": ""}, {"x": "3", "z": ""}),
        ({}, {"x": "3", "z": ""}),
    ):
        with database.write() as session:
            assert one.label(session, "a", changed).labels == expected
        with database.read() as session:
            assert one.row(session, "a").labels == expected


def test_labels_do_not_grow_without_end(database):
    one = catalogue()
    resolve(database, one, "a")
    with database.write() as session:
        one.label(session, "a", {str(i): "" for i in range(64)})
        one.label(session, "a", {"0": None, "64": ""})
        with pytest.raises(Invalid) as caught:
            one.label(session, "a", {"0": ""})
    assert caught.value.faults[0].pointer == "/labels"
    with database.read() as session:
        assert len(one.row(session, "a").labels) == 64


def test_a_label_that_cannot_name_a_fleet_is_kept_as_a_label(database):
    one = catalogue(FleetRule(label="asset"))
    resolve(database, one, "a")
    with database.write() as session:
        assert one.label(session, "a", {"asset": "batch"}).fleet_id is None
        assert one.label(session, "a", {"asset": "x" * 10_000}).fleet_id is None


def test_a_fleet_by_hand_has_exactly_the_members_it_was_given(database):
    one = catalogue(FleetRule(match="s*", fleet="all"))
    resolve(database, one, "s1", "s2", "s3", "t")
    with database.write() as session:
        fleet = one.set_fleet(session, "all", ["t", "s1", "t"])
    assert (fleet.source, fleet.series_count) == ("hand", 2)
    with database.read() as session:
        assert one.members(session, "all") == ["s1", "t"]
    assert fleet_of(database, one, "s2") is None
    with database.write() as session:
        one.set_fleet(session, "other", ["s1"])
        one.set_fleet(session, "all", [])
    with database.read() as session:
        assert one.members(session, "other") == ["s1"]
        assert one.members(session, "all") == []


def test_a_fleet_by_hand_stays_one_by_hand_when_a_rule_adds_to_it(database):
    one = catalogue(FleetRule(match="s*", fleet="all"))
    resolve(database, one, "s1")
    with database.write() as session:
        one.set_fleet(session, "all", ["s1"])
    resolve(database, one, "s2")
    with database.read() as session:
        assert one.members(session, "all") == ["s1", "s2"]
    with database.write() as session:
        assert one.set_fleet(session, "all", ["s2"]).source == "hand"


def test_too_many_members_are_refused(database):
    one = catalogue(fleet_max_series=2)
    resolve(database, one, "a", "b", "c")
    with database.write() as session:
        assert one.set_fleet(session, "f", ["a", "b", "a"]).series_count == 2
        with pytest.raises(Invalid) as caught:
            one.set_fleet(session, "f", ["a", "b", "c"])
    assert (caught.value.code, caught.value.faults[0].pointer) == ("fleet_too_large", "/series_ids")


def test_an_unknown_member_is_named_and_nothing_changes(database):
    one = catalogue()
    resolve(database, one, "a")
    with database.write() as session, pytest.raises(Missing) as caught:
        one.set_fleet(session, "f", ["a", "nobody"])
    assert (caught.value.code, caught.value.faults[0].pointer) == ("unknown_series", "/series_ids/1")
    assert fleet_of(database, one, "a") is None


@pytest.mark.parametrize("name", ["", "jobs", "x" * 257, "a\tb", " f"])
def test_a_fleet_needs_a_usable_id(database, name):
    with database.write() as session, pytest.raises(Invalid) as caught:
        catalogue().set_fleet(session, name, [])
    assert (caught.value.code, caught.value.faults[0].pointer) == ("invalid_id", "/fleet_id")


def test_an_unknown_fleet_is_missing(database):
    with database.read() as session, pytest.raises(Missing) as caught:
        catalogue().members(session, "nothing")
    assert caught.value.code == "unknown_fleet"
