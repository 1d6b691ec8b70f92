"""Sealed objects lie in a folder so that nobody reads, changes or swaps them unseen; others are read as before."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Broken, Unavailable
from atalaia.core.points import Points
from atalaia.kit.arrow import points_to_parquet, read_all, read_footer, read_series
from atalaia.kit.blobs import Blobs, Listed, RemoteBlobs, Seals, sha256_of
from atalaia.kit.envelopes import MAGIC, SealedFile, is_sealed, sealed_size
from atalaia.kit.keyring import Keyring, Secret

OLD, NEW = Secret(b"o" * 32, is_key=True), Secret(b"n" * 32, is_key=True)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return folder(tmp_path)


def folder(tmp_path: Path, secret: Secret | None = OLD, **more: bool) -> Blobs:
    return Blobs(tmp_path / "blobs", seals=Seals(Keyring(secret), **more))


def refusal(act: object, *args: object) -> str:
    assert callable(act)
    with pytest.raises(Broken) as refused:
        act(*args)
    return refused.value.code


def test_what_lies_there_is_sealed_and_told_of_as_if_it_were_not(blobs: Blobs) -> None:
    data = b"PAR1" + os.urandom(200_000)
    blob = blobs.put("history//a", data)
    assert (blob.sha256, blob.size_bytes) == (sha256_of(data), len(data))
    lies = blobs.path("history/a").read_bytes()
    assert is_sealed(lies)
    assert b"PAR1" not in lies
    assert blobs.get("history/a") == blobs.get("history/./a", blob.sha256) == data
    assert blobs.view("history/a", blob.sha256) == data
    assert blobs.view("history/a", blob.sha256).readonly
    assert blobs.is_whole("history/a", blob.sha256, len(data))
    assert [found.size_bytes for found in blobs.list()] == [sealed_size(len(data))]


def test_what_was_not_sealed_before_is_read_unless_that_is_refused(tmp_path: Path) -> None:
    data = b"as it was" * 10_000
    sha256 = Blobs(tmp_path / "blobs").put("a", data).sha256
    blobs = folder(tmp_path)
    assert blobs.get("a", sha256) == blobs.view("a", sha256) == data
    local = blobs.local("a", sha256)
    assert isinstance(local, Path)
    assert local.read_bytes() == data
    strict = folder(tmp_path, requires=True)
    for act in (strict.get, strict.view, strict.local):
        assert refusal(act, "a", sha256) == "not_sealed"
    assert not strict.is_whole("a", sha256, len(data))


def test_once_sealing_is_turned_off_what_is_sealed_is_still_read(tmp_path: Path) -> None:
    folder(tmp_path).put("a", b"sealed")
    blobs = folder(tmp_path, writes=False)
    blobs.put("b", b"clear")
    assert (blobs.get("a"), blobs.path("b").read_bytes()) == (b"sealed", b"clear")


def test_without_its_key_an_object_is_told_to_be_sealed_with_another(tmp_path: Path) -> None:
    sha256 = folder(tmp_path).put("a", b"data").sha256
    for blobs in (folder(tmp_path, NEW), folder(tmp_path, None)):
        for act in (blobs.get, blobs.view):
            assert refusal(act, "a", sha256) == "unknown_key"


def test_objects_cannot_be_swapped_cut_or_changed(blobs: Blobs) -> None:
    for key in ("history/a", "history/b"):
        blobs.put(key, os.urandom(100_000))
    one, other = blobs.path("history/a"), blobs.path("history/b")
    before = one.read_bytes()
    for bad in (other.read_bytes(), before[:-1], before[: len(before) // 2], before[:50], before + b"x"):
        one.write_bytes(bad)
        assert refusal(blobs.get, "history/a") == "bad_seal"
        assert refusal(blobs.local, "history/a") == "bad_seal"
    one.write_bytes(before)
    assert len(blobs.get("history/a")) == 100_000


def test_a_store_without_seals_leaves_all_bytes_as_they_are(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    blobs.put("a", MAGIC + b"whatever")
    assert blobs.get("a") == MAGIC + b"whatever"


@given(st.binary(max_size=300))
def test_data_that_looks_sealed_comes_back_as_it_was(data: bytes) -> None:
    seals = Seals(Keyring(OLD))
    for told in (data, MAGIC + data):
        assert bytes(seals.opened("a", b"".join(seals.sealed("a", told)))) == told


def test_an_artefact_that_is_kept_is_sealed_on_disk_and_not_opened_again(blobs: Blobs) -> None:
    data = memoryview(os.urandom(100_000))
    for _ in range(2):
        assert blobs.keep("models/a.npz", data, sha256_of(data)) is data
    assert is_sealed(blobs.path("models/a.npz").read_bytes())


def test_a_block_is_read_as_it_is_from_a_file(blobs: Blobs, tmp_path: Path) -> None:
    series = np.repeat(np.arange(40, dtype=np.int32), 1_000)
    times = np.tile(np.arange(1_000, dtype=np.int64) * 60_000_000, 40)
    points = Points(series, times, np.random.default_rng(0).normal(size=40_000))
    blob = blobs.put("history/a.parquet", points_to_parquet(points))
    assert len(blob.sha256) == 64
    source = blobs.local(blob.key, blob.sha256)
    assert isinstance(source, SealedFile)
    assert np.array_equal(read_all(source).values, points.values)
    footer = read_footer(source)
    one = read_series(blobs.local(blob.key), footer, np.array([7], np.int32), (0, 500 * 60_000_000))
    assert np.array_equal(one.values, points.values[7_000:7_500])
    blobs.delete(blob.key)
    assert np.array_equal(read_all(source).values, points.values)  # as a file that is open
    with pytest.raises(FileNotFoundError):
        blobs.local(blob.key)


def test_a_changed_block_is_found_by_the_reader_of_parquet(blobs: Blobs) -> None:
    series = np.repeat(np.arange(40, dtype=np.int32), 1_000)
    points = Points(series, np.arange(40_000, dtype=np.int64), np.random.default_rng(0).normal(size=40_000))
    blob = blobs.put("history/a.parquet", points_to_parquet(points))
    lies = bytearray(blobs.path(blob.key).read_bytes())
    lies[len(lies) // 2] ^= 1
    blobs.path(blob.key).write_bytes(lies)
    assert refusal(read_all, blobs.local(blob.key)) == "bad_seal"


class Elsewhere:
    """A store in memory, of which nothing can be had once it is down."""

    name = "memory"

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.is_down = False

    def put(self, key: str, data: bytes) -> None:
        self.held[key] = data

    def get(self, key: str) -> bytes:
        if self.is_down:
            raise Unavailable("blobs_unavailable", "down")
        return self.held[key]

    def begin(self, key: str, length: int) -> bytes:
        return self.held[key][:length]

    def size(self, key: str) -> int | None:
        return len(self.held[key]) if key in self.held else None

    def delete(self, key: str) -> None:
        self.held.pop(key, None)

    def list(self, prefix: str) -> Iterator[Listed]:
        yield from [Listed(key, len(data), 0.0) for key, data in self.held.items()]


def remote(store: Elsewhere, root: Path, keyring: Keyring, **more: bool) -> RemoteBlobs:
    return RemoteBlobs(store, root, cache_bytes=2**20, seals=Seals(keyring, **more))


def test_in_a_bucket_and_in_its_copies_objects_are_sealed_with_keys_of_their_own(tmp_path: Path) -> None:
    store, data = Elsewhere(), b"PAR1" + os.urandom(70_000)
    blobs = remote(store, tmp_path, Keyring(OLD))
    blob = blobs.put("history/a", data)
    there, copy = store.held["history/a"], blobs.path("history/a").read_bytes()
    assert is_sealed(there)
    assert is_sealed(copy)
    assert there != copy
    assert b"PAR1" not in there + copy
    assert blobs.is_whole("history/a", blob.sha256, len(data))
    assert not blobs.is_whole("history/a", blob.sha256, len(data) + 1)
    store.is_down = True  # what was read once is read without it
    again = remote(store, tmp_path, Keyring(OLD))
    assert again.get("history/a", blob.sha256) == again.view("history/a", blob.sha256) == data
    assert again.local("history/a", blob.sha256).read_bytes() == data


def test_a_copy_that_cannot_be_opened_is_fetched_again(tmp_path: Path) -> None:
    store, data = Elsewhere(), os.urandom(1_000)
    blob = remote(store, tmp_path, Keyring(OLD)).put("a", data)
    copy = tmp_path / "a"
    store.held["a"] = b"".join(Seals(Keyring(NEW)).sealed("a", data))  # as a rotation leaves it
    for get in ("get", "view", "local"):
        blobs = remote(store, tmp_path, Keyring(NEW))
        told = getattr(blobs, get)("a", blob.sha256)
        assert (told.read_bytes() if get == "local" else told) == data
        copy.write_bytes(copy.read_bytes()[:-1])
    assert store.held["a"] != copy.read_bytes()


def test_a_bucket_that_gives_clear_objects_for_sealed_ones_is_refused_where_that_is_required(
    tmp_path: Path,
) -> None:
    store = Elsewhere()
    blob = remote(store, tmp_path / "a", Keyring(OLD)).put("a", b"data")
    store.held["a"] = b"data"
    assert remote(store, tmp_path / "b", Keyring(OLD)).get("a", blob.sha256) == b"data"
    strict = remote(store, tmp_path / "c", Keyring(OLD), requires=True)
    assert refusal(strict.get, "a", blob.sha256) == "not_sealed"
    assert not strict.is_whole("a", blob.sha256, 4)
