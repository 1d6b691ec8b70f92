"""Who scores, and where the pieces of its memory are."""

import pytest

from atalaia.core.errors import Stale
from atalaia.signals.store import follower as store
from tests.signals.builders import fresh_database


@pytest.fixture
def database(tmp_path):
    database = fresh_database(tmp_path)
    yield database
    database.close()


def begin(database, owner="me"):
    with database.write() as session:
        session.add(store.FollowerRow(id=1, owner=owner, until=5, round=7, stored=3))


def test_at_first_nobody_follows(database):
    with database.read() as session:
        assert store.follower(session) is None
        assert (store.last_round(session), store.stored_round(session)) == (0, 0)
        with pytest.raises(Stale):
            store.own(session, "me")


def test_only_who_follows_owns_the_row(database):
    begin(database)
    with database.write() as session:
        store.own(session, "me").until = 9
        with pytest.raises(Stale) as caught:
            store.own(session, "you")
    assert caught.value.code == "lease_lost"
    with database.read() as session:
        assert store.own(session, "me").until == 9
        assert (store.last_round(session), store.stored_round(session)) == (7, 3)


def test_pieces_are_named_replaced_and_forgotten(database):
    first = {"statistics/0": store.Part("k0", "s0"), "model/a_b": store.Part("k1", "s1")}
    with database.write() as session:
        store.save_parts(session, first, [])
    with database.read() as session:
        assert store.parts(session) == first
    changed = {"model/a_b": store.Part("k2", "s2"), "model/axb": store.Part("k3", "s3")}
    with database.write() as session:
        store.save_parts(session, changed, ["statistics/0", "never heard of"])
    with database.read() as session:
        assert store.parts(session) == changed
        assert store.parts(session, "model/a_") == {"model/a_b": store.Part("k2", "s2")}
        assert store.parts(session, "statistics/") == {}


def test_nothing_is_saved_of_nothing(database):
    with database.write() as session:
        store.save_parts(session, {}, [])
        assert store.parts(session) == {}
