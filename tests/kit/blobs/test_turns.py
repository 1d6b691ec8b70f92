"""Whoever deletes for good and whoever replaces are never at the objects at once."""

import threading
from pathlib import Path

import pytest

from atalaia.core.errors import Unavailable
from atalaia.kit.blobs import Blobs, Seals, renew, turns
from atalaia.kit.blobs.turns import alone
from atalaia.kit.database import Database
from atalaia.kit.keyring import Keyring, Secret

PATIENCE_S = 30


def test_the_turn_is_waited_for_and_then_refused(database: Database) -> None:
    waited: list[int] = []
    with alone(database) as go_on:
        go_on()
        with pytest.raises(Unavailable) as refused, alone(database, lambda: waited.append(1), wait_s=0.6):
            pass
    assert refused.value.code == "store_busy"
    assert len(waited) == 2
    with alone(database, wait_s=0):  # given back
        pass


def test_whoever_fell_silent_stops(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_LEASE_S", 0.0)
    with alone(database) as silent:
        monkeypatch.setattr(turns, "_LEASE_S", 60.0)
        with alone(database, wait_s=5), pytest.raises(Unavailable):
            silent()
        with alone(database, wait_s=5):
            pass


def test_what_is_deleted_for_good_is_not_brought_back(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_POLL_S", 0.01)
    old, new = Secret(b"o" * 32, is_key=True), Secret(b"n" * 32, is_key=True)
    Blobs(tmp_path / "blobs", seals=Seals(Keyring(old))).put("models/person", b"of somebody")
    blobs = Blobs(tmp_path / "blobs", seals=Seals(Keyring(new, [old])))
    has_read, tries = threading.Event(), threading.Event()
    stored = Blobs.stored

    def slow(self: Blobs, key: str) -> object:
        data = stored(self, key)
        has_read.set()
        assert tries.wait(PATIENCE_S)
        return data

    def delete() -> None:
        assert has_read.wait(PATIENCE_S)
        with alone(database, tries.set) as go_on:
            go_on()
            blobs.delete("models/person")

    monkeypatch.setattr(Blobs, "stored", slow)
    eraser = threading.Thread(target=delete)
    eraser.start()
    with alone(database) as go_on:
        assert renew(blobs, ["models"], go_on=go_on).done == 1
    eraser.join(PATIENCE_S)
    assert not blobs.exists("models/person")
