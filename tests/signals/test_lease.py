"""A follower has a name of its own, and one whose process is gone is known to be gone."""

import os
import subprocess
import sys

import pytest
from sqlalchemy import update

from atalaia.signals import lease
from atalaia.signals.lease import is_gone, owner_name
from atalaia.signals.store.follower import FollowerRow, parts
from tests.kit.fakes import in_threads, wait_until
from tests.signals.builders import ThresholdScorer, free_lease
from tests.signals.scorers import Interrupted

HOST = lease._host()


def test_every_follower_has_another_name_that_fits_the_table():
    names = {owner_name() for _ in range(100)}
    assert len(names) == 100
    assert max(map(len, names)) <= 128


def test_a_name_fits_the_table_however_long_the_name_of_the_host_is(monkeypatch):
    monkeypatch.setattr(lease.socket, "gethostname", lambda: "h:" * 100)
    name = owner_name()
    assert len(name) <= 128
    assert not is_gone(name)
    assert is_gone(f"{lease._host()}:{os.getpid()}:own_earlier:own_x")


def test_this_process_is_here():
    assert not is_gone(owner_name())


def test_an_earlier_process_with_the_same_number_is_gone():
    assert is_gone(f"{HOST}:{os.getpid()}:own_before:own_1")


def test_a_process_that_ended_is_gone_and_one_that_runs_is_not():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{HOST}:{process.pid}:own_x:own_y"
    assert not is_gone(name)
    process.communicate(b"\n")
    assert is_gone(name)


def test_a_process_of_somebody_else_is_here(monkeypatch):
    def refuse(pid, number):
        raise PermissionError

    monkeypatch.setattr(lease.os, "kill", refuse)
    assert not is_gone(f"{HOST}:1:own_x:own_y")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "another host:1:own_x:own_y",
        f"{HOST}:99999999999999999999:own_x:own_y",
        f"{HOST}:-1:own_x:own_y",
        f"{HOST}:one:own_x:own_y",
        f"{HOST}::own_x:own_y",
        f"{HOST}:1:2",
    ],
)
def test_of_others_nobody_knows(name):
    assert not is_gone(name)


# who follows


@pytest.fixture
def foreign(place):
    """Return the follower of a process on another machine, of which nobody knows whether it lives."""
    scoring = place.scoring()
    scoring._owner = "another host:7:own_x:own_y"
    return scoring


def lease_of(place):
    with place.database.read() as session:
        row = session.get_one(FollowerRow, 1)
        return row.owner, row.until


def test_one_follows_and_the_other_waits_for_its_lease(place, foreign):
    place.send(("a", 0, 99.0))
    assert foreign.drain()
    place.send(("a", 1, 99.0))
    assert not place.signals.scoring.drain()
    assert (place.signals.lag(), place.signals.memory.is_live) == (1, False)
    free_lease(place.database)  # as when its time has run out
    place.drain()
    assert (place.signals.lag(), place.series("a").received, len(place.anomalies())) == (0, 2, 1)
    assert lease_of(place)[0] == place.signals.scoring._owner


def test_who_waits_writes_nothing(place, foreign):
    place.send(("a", 0, 1.0))
    foreign.drain()
    with place.database.write() as session:
        session.execute(update(FollowerRow).values(stored=0))
        assert not place.signals.scoring.drain()  # it would wait for this transaction


def test_a_lease_that_ran_out_is_taken_over_and_comes_back_neither(open_place):
    place = open_place(follow_lease_s=0.05)
    other = place.scoring()
    other._owner = "another host:7:own_x:own_y"
    place.send(("a", 0, 99.0))
    place.drain(other)
    wait_until(lambda: place.signals.scoring.drain() or place.signals.memory.is_live)
    place.send(("a", 1, 99.0))
    place.drain()
    assert not other.drain()
    assert (place.series("a").received, len(place.told)) == (2, 1)


def test_a_follower_that_stops_lets_the_next_begin_at_once(place, foreign):
    place.send(("a", 0, 99.0))
    foreign.drain()
    foreign.release()
    place.send(("a", 1, 99.0))
    place.drain()
    assert (place.signals.lag(), place.series("a").received) == (0, 2)


def test_a_follower_whose_process_is_dead_is_followed_at_once(place):
    gone = place.scoring()
    gone._owner = f"{HOST}:{os.getpid()}:own_before:own_1"
    place.send(("a", 0, 99.0))
    gone.drain()
    place.send(("a", 1, 99.0))
    place.drain()
    assert (place.signals.lag(), place.series("a").received) == (0, 2)


def test_a_lease_is_renewed_while_nothing_happens(open_place):
    place = open_place(follow_lease_s=0.15)
    place.send(("a", 0, 1.0))
    place.drain()
    _, until = lease_of(place)
    wait_until(lambda: place.signals.scoring.drain() or lease_of(place)[1] > until)
    assert place.signals.memory.is_live


def test_who_lost_the_lease_while_it_scored_changes_nothing_and_forgets(place, foreign):
    def overtake():
        free_lease(place.database)
        place.drain(foreign)

    place.begin_again(Interrupted(overtake))
    foreign._scorer = ThresholdScorer()
    place.send(("a", 0, 99.0))
    assert place.signals.scoring.drain()
    assert not place.signals.memory.is_live
    assert not place.signals.scoring.drain()
    assert (len(place.told), place.signals.lag()) == (1, 0)


def test_who_lost_the_lease_stores_nothing(place, foreign):
    place.send(("a", 0, 1.0))
    place.drain()
    free_lease(place.database)
    place.send(("a", 1, 1.0))
    place.drain(foreign)
    with place.database.read() as session:
        before = parts(session)
    place.signals.memory.outdate()
    place.signals.scoring.release()
    with place.database.read() as session:
        assert parts(session) == before
    assert lease_of(place)[0] == foreign._owner
    assert lease_of(place)[1] > 0


def test_two_followers_at_once_score_each_batch_once(open_place):
    place = open_place(follow_lease_s=0.02)
    followers = [place.scoring() for _ in range(3)]

    def follow(number):
        for second in range(60):
            if number == 3:
                place.send(("a", second, 99.0 if second % 7 == 0 else 0.0))
            else:
                followers[number].drain()

    in_threads(4, follow)
    for follower in followers:
        follower.release()
    place.drain()
    said = place.series("a")
    assert (said.received, said.statistics.count, place.signals.lag()) == (60, 60, 0)
    opened = [fact for fact in place.told if fact.name == "AnomalyOpened"]
    assert len(opened) == len(place.anomalies()) == len({fact.anomaly_id for fact in opened})
