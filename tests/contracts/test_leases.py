"""One at a time holds a lease, and facts are handed over once, whatever the twin and however many ask."""

import threading

from atalaia.core.facts import AnomalyOpened, Fact
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.leases import Lease, owner_name
from tests.contracts.conftest import Open
from tests.kit.fakes import in_threads, opened


def test_of_many_that_ask_at_once_one_leads(open_database: Open, database: Database) -> None:
    others = [database, open_database()]
    led: list[int] = []

    def ask(number: int) -> None:
        if Lease(others[number % 2], "thing", owner=owner_name()).held():
            led.append(number)

    in_threads(8, ask)
    assert len(led) == 1


def test_a_lease_is_handed_over_when_it_is_released(open_database: Open, database: Database) -> None:
    one, other = (Lease(each, "thing", owner=owner_name()) for each in (database, open_database()))
    assert (one.held(), other.held()) == (True, False)
    one.release()
    assert (other.held(), one.held()) == (True, False)


def test_two_messengers_hand_each_fact_over_once_and_in_order(open_database: Open, database: Database) -> None:
    heard: list[tuple[str, int]] = []
    at_once: list[int] = []
    inside = threading.Semaphore()

    def hear(fact: Fact, fact_id: int) -> None:
        assert isinstance(fact, AnomalyOpened)
        if not inside.acquire(blocking=False):
            at_once.append(fact_id)
            return
        heard.append((fact.anomaly_id, fact_id))
        inside.release()

    boxes = [Outbox(each, owner=owner_name()) for each in (database, open_database())]
    for box in boxes:
        box.deliver_by(int)
        box.subscribe(AnomalyOpened, "ear", hear)
    for start in range(0, 60, 20):
        with database.write() as session:
            boxes[0].publish(session, *(opened(number) for number in range(start, start + 20)))

    def deliver(number: int) -> None:
        for _ in range(5):
            boxes[number % 2].deliver()

    in_threads(4, deliver)
    assert not at_once
    assert [name for name, _ in heard] == [f"ano_{number}" for number in range(60)]


def test_a_messenger_that_is_gone_is_followed(open_database: Open, database: Database) -> None:
    heard: list[int] = []
    gone, next_one = (Outbox(each, owner=owner_name()) for each in (database, open_database()))
    for box in (gone, next_one):
        box.deliver_by(int)
        box.subscribe(AnomalyOpened, "ear", lambda _fact, fact_id: heard.append(fact_id))
    with database.write() as session:
        gone.publish(session, opened(1))
    assert gone.deliver() == 1
    with database.write() as session:
        gone.publish(session, opened(2))
    assert next_one.deliver() == 0
    gone.release()
    assert next_one.deliver() == 1
    assert len(heard) == 2


def test_a_fact_of_a_write_that_failed_is_never_told(database: Database) -> None:
    box = Outbox(database)
    heard: list[int] = []
    box.subscribe(AnomalyOpened, "ear", lambda _fact, fact_id: heard.append(fact_id))
    try:
        with database.write() as session:
            box.publish(session, opened(1))
            session.flush()
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert box.deliver() == 0
    assert not heard
