"""An object is there whole or not at all, and nothing lies outside the folder."""

import errno
import hashlib
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Broken, Missing, Unavailable
from atalaia.kit.blobs import Blobs, sha256_of

HOSTILE = ["", ".", "..", "/", "../x", "a/../../x", "/etc/passwd", "a/..", "nul\0nul", "lone\ud800"]


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def keys(blobs: Blobs, prefix: str = "") -> list[str]:
    return [found.key for found in blobs.list(prefix)]


def test_what_is_put_can_be_got(blobs: Blobs) -> None:
    blob = blobs.put("models/a.npz", b"data")
    assert (blob.key, blob.size_bytes, blob.sha256) == ("models/a.npz", 4, hashlib.sha256(b"data").hexdigest())
    assert blobs.get("models/a.npz") == b"data"
    assert blobs.get("models/a.npz", blob.sha256) == b"data"


def test_an_object_can_be_replaced(blobs: Blobs) -> None:
    blobs.put("a", b"old")
    blobs.put("a", b"new")
    assert blobs.get("a") == b"new"
    assert keys(blobs) == ["a"]


def test_another_store_on_the_same_folder_sees_it(blobs: Blobs) -> None:
    blobs.put("a", b"data")
    assert Blobs(blobs.root).get("a") == b"data"


@pytest.mark.parametrize("key", ["a", "folder", "a/b/c", "file/below"])
def test_what_is_not_there_is_missing(blobs: Blobs, key: str) -> None:
    blobs.put("folder/x", b"")
    blobs.put("file", b"")
    with pytest.raises(Missing) as caught:
        blobs.get(key)
    assert caught.value.code == "unknown_blob"


def test_a_damaged_object_is_refused(blobs: Blobs) -> None:
    blob = blobs.put("a", b"data")
    blobs.path("a").write_bytes(b"dat4")
    with pytest.raises(Broken) as caught:
        blobs.get("a", blob.sha256)
    assert caught.value.code == "bad_blob"


def test_deleting_twice_is_fine(blobs: Blobs) -> None:
    blobs.put("a", b"")
    blobs.delete("a")
    blobs.delete("a")
    assert keys(blobs) == []


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_is_missing_and_touches_nothing(blobs: Blobs, key: str) -> None:
    outside = {path.name for path in blobs.root.parent.iterdir()}
    for act in (blobs.get, blobs.delete, lambda key: blobs.put(key, b"x")):
        with pytest.raises(Missing):
            act(key)
    assert keys(blobs) == []
    assert {path.name for path in blobs.root.parent.iterdir()} == outside


@pytest.mark.parametrize("prefix", [key for key in HOSTILE if key])
def test_a_hostile_prefix_lists_nothing(blobs: Blobs, prefix: str) -> None:
    with pytest.raises(Missing):
        keys(blobs, prefix)


@given(st.text(max_size=40))
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    blobs = Blobs(Path())
    try:
        path = blobs.path(key)
    except Missing:
        return
    assert path.absolute().is_relative_to(blobs.root.absolute())
    assert ".." not in path.parts


def test_a_list_has_what_lies_below_a_prefix_in_order(blobs: Blobs) -> None:
    for key in ("b/2", "b/1", "a/1", "bb/1"):
        blobs.put(key, b"xyz")
    assert keys(blobs) == ["a/1", "b/1", "b/2", "bb/1"]
    assert [(found.key, found.size_bytes) for found in blobs.list("b")] == [("b/1", 3), ("b/2", 3)]
    assert keys(blobs, "nothing") == []


def test_what_vanishes_while_it_is_listed_is_left_out(blobs: Blobs) -> None:
    blobs.put("a", b"")
    blobs.put("b", b"")
    listing = blobs.list()
    assert next(listing).key == "a"
    blobs.delete("b")
    assert list(listing) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_called_so_and_leaves_the_key_as_it_was(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(_file: int) -> None:
        raise OSError(number, "no space")

    blobs.put("a", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable) as caught:
        blobs.put("a", b"new")
    assert caught.value.code == "disk_full"
    assert blobs.get("a") == b"old"
    assert keys(blobs) == ["a"]


def test_another_fault_of_the_disk_is_not_hidden(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_file: int) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="input/output"):
        blobs.put("a", b"new")
    assert keys(blobs) == []


def test_a_crash_before_the_rename_leaves_no_object(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_source: object, _target: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        blobs.put("a", b"new")
    with pytest.raises(Missing):
        blobs.get("a")


def test_data_are_synced_before_they_are_seen_and_the_folder_after(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (steps.append("sync"), sync(file)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("rename"), replace(a, b)))
    blobs.put("a", b"data")
    assert steps == ["sync", "rename", "sync"]


WRITER = """
import os, resource, signal, sys
from pathlib import Path
from atalaia.kit.blobs import Blobs
blobs = Blobs(Path(sys.argv[1]))
if sys.argv[2] == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
else:
    os.replace = lambda a, b: os.kill(os.getpid(), signal.SIGKILL)
blobs.put("a", b"x" * 100_000)
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", ["limit", "kill"])
def test_a_process_that_dies_while_it_writes_leaves_the_old_object(blobs: Blobs, end: str) -> None:
    blobs.put("a", b"old")
    command = [sys.executable, "-c", WRITER, blobs.root, end]
    clean = {
        name: value for name, value in os.environ.items() if "COVERAGE" not in name
    }  # its file would be cut off
    done = subprocess.run(command, capture_output=True, check=False, env=clean)
    assert done.returncode != 0
    assert blobs.get("a", sha256_of(b"old")) == b"old"


def test_a_view_is_the_object_where_it_lies(blobs: Blobs) -> None:
    data = os.urandom(100_000)
    blob = blobs.put("models/a", data)
    view = blobs.view("models/a", blob.sha256)
    assert view == data
    assert view.readonly
    assert isinstance(view.obj, mmap.mmap)


def test_a_view_of_an_empty_object_is_empty(blobs: Blobs) -> None:
    assert blobs.view("a", blobs.put("a", b"").sha256) == b""


def test_a_view_outlives_its_object_and_the_one_in_its_place(blobs: Blobs) -> None:
    view = blobs.view("a", blobs.put("a", b"old" * 10_000).sha256)
    blobs.put("a", b"new")
    assert view == b"old" * 10_000
    view = blobs.view("a", sha256_of(b"new"))
    blobs.delete("a")
    assert view == b"new"


def test_a_view_of_a_damaged_object_is_refused(blobs: Blobs) -> None:
    blob = blobs.put("a", b"data")
    for wrong in (b"dat4", b"", b"data and more"):
        blobs.path("a").write_bytes(wrong)
        with pytest.raises(Broken) as caught:
            blobs.view("a", blob.sha256)
        assert caught.value.code == "bad_blob"


@pytest.mark.parametrize("key", ["a", "folder", "a/b/c", "file/below", *HOSTILE])
def test_a_view_of_what_is_not_there_is_missing(blobs: Blobs, key: str) -> None:
    blobs.put("folder/x", b"")
    blobs.put("file", b"")
    with pytest.raises(Missing):
        blobs.view(key, sha256_of(b""))


def test_views_leave_no_file_open(blobs: Blobs) -> None:
    blob = blobs.put("a", b"data")
    before = len(os.listdir("/proc/self/fd"))
    views = [blobs.view("a", blob.sha256) for _ in range(50)]
    # A mapping keeps a duplicate of its descriptor, which goes with it.
    del views
    assert len(os.listdir("/proc/self/fd")) <= before  # others may have closed theirs meanwhile
