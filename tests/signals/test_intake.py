"""Requests become durable together; one that cannot be kept fails alone."""

import asyncio
import sqlite3
import threading

import numpy as np
import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from atalaia.core.errors import Broken, Busy, Invalid, Missing, Unavailable
from atalaia.core.points import Points
from atalaia.kit.idempotency import once
from atalaia.kit.telemetry import Telemetry
from atalaia.signals.intake import Delivery, Intake
from tests.kit.fakes import PATIENCE_S, in_threads, wait_until
from tests.signals.builders import batch, columns, us
from tests.signals.rooms import rows_of


class Gate:
    """A delivery of no points that holds the intake up until it is opened."""

    def __init__(self, intake):
        self.entered, self.opened = threading.Event(), threading.Event()
        self.done = intake.submit(Delivery(self.prepare, 1, can_fail=False))
        assert self.entered.wait(PATIENCE_S)

    def prepare(self, session):
        self.entered.set()
        assert self.opened.wait(PATIENCE_S)
        return None, {}

    def open(self):
        self.opened.set()
        self.done.result(PATIENCE_S)


@pytest.fixture
def intake(place):
    return place.signals.intake


def plain(*points):
    """Return a delivery of points of known series: (number, seconds, value)."""
    kept = columns(*((number, us(second), value) for number, second, value in points))
    return Delivery(lambda session: (kept, {"n": len(kept)}), 24 * len(kept), can_fail=False)


def named(place, *points, key=None, body=b""):
    """Return a delivery of points by id, as the door makes it."""
    fresh = []

    def prepare(session):
        def act():
            kept, created = place.signals.numbered(session, batch(points))
            fresh.append(kept)
            return {"created": created}

        answer = once(session, key, "POST /points", body, act)
        return (fresh[0] if fresh else None), answer

    return Delivery(prepare, 100, can_fail=True)


def together(intake, *deliveries):
    """Let the deliveries be kept in one go; return what became of each."""
    gate = Gate(intake)
    waiting = [intake.submit(delivery) for delivery in deliveries]
    gate.open()
    return [future.exception(PATIENCE_S) or future.result() for future in waiting]


