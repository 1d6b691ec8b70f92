"""An owner whose process is gone is known to be gone, and one at a time holds a lease."""

import os
import subprocess
import sys

import pytest

from atalaia.kit import leases as lease
from atalaia.kit.database import Database
from atalaia.kit.leases import Lease, LeaseRow, is_gone, owner_name

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


# the lease


def until_of(database: Database) -> int:
    with database.read() as session:
        return session.get_one(LeaseRow, "thing").until


def test_one_holds_a_lease_and_others_wait_until_it_is_released(database: Database) -> None:
    one, other = (Lease(database, "thing", owner=owner_name()) for _ in range(2))
    assert one.held()
    assert one.held()
    assert not other.held()
    other.release()
    assert one.held()
    one.release()
    assert other.held()
    assert not one.held()


def test_leases_of_different_things_are_strangers(database: Database) -> None:
    assert Lease(database, "thing", owner=owner_name()).held()
    assert Lease(database, "other", owner=owner_name()).held()


def test_a_lease_that_ran_out_or_whose_owner_is_gone_is_taken_over(database: Database) -> None:
    for lost in (Lease(database, "thing", owner="another host:1:own_x:own_y", lease_s=0.001), None):
        owner = lost or Lease(database, "thing", owner=f"{HOST}:{os.getpid()}:own_before:own_1", lease_s=600)
        assert owner.held()
        with database.write() as session:
            session.get_one(LeaseRow, "thing").until = 1 if lost else 1 << 60
        other = Lease(database, "thing", owner=owner_name())
        assert other.held()
        other.release()


def test_a_lease_is_renewed_when_a_third_of_it_has_passed_and_not_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Lease(database, "thing", lease_s=300)
    assert held.held()
    first = until_of(database)
    assert held.held()
    assert until_of(database) == first
    monkeypatch.setattr(held, "_renew_at", 0.0)
    assert held.held()
    assert until_of(database) > first


def test_who_asks_in_one_process_shares_the_lease(database: Database) -> None:
    assert Lease(database, "thing").held()
    assert Lease(database, "thing").held()


def test_a_release_never_raises(database: Database) -> None:
    held = Lease(database, "thing")
    assert held.held()
    with database.write() as session:
        session.connection().exec_driver_sql("DROP TABLE leases")
    held.release()
