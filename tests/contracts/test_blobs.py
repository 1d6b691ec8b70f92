"""Objects behave alike in a folder and in every kind of bucket."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from atalaia.core.errors import Broken, Missing
from atalaia.kit.blobs import Blobs, RemoteBlobs, Seals, sha256_of
from atalaia.kit.envelopes import is_sealed, sealed_size
from atalaia.kit.keyring import Keyring, Secret
from tests.parts.buckets import BUCKETS, rented

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:Sending a large body directly:ResourceWarning"
    ),  # gcsfs does, in its own thread
]
HOSTILE = ["", ".", "..", "/", "../x", "a/../../x", "/etc/passwd", "a/..", "nul\0nul", "lone\ud800"]
ODD = [
    "água/ção.npz", "a b/c+d&e=f", "a%20b", "what?x=1#y", "100%", "a;b,c@d:e", "star*[x]{y}", "猫/🗼",
    "back\\slash", "'quoted\"", "~tilde", "a-b/c_d.e", "x" * 80,
]  # fmt: skip
Open = Callable[[], Blobs]


SEALED = "sealed "
KEYRING = Keyring(Secret(b"k" * 32, is_key=True))


@pytest.fixture(params=["folder", *BUCKETS, f"{SEALED}folder", *(f"{SEALED}{kind}" for kind in BUCKETS)])
def open_blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same store as often as asked, each time as another machine would."""
    kind = request.param.removeprefix(SEALED)
    seals = Seals(KEYRING, requires=True) if kind != request.param else None
    if kind == "folder":
        yield lambda: Blobs(tmp_path / "blobs", seals=seals)
        return
    bucket = rented(request, kind)
    names = (tmp_path / f"machine-{i}" for i in range(99))
    yield lambda: RemoteBlobs(bucket.open(), next(names), cache_bytes=2**30, seals=seals)


@pytest.fixture
def blobs(open_blobs: Open) -> Blobs:
    return open_blobs()


def keys(blobs: Blobs, prefix: str = "") -> list[str]:
    return [found.key for found in blobs.list(prefix)]


def lies(blobs: Blobs, size: int) -> int:
    """Return how many bytes lie in the store for data of a size."""
    return sealed_size(size) if blobs.seals.writes else size


def test_what_is_put_is_read_in_every_way_here_and_elsewhere(open_blobs: Open) -> None:
    here, data = open_blobs(), os.urandom(100_000)
    blob = here.put("models/a.npz", data)
    assert (blob.key, blob.size_bytes, blob.sha256) == ("models/a.npz", len(data), hashlib.sha256(data).hexdigest())
    for blobs in (here, open_blobs()):
        assert blobs.get("models/a.npz") == blobs.get("models/a.npz", blob.sha256) == data
        assert blobs.view("models/a.npz", blob.sha256) == data
        assert blobs.local("models/a.npz", blob.sha256).read_bytes() == data
        assert blobs.exists("models/a.npz")
        assert blobs.is_whole("models/a.npz", blob.sha256, len(data))


def test_an_object_can_be_replaced(open_blobs: Open) -> None:
    blobs, other = open_blobs(), open_blobs()
    old = blobs.put("a", b"old")
    assert other.view("a", old.sha256) == b"old"
    new = blobs.put("a", b"newer")
    assert blobs.get("a") == other.get("a") == b"newer"
    for one in (blobs, other):
        assert one.view("a", new.sha256) == one.get("a", new.sha256) == b"newer"
        assert one.local("a", new.sha256).read_bytes() == b"newer"
    assert keys(blobs) == ["a"]


def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    blobs.put("folder/x", b"")
    for key in ("nothing", "folder", "folder/x/y"):
        for act in (blobs.get, lambda key: blobs.view(key, sha256_of(b""))):
            with pytest.raises(Missing) as refused:
                act(key)
            assert refused.value.code == "unknown_blob"
        assert not blobs.exists(key)
        assert not blobs.is_whole(key, sha256_of(b""), 0)
    with pytest.raises(FileNotFoundError):
        blobs.local("nothing", sha256_of(b"")).read_bytes()
    assert keys(blobs) == ["folder/x"]


def test_a_wrong_checksum_is_refused_whoever_asks(open_blobs: Open) -> None:
    blobs = open_blobs()
    blobs.put("a", b"data")
    for one in (blobs, open_blobs()):
        for act in (one.get, one.view):
            with pytest.raises(Broken) as refused:
                act("a", sha256_of(b"other"))
            assert refused.value.code == "bad_blob"
    assert not blobs.is_whole("a", sha256_of(b"othe"), 7)


def test_deleting_twice_is_fine_and_the_others_know(open_blobs: Open) -> None:
    blobs = open_blobs()
    blobs.put("a/b", b"x")
    blobs.put("a/c", b"y")
    blobs.delete("a/b")
    blobs.delete("a/b")
    assert (blobs.exists("a/b"), keys(blobs), keys(open_blobs())) == (False, ["a/c"], ["a/c"])
    with pytest.raises(Missing):
        blobs.get("a/b", sha256_of(b"x"))


