"""A predictor that starts without the database keeps out whoever was kept out; a bad file lets nobody in."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Denied, Unavailable
from atalaia.kit.auth.access import Access
from atalaia.kit.auth.permissions import Role
from atalaia.kit.auth.remembered import RememberedStanding
from atalaia.kit.auth.store import Standing, revoke
from atalaia.kit.database import Database
from tests.kit.fakes import logged

Open = Callable[..., Access]
KNOWN = Standing(frozenset({"tok_1", "tok_2"}), {"ada": 17})


def down(*_: Any) -> Standing:
    raise Unavailable("database_unavailable", "gone")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "standing.json"


def test_what_was_kept_is_read(path: Path) -> None:
    RememberedStanding(path).keep(KNOWN)
    with logged("standing_remembered"):
        assert RememberedStanding(path).read() == KNOWN
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_is_written_when_it_changes_and_not_each_time(path: Path) -> None:
    remembered = RememberedStanding(path)
    remembered.keep(KNOWN)
    path.unlink()
    remembered.keep(KNOWN)
    assert not path.exists()
    remembered.keep(Standing(frozenset(), {}))
    assert RememberedStanding(path).read() == Standing(frozenset(), {})


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"revoked": 3}', b'{"revoked":["a"]}', b"\xff" * 100])
def test_a_damaged_file_is_none(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with logged("standing_not_read"):
        assert RememberedStanding(path).read() is None


def test_an_old_file_is_none(path: Path) -> None:
    RememberedStanding(path).keep(KNOWN)
    yesterday = now_us() / MICROS - 25 * 3_600
    os.utime(path, (yesterday, yesterday))
    with logged("standing_too_old"):
        assert RememberedStanding(path).read() is None


def test_no_file_is_no_error_and_a_folder_that_is_gone_stops_nobody(path: Path) -> None:
    assert RememberedStanding(path).read() is None
    with logged("standing_not_remembered"):
        RememberedStanding(path.parent / "gone" / "standing.json").keep(KNOWN)


def test_who_starts_without_the_database_keeps_out_who_was_kept_out(
    open_access: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    access = open_access()
    good, _, _ = access.key.sign("service:a", Role.VIEWER, 60)
    bad, token_id, until = access.key.sign("service:b", Role.VIEWER, 60)
    with database.write() as session:
        revoke(session, token_id, until, now_us())
    access.start(may_remember=True)
    access.stop()
    monkeypatch.setattr("atalaia.kit.auth.store.standing", down)
    later = open_access()
    later.start(may_remember=True)
    later.stop()
    assert later.verify(f"Bearer {good}".encode()).subject == "service:a"
    with pytest.raises(Denied):
        later.verify(f"Bearer {bad}".encode())


def test_others_do_not_start_from_the_file(open_access: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    access = open_access()
    access.start(may_remember=True)
    access.stop()
    monkeypatch.setattr("atalaia.kit.auth.store.standing", down)
    with pytest.raises(Unavailable):
        open_access().start()
