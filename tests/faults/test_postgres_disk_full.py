"""The disk of PostgreSQL is full: predictions go on, points are refused, and nothing acknowledged is lost."""

import time
from pathlib import Path

import pytest

from tests.faults.conftest import mounted
from tests.faults.outages import Sender, assert_goes_on, assert_nothing_lost, running_roles
from tests.journeys.measurements import assert_problem
from tests.journeys.servers import until
from tests.parts.postgres import Postgres

pytestmark = pytest.mark.slow
SIZE = "160m"
SMALL = "min_wal_size = 2MB\nmax_wal_size = 64MB\n"  # no checkpoint meanwhile: it would end the server
SMALL_WHOLE = "min_wal_size = 32MB\nmax_wal_size = 32MB\n"


@pytest.mark.parametrize("shares", [False, True], ids=["its log elsewhere", "its log beside it"])
def test_a_database_whose_disk_is_full(shares: bool, parts_folder: Path, tmp_path: Path) -> None:
    """The disk of the data is full, and that of the write-ahead log too where they share it."""
    disk = parts_folder / f"small-disk-{shares}"
    log = None if shares else parts_folder / "log-with-room"
    with mounted(disk, SIZE):
        with (
            Postgres(disk / "postgres", config=SMALL if log else SMALL_WHOLE, wal=log) as server,
            running_roles(server.new_database(), tmp_path) as roles,
        ):
            with Sender(roles["api"]) as sender:
                ballast = disk / "ballast"
                fill(ballast)
                until(lambda: len(sender.refused) > 3, "points to be refused", timeout_s=60)
                assert_goes_on(roles)
                codes = {refused.json()["code"] for refused in sender.refused}
                for refused in sender.refused:
                    assert_problem(refused, 503, refused.json()["code"])
                    assert int(refused.headers["retry-after"]) >= 1
                assert codes <= {"disk_full", "database_unavailable", "database_busy"}
                assert "disk_full" in codes or shares
                ballast.unlink()
                if not server.is_running:  # whatever watches over it starts it again
                    assert shares
                    server.restart()
                back = sender.recovered_s(time.monotonic())
                print(f"{', '.join(sorted(codes))}; points were taken again {back:.2f} s after there was room")
            assert_nothing_lost(roles, sender)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as ballast:
        block = b"x" * 2**20
        while len(block) > 4_096:
            try:
                ballast.write(block)
            except OSError:
                block = block[: len(block) // 2]