@pytest.mark.parametrize("key", HOSTILE)
def test_a_hostile_key_is_missing_and_touches_nothing(blobs: Blobs, key: str) -> None:
    calls: list[Callable[[str], object]] = [
        blobs.get,
        blobs.delete,
        blobs.exists,
        lambda key: blobs.put(key, b"x"),
        lambda key: blobs.view(key, sha256_of(b"x")),
    ]
    for act in calls:
        with pytest.raises(Missing):
            act(key)
    assert keys(blobs) == []


def test_keys_of_every_kind_are_kept_apart(open_blobs: Open) -> None:
    blobs, other = open_blobs(), open_blobs()
    sums = {key: blobs.put(key, key.encode()).sha256 for key in ODD}
    for key, sha256 in sums.items():
        assert other.get(key) == other.view(key, sha256) == key.encode(), key
        assert other.exists(key), key
    assert sorted(keys(other)) == sorted(ODD)
    for key in ODD:
        other.delete(key)
    assert keys(blobs) == []


def test_two_ways_to_write_a_key_are_one(blobs: Blobs) -> None:
    blobs.put("a//b/./c", b"x")
    assert blobs.get("a/b/c") == b"x"
    assert keys(blobs) == ["a/b/c"]


def test_an_empty_object_is_an_object(open_blobs: Open) -> None:
    blob = open_blobs().put("empty", b"")
    other = open_blobs()
    assert other.get("empty") == other.view("empty", blob.sha256) == b""
    assert [(found.key, found.size_bytes) for found in other.list()] == [("empty", lies(other, 0))]


def test_a_large_object_arrives_whole(open_blobs: Open) -> None:
    data = os.urandom(2**20) * 64
    blob = open_blobs().put("large", data)
    other = open_blobs()
    assert sha256_of(other.view("large", blob.sha256)) == blob.sha256
    assert [found.size_bytes for found in other.list()] == [lies(other, 64 * 2**20)]


def test_a_list_has_what_lies_below_a_prefix_in_order_and_says_when_it_was_written(blobs: Blobs) -> None:
    before = time.time()
    for key in ("b/2", "bb/1", "a/1", "b/1", "b-b/1", "b/sub/3"):
        blobs.put(key, b"xyz")
    assert keys(blobs) == ["a/1", "b/1", "b/2", "b/sub/3", "b-b/1", "bb/1"]
    assert [(found.key, found.size_bytes) for found in blobs.list("b")] == [
        (key, lies(blobs, 3)) for key in ("b/1", "b/2", "b/sub/3")
    ]  # fmt: skip
    assert keys(blobs, "b/1") == keys(blobs, "nothing") == []
    assert all(before - 2 <= found.modified_s <= time.time() + 2 for found in blobs.list())
    with pytest.raises(Missing):
        keys(blobs, "../b")


@pytest.mark.parametrize("open_blobs", ["folder", *BUCKETS], indirect=True)
def test_more_objects_than_one_page_are_listed(blobs: Blobs) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda i: blobs.put(f"many/{i:04}", b""), range(1_100)))
    assert keys(blobs, "many") == [f"many/{i:04}" for i in range(1_100)]


def test_of_many_who_write_at_once_one_wins_and_all_objects_are_whole(open_blobs: Open) -> None:
    blobs = open_blobs()
    texts = [bytes([i + 65]) * 300_000 for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: blobs.put("same", text), texts))
        list(pool.map(lambda text: blobs.put(f"own/{text[0]}", text), texts))
    other = open_blobs()
    assert other.get("same") in texts
    assert [other.get(f"own/{i}") for i in range(65, 73)] == texts


def test_what_is_wanted_soon_comes_several_at_a_time(open_blobs: Open) -> None:
    blobs = open_blobs()
    wanted = [(f"b/{i}", blobs.put(f"b/{i}", bytes([i + 65]) * 1000).sha256) for i in range(20)]
    other = open_blobs()
    other.prefetch(wanted)
    assert all(other.path(key).is_file() for key, _ in wanted)
    assert [other.local(key, sha256).read_bytes()[0] for key, sha256 in wanted] == list(range(65, 85))
    other.prefetch([("not there", sha256_of(b"x")), ("nor there", sha256_of(b"y"))])


def test_what_is_stored_can_be_begun_and_replaced(open_blobs: Open) -> None:
    blobs, data = open_blobs(), os.urandom(1_000)
    sha256 = blobs.put("a/b", data).sha256
    stored = bytes(blobs.stored("a/b"))
    assert is_sealed(stored) == blobs.seals.writes
    assert (stored == data) == (not blobs.seals.writes)
    assert [blobs.begin("a/b", length) for length in (1, 100, 5_000)] == [stored[:1], stored[:100], stored]
    for act in (blobs.stored, lambda key: blobs.begin(key, 10)):
        with pytest.raises(Missing):
            act("a/c")
    blobs.replace("a/b", [b"another ", b"form"])
    assert blobs.begin("a/b", 100) == open_blobs().begin("a/b", 100) == b"another form"
    blobs.replace("a/b", [stored])
    assert open_blobs().get("a/b", sha256) == data


def test_a_store_that_can_be_used_says_so(blobs: Blobs) -> None:
    assert "objects lie in" in blobs.check()
    assert keys(blobs) == []