def kept(place):
    found = place.signals.history.read(range(1, 100), 0, 1 << 62)
    return [(number, (stamp - us(0)) // 1_000_000, value) for number, stamp, value in rows_of(found)]


def test_many_requests_at_once_are_one_batch(place, intake):
    said = together(intake, *(plain((1, i, float(i)), (2, i, 0.5)) for i in range(50)))
    assert said == [{"n": 2}] * 50
    assert place.signals.lag() == 1
    assert len(kept(place)) == 100
    assert b"points_received_total 100.0" in place.telemetry.render()


def test_requests_from_many_threads_are_all_kept(place, intake):
    in_threads(8, lambda i: [intake.submit(plain((i + 1, j, 1.0))).result(PATIENCE_S) for j in range(20)])
    assert len(kept(place)) == 160


def test_what_is_too_much_for_one_batch_is_several(place, intake, monkeypatch):
    monkeypatch.setattr("atalaia.signals.intake._TOGETHER_POINTS", 5)
    together(
        intake, *(plain((1, i, 1.0), (1, i + 0.5, 1.0)) for i in range(6)), plain(*((2, i, 1.0) for i in range(9)))
    )
    assert place.signals.lag() == 4


def test_of_the_same_point_twice_in_one_batch_the_later_request_wins(place, intake):
    together(intake, plain((1, 0, 1.0)), plain((1, 0, 2.0)))
    assert kept(place) == [(1, 0, 2.0)]


# one fails alone


def test_a_bad_request_fails_alone(place, intake):
    place.send(("a", 0, 1.0))
    numbers = Delivery(
        lambda session: (
            place.signals.catalogue.check_numbers(session, np.array([1, 9], np.int32)),
            {},
        ),
        1,
        True,
    )
    said = together(
        intake,
        named(place, ("a", 1, 1.0)),
        named(place, ("good", 1, 1.0), (" bad ", 1, 1.0)),
        numbers,
        named(place, ("b", 1, 1.0)),
        plain((1, 2, 1.0)),
    )
    assert [type(one) for one in said] == [dict, Invalid, Missing, dict, dict]
    assert (said[1].code, said[2].code, said[3]) == ("invalid_id", "unknown_series", {"created": 1})
    assert kept(place) == [(1, 0, 1.0), (1, 1, 1.0), (1, 2, 1.0), (2, 1, 1.0)]
    assert place.signals.lag() == 2


def test_too_many_new_series_fail_alone(open_place):
    place = open_place(max_new_series=2)
    few = named(place, ("a", 0, 1.0), ("b", 0, 1.0))
    many = named(place, *((f"s{i}", 0, 1.0) for i in range(3)))
    said = together(place.signals.intake, many, few)
    assert [getattr(said[0], "code", None), said[1]] == ["too_many_new_series", {"created": 2}]
    assert len(kept(place)) == 2


def test_a_fault_of_ours_in_one_request_fails_alone_and_is_logged(place, intake):
    def break_down(session):
        raise ZeroDivisionError

    with capture_logs() as lines:
        said = together(intake, Delivery(break_down, 1, True), plain((1, 0, 1.0)))
    assert (type(said[0]), said[0].code, said[1]) == (Broken, "internal_error", {"n": 1})
    assert [line["event"] for line in lines] == ["intake_failed"]
    assert kept(place) == [(1, 0, 1.0)]


def test_numbers_learnt_in_a_request_that_was_undone_are_not_believed(place, intake):
    together(intake, named(place, ("gone", 0, 1.0), (" bad ", 0, 1.0)))

    def fail_late(session):
        place.signals.numbered(session, batch([("gone too", 0, 1.0)]))
        raise Invalid("invalid_points", "no")

    together(intake, Delivery(fail_late, 1, True))
    assert place.signals.catalogue.known(["gone"]) is None
    assert place.signals.catalogue.known(["gone too"]) is None
    assert (
        together(intake, named(place, ("other", 0, 1.0)), named(place, ("gone too", 0, 2.0)))
        == [{"created": 1}] * 2
    )
    assert place.signals.catalogue.known(["other", "gone too"]).tolist() == [1, 2]


def test_numbers_of_a_batch_that_was_not_kept_are_not_believed(place, intake):
    place.send(("a", 0, 1.0))

    def by_number(number):
        def prepare(session):
            numbers = np.array([number], np.int32)
            place.signals.catalogue.check_numbers(session, numbers)
            return columns((number, us(1), 1.0)), {}

        return Delivery(prepare, 1, True)

    with FailingCommits(place.database), capture_logs():
        said = together(intake, named(place, ("b", 0, 1.0)), by_number(2))
    assert [one.code for one in said] == ["internal_error"] * 2
    (refused,) = together(intake, by_number(2))
    assert (refused.code, refused.faults[0].pointer) == ("unknown_series", "/series/0")
    assert place.signals.catalogue.known(["b"]) is None


# keys


def test_a_key_sent_twice_in_one_batch_is_kept_once(place, intake):
    def one():
        return named(place, ("a", 0, 1.0), key="k", body=b"1")

    said = together(intake, one(), one(), named(place, ("a", 1, 1.0), key="k", body=b"2"), one())
    assert said[0] == said[1] == said[3] == {"created": 1}
    assert said[2].code == "idempotency_mismatch"
    assert place.signals.lag() == 1
    assert kept(place) == [(1, 0, 1.0)]
    assert together(intake, one()) == [{"created": 1}]
    assert place.signals.lag() == 1


def test_a_key_of_a_request_that_failed_may_be_used_again(place, intake):
    said = together(
        intake,
        named(place, (" bad ", 0, 1.0), key="k", body=b"1"),
        named(place, ("a", 0, 1.0), key="k", body=b"2"),
    )
    assert (said[0].code, said[1]) == ("invalid_id", {"created": 1})


# the database fails


class FailingCommits:
    """Lets every commit of a database fail."""

    def __init__(self, database):
        self.engine = database.engine

    def fail(self, connection):
        raise RuntimeError("the power went")

    def __enter__(self):
        event.listen(self.engine, "commit", self.fail)

    def __exit__(self, *_):
        event.remove(self.engine, "commit", self.fail)


def test_a_commit_that_fails_is_told_to_all_and_nothing_is_kept(place, intake):
    with FailingCommits(place.database), capture_logs() as lines:
        said = together(intake, plain((1, 0, 1.0)), named(place, ("a", 0, 1.0)))
    assert [(type(one), one.code) for one in said] == [(Broken, "internal_error")] * 2
    assert {line["event"] for line in lines} == {"intake_failed"}
    assert (kept(place), place.signals.lag()) == ([], 0)
    assert together(intake, plain((1, 0, 2.0))) == [{"n": 1}]


def test_a_full_disk_is_told_to_all_and_nothing_is_kept(place, intake):
    with place.database.engine.begin() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()

    def shrink(connection, _record, _proxy):
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    event.listen(place.database.engine, "checkout", shrink)
    large = plain(*((1, i, float(np.random.default_rng(i).normal())) for i in range(5_000)))
    said = together(intake, named(place, ("a", 0, 1.0)), large)
    assert [(type(one), one.code) for one in said] == [(Unavailable, "disk_full")] * 2
    many = named(place, *((f"series number {i}", 0, 1.0) for i in range(5_000)))
    said = together(intake, plain((1, 0, 1.0)), many, plain((1, 1, 1.0)))
    assert [(type(one), one.code) for one in said] == [(Unavailable, "disk_full")] * 3
    assert (kept(place), place.signals.lag()) == ([], 0)
    event.remove(place.database.engine, "checkout", shrink)
    event.listen(
        place.database.engine, "checkout", lambda c, *_: c.execute("PRAGMA max_page_count = 1000000").close()
    )
    assert together(intake, named(place, ("a", 0, 1.0)), plain((1, 1, 1.0))) == [{"created": 1}, {"n": 1}]
    assert len(kept(place)) == 2


def test_a_locked_database_is_told_to_all_and_nothing_is_kept(place, intake):
    event.listen(place.database.engine, "checkout", lambda c, *_: c.execute("PRAGMA busy_timeout = 50").close())
    holder = sqlite3.connect(place.database.engine.url.database, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waiting = [intake.submit(plain((1, 0, 1.0))), intake.submit(named(place, ("a", 0, 1.0)))]
    said = [future.exception(PATIENCE_S) for future in waiting]
    holder.execute("ROLLBACK")
    holder.close()
    assert [(type(one), one.code, one.retry_after_s) for one in said] == [(Unavailable, "database_busy", 1)] * 2
    assert kept(place) == []
    assert together(intake, plain((1, 5, 1.0))) == [{"n": 1}]


# bounds


def test_what_exceeds_the_memory_is_refused_and_nothing_of_it_is_kept(open_place):
    place = open_place(intake_bytes=2**20)
    intake = place.signals.intake
    gate = Gate(intake)
    large = Delivery(lambda session: (columns((1, us(0), 1.0)), {}), 2**20 - 100, can_fail=False)
    first = intake.submit(large)
    for _ in range(3):
        with pytest.raises(Busy) as caught:
            intake.submit(Delivery(lambda session: (columns((1, us(9), 9.0)), {}), 200, can_fail=False))
        assert (caught.value.code, caught.value.retry_after_s) == ("too_many_points_waiting", 1)
    assert intake._nbytes == 2**20 - 99
    gate.open()
    first.result(PATIENCE_S)
    wait_until(lambda: place.signals.intake._nbytes == 0)
    assert kept(place) == [(1, 0, 1.0)]


def test_what_is_being_kept_counts_too(open_place):
    place = open_place(intake_bytes=2**20)
    intake = place.signals.intake
    gate = Gate(intake)
    with pytest.raises(Busy):
        intake.submit(Delivery(lambda session: (None, {}), 2**20, can_fail=False))
    gate.open()


def test_one_that_is_larger_than_the_memory_is_kept_when_it_is_alone(open_place):
    place = open_place(intake_bytes=2**20)
    wait_until(lambda: place.signals.intake._nbytes == 0)
    alone = Delivery(lambda session: (columns((1, us(0), 1.0)), {"ok": 1}), 2**21, can_fail=False)
    assert place.signals.intake.submit(alone).result(PATIENCE_S) == {"ok": 1}


# stopping


def test_stopping_keeps_what_waits_and_refuses_what_comes(place, intake):
    gate = Gate(intake)
    waiting = [intake.submit(plain((1, i, 1.0))) for i in range(5)]
    stopper = threading.Thread(target=intake.stop, daemon=True)
    stopper.start()
    wait_until(lambda: not intake._is_open)
    with pytest.raises(Unavailable) as caught:
        intake.submit(plain((1, 99, 1.0)))
    assert (caught.value.code, caught.value.retry_after_s) == ("not_ready", 1)
    gate.open()
    stopper.join(PATIENCE_S)
    assert [future.result(0) for future in waiting] == [{"n": 1}] * 5
    assert len(kept(place)) == 5


def test_stopping_twice_or_before_the_first_request_is_harmless(place):
    intake = Intake(place.database, place.signals.history, Telemetry(), 1, lambda: None, place.signals.catalogue)
    intake.stop()
    intake.stop()
    with pytest.raises(Unavailable):
        intake.submit(plain((1, 0, 1.0)))


# callers


def test_a_caller_that_waits_does_not_block_the_others(place, intake):
    async def act():
        return await asyncio.gather(*(intake.keep(plain((1, i, 1.0))) for i in range(100)))

    assert asyncio.run(act()) == [{"n": 1}] * 100


def test_a_caller_that_goes_away_harms_nobody(place, intake):
    async def act():
        gate = Gate(intake)
        gone = asyncio.ensure_future(intake.keep(plain((1, 0, 1.0))))
        stays = asyncio.ensure_future(intake.keep(plain((1, 1, 1.0))))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        return await stays

    assert asyncio.run(act()) == {"n": 1}
    wait_until(lambda: place.signals.intake._nbytes == 0)
    assert kept(place) == [(1, 1, 1.0)]


def test_a_caller_that_goes_away_while_its_points_are_being_kept_harms_nobody(place, intake):
    entered, opened = threading.Event(), threading.Event()

    def prepare(session):
        entered.set()
        assert opened.wait(PATIENCE_S)
        return columns((1, us(0), 1.0)), {}

    async def act():
        gate = Gate(intake)
        gone = asyncio.ensure_future(intake.keep(Delivery(prepare, 1, can_fail=False)))
        stays = asyncio.ensure_future(intake.keep(plain((1, 1, 1.0))))
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        gone.cancel()
        await asyncio.sleep(0)
        opened.set()
        return await stays

    assert asyncio.run(act()) == {"n": 1}
    assert len(kept(place)) == 2


def test_points_that_were_kept_wake_whoever_follows(place, intake):
    place.signals.follower._wake.clear()
    together(intake, plain((1, 0, 1.0)))
    assert place.signals.follower._wake.is_set()
    place.signals.follower._wake.clear()
    together(intake, Delivery(lambda session: (Points.empty(), {}), 1, False))
    assert not place.signals.follower._wake.is_set()
