"""Facts are told after the commit that made them true, in order, to everybody, and again until they were heard."""

import threading
from dataclasses import asdict

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from atalaia.core.facts import AnomalyClosed, AnomalyOpened, Fact
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox, OutboxRow, ReceiptRow
from tests.kit.fakes import Clock, in_threads, logged, opened


class Ear:
    """A handler that notes what it hears, and fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.heard: list[tuple[Fact, int]] = []
        self.calls = 0
        self.failures = failures

    def __call__(self, fact: Fact, fact_id: int) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not now")
        self.heard.append((fact, fact_id))

    @property
    def ids(self) -> list[str]:
        return [fact.anomaly_id for fact, _ in self.heard if isinstance(fact, AnomalyOpened)]


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def tell(database: Database, outbox: Outbox, *facts: Fact) -> None:
    with database.write() as session:
        outbox.publish(session, *facts)


def waiting(database: Database) -> list[OutboxRow]:
    with database.read() as session:
        return list(session.scalars(select(OutboxRow).where(OutboxRow.delivered_at.is_(None))))


def receipts(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ReceiptRow)) or 0


def test_a_fact_is_told_after_the_commit(database: Database, outbox: Outbox) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    with database.write() as session:
        outbox.publish(session, opened())
        session.flush()
        assert ear.heard == []
    assert [fact for fact, _ in ear.heard] == [opened()]
    assert waiting(database) == []


def test_a_fact_of_a_change_that_was_rolled_back_is_never_told(database: Database, outbox: Outbox) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    with pytest.raises(ZeroDivisionError), database.write() as session:
        outbox.publish(session, opened(1 // 0))
    tell(database, outbox, opened(2))
    assert ear.ids == ["ano_2"]


def test_facts_are_told_in_order_whatever_their_number(database: Database, outbox: Outbox) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    tell(database, outbox, *(opened(i) for i in range(250)))
    tell(database, outbox, opened(250))
    assert ear.ids == [f"ano_{i}" for i in range(251)]


def test_a_handler_hears_only_the_facts_that_it_asked_for(database: Database, outbox: Outbox) -> None:
    one, other = Ear(), Ear()
    outbox.subscribe(AnomalyOpened, "one", one)
    outbox.subscribe(AnomalyClosed, "other", other)
    tell(database, outbox, opened(), AnomalyClosed("ano_0", "pump-7", 2.0))
    assert [type(fact) for fact, _ in one.heard] == [AnomalyOpened]
    assert [type(fact) for fact, _ in other.heard] == [AnomalyClosed]


def test_a_fact_that_nobody_asked_for_does_not_wait(database: Database, outbox: Outbox) -> None:
    tell(database, outbox, opened())
    assert waiting(database) == []


def test_what_cannot_wait_is_woken_after_the_commit_and_before_slow_handlers(
    database: Database, outbox: Outbox
) -> None:
    steps: list[str] = []
    outbox.subscribe(AnomalyOpened, "slow", lambda _fact, _id: steps.append("told"))
    outbox.on_publish(AnomalyOpened, lambda: steps.append(f"woken with {len(waiting(database))}"))
    outbox.on_publish(AnomalyClosed, lambda: steps.append("never"))
    tell(database, outbox, opened(1), opened(2))
    assert steps == ["woken with 2", "told", "told"]


def test_nobody_is_woken_by_a_fact_that_was_rolled_back(database: Database, outbox: Outbox) -> None:
    woken: list[int] = []
    outbox.on_publish(AnomalyOpened, lambda: woken.append(1))

    def publish_and_fail() -> None:
        with database.write() as session:
            outbox.publish(session, opened())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        publish_and_fail()
    assert woken == []


def test_publishing_nothing_is_nothing(database: Database, outbox: Outbox) -> None:
    tell(database, outbox)
    assert outbox.deliver() == 0


def test_a_failing_handler_holds_back_neither_the_others_nor_later_facts(
    database: Database, outbox: Outbox, clock: Clock
) -> None:
    deaf, ear = Ear(failures=1), Ear()
    outbox.subscribe(AnomalyOpened, "deaf", deaf)
    outbox.subscribe(AnomalyOpened, "ear", ear)
    with logged("fact_handler_failed"):
        tell(database, outbox, opened(1), opened(2))
    assert ear.ids == ["ano_1", "ano_2"]
    assert deaf.ids == ["ano_2"]
    clock.advance(6)
    assert outbox.deliver() == 1
    assert deaf.ids == ["ano_2", "ano_1"]
    assert ear.ids == ["ano_1", "ano_2"]  # it had left a receipt
    assert waiting(database) == []


def test_the_pause_after_a_failure_grows_from_5_seconds_to_10_minutes(
    database: Database, outbox: Outbox, clock: Clock
) -> None:
    ear = Ear(failures=9)
    outbox.subscribe(AnomalyOpened, "ear", ear)
    with logged("fact_handler_failed"):
        tell(database, outbox, opened())
        for attempt, pause_s in enumerate([5, 10, 20, 40, 80, 160, 320, 600, 600], 1):
            assert ear.calls == attempt
            clock.advance(pause_s - 1)
            outbox.deliver()
            assert ear.calls == attempt
            clock.advance(1.1)
            outbox.deliver()
    assert ear.ids == ["ano_0"]
    assert waiting(database) == []


def test_a_crash_between_handler_and_settling_calls_nobody_twice_who_left_a_receipt(
    database: Database, outbox: Outbox
) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    tell(database, outbox, opened())
    with database.write() as session:  # as if the process had died before it settled the fact
        session.execute(update(OutboxRow).values(delivered_at=None))
    again = Outbox(database)
    again.subscribe(AnomalyOpened, "ear", ear)
    assert again.deliver() == 1
    assert ear.calls == 1


def test_a_crash_between_handler_and_receipt_calls_it_again_with_the_same_id(
    database: Database, outbox: Outbox
) -> None:
    ear = Ear()

    def dies_once(fact: Fact, fact_id: int) -> None:
        ear(fact, fact_id)
        if ear.calls == 1:
            raise SystemExit  # like a crash, it is not a failure of the handler

    outbox.subscribe(AnomalyOpened, "ear", dies_once)
    with pytest.raises(SystemExit):
        tell(database, outbox, opened())
    assert outbox.deliver() == 1
    assert ear.calls == 2
    assert len({fact_id for _, fact_id in ear.heard}) == 1


def test_a_new_handler_hears_what_still_waits(database: Database, outbox: Outbox) -> None:
    with database.write() as session:  # written by a process that died before it told anybody
        session.add(OutboxRow(name="AnomalyOpened", payload=asdict(opened(7)), created_at=0))
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    assert outbox.deliver() == 1
    assert ear.ids == ["ano_7"]


@pytest.mark.parametrize(("name", "payload"), [("FromTheFuture", {}), ("AnomalyOpened", {"unknown": 1})])
def test_a_fact_of_another_release_holds_back_nobody(
    database: Database, outbox: Outbox, clock: Clock, name: str, payload: dict[str, int]
) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    with database.write() as session:
        session.add(OutboxRow(name=name, payload=payload, created_at=0))
    with logged("fact_not_understood"):
        tell(database, outbox, opened())
    assert ear.ids == ["ano_0"]
    assert [row.attempts for row in waiting(database)] == [1]


def test_a_handler_may_publish(database: Database, outbox: Outbox) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "echo", lambda _fact, _id: tell(database, outbox, closed))
    outbox.subscribe(AnomalyClosed, "ear", ear)
    closed = AnomalyClosed("ano_0", "pump-7", 2.0)
    tell(database, outbox, opened())
    assert [fact for fact, _ in ear.heard] == [closed]


def test_delivery_never_raises(database: Database, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise OSError("the database is gone")

    monkeypatch.setattr(database, "read", gone)
    with logged("facts_not_delivered"):
        assert outbox.deliver() == 0


def test_many_threads_that_publish_are_all_heard_once(database: Database, outbox: Outbox) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    in_threads(4, lambda i: [tell(database, outbox, opened(10 * i + j)) for j in range(5)])
    assert sorted(ear.ids) == sorted(f"ano_{10 * i + j}" for i in range(4) for j in range(5))
    assert waiting(database) == []


def test_a_fact_that_comes_while_another_is_told_is_told_too(database: Database, outbox: Outbox) -> None:
    ear, telling, told = Ear(), threading.Event(), threading.Event()

    def slow(fact: Fact, fact_id: int) -> None:
        telling.set()
        assert told.wait(5)
        ear(fact, fact_id)

    outbox.subscribe(AnomalyOpened, "slow", slow)

    def publish(number: int) -> None:
        if number:
            assert telling.wait(5)
        tell(database, outbox, opened(number))
        told.set()

    in_threads(2, publish)
    assert ear.ids == ["ano_0", "ano_1"]


def test_a_fact_that_comes_just_after_the_last_look_is_told_too(database: Database) -> None:
    class Interrupted(Outbox):
        interrupted = False

        def _waiting(self) -> list[OutboxRow]:
            rows = super()._waiting()
            if not rows and not self.interrupted:
                self.interrupted = True
                in_threads(1, lambda _: tell(database, self, opened(2)))
            return rows

    outbox, ear = Interrupted(database), Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    tell(database, outbox, opened(1))
    assert ear.ids == ["ano_1", "ano_2"]


def test_what_was_told_long_ago_is_forgotten_and_what_waits_is_not(
    database: Database, outbox: Outbox, clock: Clock
) -> None:
    outbox.subscribe(AnomalyOpened, "ear", Ear())
    outbox.subscribe(AnomalyClosed, "deaf", Ear(failures=1))
    with logged("fact_handler_failed"):
        tell(database, outbox, opened(), AnomalyClosed("ano_0", "pump-7", 2.0))
    clock.advance(60)
    with database.write() as session:
        outbox.forget(session, clock())
        assert receipts(session) == 0
    assert [row.name for row in waiting(database)] == ["AnomalyClosed"]


def test_an_id_is_never_given_twice(database: Database, outbox: Outbox, clock: Clock) -> None:
    ear = Ear()
    outbox.subscribe(AnomalyOpened, "ear", ear)
    tell(database, outbox, opened(1))
    with database.write() as session:
        outbox.forget(session, clock())
    tell(database, outbox, opened(2))
    first, second = (fact_id for _, fact_id in ear.heard)
    assert second > first
