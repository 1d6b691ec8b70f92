"""A new key opens all that an earlier one did, once a renewal has run to its end, however often it was killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from atalaia.app.backup.target import FolderStore
from atalaia.core.errors import Broken, Unavailable
from atalaia.kit.blobs import Blobs, RemoteBlobs, Seals, State, renew, unopened
from atalaia.kit.blobs.folder import PART
from atalaia.kit.envelopes import HEAD, is_sealed
from atalaia.kit.keyring import Keyring, Secret
from tests.kit.fakes import DYING

OLD, NEW = Secret(b"o" * 32, is_key=True), Secret(b"n" * 32, is_key=True)
BOTH = Keyring(NEW, [OLD])


def folder(root: Path, keyring: Keyring | None, **more: bool) -> Blobs:
    return Blobs(root, seals=None if keyring is None else Seals(keyring, **more))


def bodies(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes()[HEAD:] for path in root.rglob("*") if path.is_file()}


def test_only_heads_change_and_the_earlier_key_can_go(tmp_path: Path) -> None:
    old = folder(tmp_path, Keyring(OLD))
    wanted = {f"history/{i}": bytes([i]) * 70_000 for i in range(5)}
    for key, data in wanted.items():
        old.put(key, data)
    before, written = bodies(tmp_path), {found.key: found.modified_s for found in old.list()}
    first = renew(folder(tmp_path, BOTH), ["history"], dry_run=True)
    assert (first.states[State.EARLIER], first.done, bodies(tmp_path)) == (5, 5, before)
    assert old.get("history/1")  # nothing was changed
    told: list[tuple[int, int]] = []
    done = renew(folder(tmp_path, BOTH), ["history"], report=lambda *at: told.append(at))
    assert (done.done, done.failed, told[-1]) == (5, {}, (5, 5))
    assert bodies(tmp_path) == before
    new = folder(tmp_path, Keyring(NEW))
    assert {key: new.get(key) for key in wanted} == wanted
    assert {found.key: found.modified_s for found in new.list()} == written
    again = renew(folder(tmp_path, BOTH), ["history"])
    assert (again.done, again.states[State.SEALED]) == (0, 5)


def test_whoever_loses_the_turn_stops_there(tmp_path: Path) -> None:
    old = folder(tmp_path, Keyring(OLD))
    for i in range(4):
        old.put(f"history/{i}", b"data")
    left = iter(range(2))

    def go_on() -> None:
        if next(left, None) is None:
            raise Unavailable("store_busy", "no more")

    with pytest.raises(Unavailable):
        renew(folder(tmp_path, BOTH), ["history"], go_on=go_on)
    assert renew(folder(tmp_path, BOTH), ["history"]).done == 2


def test_what_is_clear_is_sealed_where_the_site_keeps_its_own(tmp_path: Path) -> None:
    clear = folder(tmp_path, None)
    for key in ("history/a", "others/b", "history/empty"):
        clear.put(key, b"" if "empty" in key else b"data")
    (tmp_path / f"history/x{PART}").write_bytes(b"unfinished")
    kept = renew(folder(tmp_path, BOTH, writes=False), ["history"])
    assert (kept.done, kept.states[State.CLEAR]) == (0, 3)
    assert renew(folder(tmp_path, BOTH), ["history"]).done == 2
    assert is_sealed((tmp_path / "history/a").read_bytes())
    assert (tmp_path / "others/b").read_bytes() == b"data"
    new = folder(tmp_path, Keyring(NEW))
    assert (new.get("history/a"), new.get("history/empty"), new.get("others/b")) == (b"data", b"", b"data")


def test_what_cannot_be_opened_is_named_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    folder(tmp_path, Keyring(Secret(b"x" * 32, is_key=True))).put("history/foreign", b"x")
    old = folder(tmp_path, Keyring(OLD))
    for key in ("history/a", "history/z", "history/short"):
        old.put(key, b"data")
    (tmp_path / "history/short").write_bytes((tmp_path / "history/short").read_bytes()[:20])
    blobs = folder(tmp_path, BOTH)
    done = renew(blobs, ["history"])
    assert done.done == 2
    assert {key: error.code for key, error in done.failed.items()} == {
        "history/foreign": "unknown_key", "history/short": "bad_seal"
    }  # fmt: skip
    assert {key: error.code for key, error in unopened(blobs).items()} == {
        "history/foreign": "unknown_key", "history/short": "bad_seal"
    }  # fmt: skip


def test_objects_in_clear_are_told_of_where_they_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, None).put("history/a", b"data")
    assert unopened(folder(tmp_path, BOTH)) == {}
    found = unopened(folder(tmp_path, BOTH, requires=True))
    assert {key: error.code for key, error in found.items()} == {"history/a": "not_sealed"}


def test_an_object_that_is_deleted_meanwhile_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = folder(tmp_path, Keyring(OLD))
    for key in ("a", "b"):
        old.put(key, b"data")
    blobs = folder(tmp_path, BOTH)
    stored = blobs.stored

    def swept(key: str) -> object:
        if key == "a":
            blobs.delete(key)
        return stored(key)

    monkeypatch.setattr(blobs, "stored", swept)
    done = renew(blobs, [])
    assert (done.done, done.failed) == (1, {})
    assert [found.key for found in blobs.list()] == ["b"]


def test_a_bucket_and_the_copies_of_it(tmp_path: Path) -> None:
    def machine(name: str, keyring: Keyring) -> RemoteBlobs:
        store = FolderStore(tmp_path / "bucket")
        return RemoteBlobs(store, tmp_path / name, cache_bytes=2**20, seals=Seals(keyring))

    sums = {f"models/{i}": machine("one", Keyring(OLD)).put(f"models/{i}", bytes([i])).sha256 for i in range(3)}
    assert renew(machine("one", BOTH), ["models"]).done == 3
    for name in ("one", "two"):
        new = machine(name, Keyring(NEW))
        assert [new.get(key, sha256) for key, sha256 in sums.items()] == [b"\0", b"\1", b"\2"]
        assert unopened(new) == {}
    with pytest.raises(Broken):
        machine("three", Keyring(OLD)).get("models/0", sums["models/0"])


@pytest.mark.slow
def test_killed_at_any_moment_it_can_be_done_again(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    old = folder(root, Keyring(OLD))
    for i in range(6):
        old.put(f"history/{i}", bytes([i]) * 1_000)
    killed = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from atalaia.kit.blobs import Blobs, Seals, renew\n"
        "from atalaia.kit.keyring import Keyring, Secret\n"
        "left = int(sys.argv[2])\n"
        f"{DYING}"
        "os.replace, os.fsync = dying(os.replace), dying(os.fsync)\n"
        "ring = Keyring(Secret(b'n' * 32, is_key=True), [Secret(b'o' * 32, is_key=True)])\n"
        "assert renew(Blobs(Path(sys.argv[1]), seals=Seals(ring)), ['history']).failed == {}\n"
    )
    both = folder(root, BOTH)
    for moment in (0, 1, 2, 4, 5, 99):
        ended = subprocess.run([sys.executable, "-c", killed, str(root), str(moment)], check=False)
        assert [both.get(f"history/{i}") for i in range(6)] == [bytes([i]) * 1_000 for i in range(6)]
    assert ended.returncode == 0
    new = folder(root, Keyring(NEW))
    assert [new.get(f"history/{i}") for i in range(6)] == [bytes([i]) * 1_000 for i in range(6)]
