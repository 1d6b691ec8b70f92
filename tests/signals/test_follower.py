"""One process follows; whoever lost the lease changes nothing, and the next one does it all."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
from sqlalchemy import update

from atalaia.core.clock import MICROS
from atalaia.kit import leases
from atalaia.signals import scoring
from atalaia.signals.memory import FOLDER
from atalaia.signals.statistics import StatisticsColumns
from atalaia.signals.store.follower import FollowerRow, parts
from tests.kit.fakes import in_threads, wait_until
from tests.signals.builders import ThresholdScorer, free_lease, owner_of
from tests.signals.scorers import Interrupted, School


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
    gone._owner = f"{leases._host()}:{os.getpid()}:own_before:own_1"
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


# what takes longer than the lease

SERIES = range(1, 7)


class LongWork:
    """A follower whose next round takes six steps; `act` is called in each of them.

    Attributes
    ----------
    rounds
        How many points of each series were sent, each in a round of its own.
    steps
        How many steps there were.
    now
        Seconds, as all followers see them.
    """

    def __init__(self, place, patch, prepare):
        self.place, self.patch = place, patch
        self.rounds, self.steps, self.now, self.is_inside = 0, 0, 1_000.0, False
        self.act = lambda: None
        patch.setattr(scoring, "_REPLAY_POINTS", 1)
        patch.setattr(scoring, "time", SimpleNamespace(monotonic=lambda: self.now))
        patch.setattr(scoring, "now_us", lambda: int(self.now * MICROS))
        prepare(self)
        self.other = place.scoring(scorer=ThresholdScorer())
        self.other._owner = "another host:7:own_x:own_y"

    @property
    def mine(self):
        return self.place.signals.scoring

    def send(self):
        self.place.send(*((f"s{number}", float(self.rounds), 1.0) for number in SERIES))
        self.rounds += 1

    def fill(self, rounds=1):
        for _ in range(rounds):
            self.send()
            self.place.drain()

    def known(self):
        """Return how many batches wait, and how many points are known of a series."""
        return self.place.signals.lag(), self.place.series("s1").received

    def watch(self, target, name):
        """Take each call of a function for a step."""
        before = getattr(target, name)

        def step(*args, **kwargs):
            if not self.is_inside:  # the other one may come by here as well
                self.is_inside, self.steps = True, self.steps + 1
                self.act()
                self.is_inside = False
            return before(*args, **kwargs)

        self.patch.setattr(target, name, step)


def replay(work):
    work.fill(7)
    work.place.begin_again(ThresholdScorer())
    work.watch(work.place.scorer, "watch_block")


def rebuild(work):
    work.fill()
    swap = work.place.signals.history.compaction()
    with work.place.database.write() as session:
        swap(session)
    for blob in list(work.place.blobs.list(FOLDER)):
        work.place.blobs.delete(blob.key)
    work.place.begin_again(ThresholdScorer())
    work.watch(StatisticsColumns, "learn")


def teach_parts(work):
    work.fill()
    work.place.begin_again(School(SERIES))
    work.watch(work.place.scorer, "teach")


def teach_pupils(work):
    work.fill()
    work.place.begin_again(School(*([number] for number in SERIES)))
    work.watch(work.place.scorer, "teach")


def keep(work):
    work.place.begin_again(School(*([] for _ in range(5))))
    work.send()
    work.watch(work.place.blobs, "put")


def read_back(work):
    work.place.begin_again(School(*([] for _ in range(5))))
    work.fill()
    work.place.begin_again(School(*([] for _ in range(5))))
    work.watch(work.place.blobs, "get")


@pytest.fixture(params=[replay, rebuild, teach_parts, teach_pupils, keep, read_back])
def work(request, open_place, monkeypatch):
    return LongWork(open_place(store_memory_s=3600), monkeypatch, request.param)


def test_the_lease_is_renewed_in_the_middle_of_what_takes_longer(work):
    def try_to_follow():
        work.now += 0.4 * 15
        work.other.drain()
        assert owner_of(work.place.database) == work.mine._owner

    work.act = try_to_follow
    work.place.drain()
    assert (work.steps, work.mine._memory.is_live, work.place.signals.lag()) == (6, True, 0)
    assert len(work.place.scorer.restored) == 1  # it never began anew


def test_the_lease_is_renewed_no_more_often_than_needed(work):
    seen = set()

    def look():
        seen.add(lease_of(work.place)[1])
        work.now += 1.1

    work.act = look
    work.place.drain()
    assert (work.steps, len(seen)) == (6, 2)


def test_who_lost_the_lease_in_the_middle_gives_up_at_the_next_step(work):
    def overtake():
        work.now += 15.1
        while work.other.drain():
            pass

    work.act = overtake
    assert work.mine.drain()
    assert (work.steps, work.mine._memory.is_live) == (1, False)
    assert not work.mine.drain()
    assert owner_of(work.place.database) == work.other._owner
    assert work.known() == (0, work.rounds)


def test_a_follower_that_is_to_stop_gives_up_at_the_next_step_and_the_other_does_it_all(work):
    work.act = work.mine.stop
    work.place.drain()
    assert (work.steps, work.mine._memory.is_live) == (1, False)
    named = stored_of(work.place)
    work.mine.release()
    assert (lease_of(work.place)[1], stored_of(work.place)) == (0, named)
    assert not work.mine.drain()
    work.act = lambda: None
    work.place.drain(work.other)
    assert (owner_of(work.place.database), work.other._memory.is_live) == (work.other._owner, True)
    work.other.release()
    assert work.known() == (0, work.rounds)


def stored_of(place):
    with place.database.read() as session:
        return parts(session)


def test_a_stop_does_not_wait_until_all_is_learnt(open_place):
    place = open_place(School())
    place.send(("a", 0, 1.0))
    place.drain()
    part = place.signals.history.read([1], 0, 1 << 62)

    def slowly(*_):
        for _ in range(300):
            time.sleep(0.02)
            yield part

    place.signals.scoring._past.parts = slowly
    place.scorer.untaught.append(np.array([1], np.int32))
    place.signals.follower.start()
    wait_until(lambda: place.scorer.taught)
    place.signals.stop()
    assert len(place.scorer.taught) < 200
    assert not place.signals.follower._thread.is_alive()
    assert lease_of(place)[1] == 0
