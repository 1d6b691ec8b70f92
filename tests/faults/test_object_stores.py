"""A bucket that is slow, erring or gone is told so in time, and what comes back is found at once."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from atalaia.core.errors import Broken, Missing, Unavailable
from atalaia.kit.blobs import RemoteBlobs, sha256_of
from tests.parts.buckets import BUCKETS, rent, settings_of
from tests.parts.proxy import Proxy
from tests.parts.stores import Store

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("plainly")]
QUICK: dict[str, Any] = {
    "connect_timeout_s": 0.5,
    "read_timeout_s": 0.5,
    "deadline_s": 1.5,
    "attempts": 2,
    "pause_s": 0.3,
}
HARM: dict[str, Callable[[Proxy], None]] = {
    "gone": lambda proxy: proxy.close(),
    "erring": lambda proxy: proxy.answer(500),
    "overloaded": lambda proxy: proxy.answer(503),
    "silent": lambda proxy: proxy.silence(),
    "slow": lambda proxy: setattr(proxy, "delay_s", 30),
    "dribbling": lambda proxy: setattr(proxy, "bytes_s", 20),
}
OF_EVERY_STORE = ("gone", "silent")
"""What the clients themselves differ in; the other harms are shown on one store."""
IN_TROUBLE = [(name, harm) for name in BUCKETS for harm in HARM if harm in OF_EVERY_STORE or name == "moto"]
Open = Callable[..., RemoteBlobs]
T = TypeVar("T")


@pytest.fixture(params=BUCKETS)
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Proxy, Open]]:
    """Put a proxy before a store; open a bucket there as often as asked, each time with copies of its own."""
    store: Store = request.getfixturevalue(request.param)
    bucket = rent(request.param, store)
    folders = (tmp_path / f"copies-{i}" for i in range(99))
    with Proxy(store.port) as proxy:
        given = settings_of(request.param, store, proxy.endpoint, **QUICK).model_dump()
        yield proxy, lambda **more: RemoteBlobs(bucket.open(**given), next(folders), cache_bytes=2**24, **more)


def _patiently(act: Callable[[], T]) -> T:
    """Return what something well does, on a machine that may be slower than the short limits here."""
    began = time.monotonic()
    while True:
        try:
            return act()
        except Unavailable:
            assert time.monotonic() - began < 20
            time.sleep(0.35)


@pytest.mark.parametrize(("far", "harm"), IN_TROUBLE, indirect=["far"])
def test_a_store_in_trouble_is_unavailable_in_time_and_is_used_again_when_it_is_well(
    far: tuple[Proxy, Open], harm: str
) -> None:
    proxy, open_blobs = far
    blobs, data = open_blobs(), b"d" * 5_000
    sha256 = _patiently(lambda: blobs.put("a", data)).sha256
    other = open_blobs()
    HARM[harm](proxy)
    calls: list[Callable[[], object]] = [
        lambda: other.get("a", sha256),
        lambda: other.put("b", data),
        lambda: other.exists("a"),
        lambda: list(other.list()),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(Unavailable) as refused:
            call()
        assert refused.value.code == "blobs_unavailable"
        assert refused.value.retry_after_s
        assert time.monotonic() - began < 1.5 + 2
        time.sleep(0.35)  # else it would fail at once, see below
    assert blobs.get("a", sha256) == blobs.view("a", sha256) == data  # there is a copy

    proxy.heal()
    began = time.monotonic()
    while True:
        try:
            assert other.get("a", sha256) == data
            break
        except Unavailable:
            assert time.monotonic() - began < 10
            time.sleep(0.05)
    print(f"recovery: {harm} store answers after {time.monotonic() - began:.2f} s")
    assert [found.key for found in other.list()] in (["a"], ["a", "b"])  # a put that failed is there whole or not
    if other.exists("b"):
        assert other.get("b") == data


@pytest.fixture
def near(moto: Store, tmp_path: Path) -> Iterator[tuple[Proxy, Open]]:
    """Put a proxy before one S3."""
    bucket = rent("moto", moto)
    folders = (tmp_path / f"copies-{i}" for i in range(99))
    with Proxy(moto.port) as proxy:
        given = settings_of("moto", moto, proxy.endpoint, **QUICK).model_dump()

        def opened(*, cache_bytes: int = 2**24, **changes: Any) -> RemoteBlobs:
            return RemoteBlobs(bucket.open(**{**given, **changes}), next(folders), cache_bytes=cache_bytes)

        yield proxy, opened


def test_those_who_come_right_after_a_failure_do_not_wait(near: tuple[Proxy, Open]) -> None:
    proxy, open_blobs = near
    blobs = open_blobs(pause_s=20)
    proxy.silence()
    with pytest.raises(Unavailable):
        blobs.get("a")
    began = time.monotonic()
    for _ in range(50):
        with pytest.raises(Unavailable):
            blobs.get("a")
    assert time.monotonic() - began < 1


def test_one_failure_is_not_noticed(near: tuple[Proxy, Open]) -> None:
    proxy, open_blobs = near
    blobs = open_blobs()
    sha256 = blobs.put("a", b"data").sha256
    proxy.cut(reset=True)
    assert open_blobs().get("a", sha256) == b"data"
    proxy.cut()
    assert blobs.get("a") == b"data"


def test_wrong_keys_are_told_at_once_and_do_not_stop_others(near: tuple[Proxy, Open]) -> None:
    _, open_blobs = near
    blobs = open_blobs()
    blobs.put("a", b"data")
    with pytest.raises(Missing):
        blobs.get("b")
    assert blobs.get("a") == b"data"


def test_a_damaged_copy_is_fetched_again_and_a_damaged_object_is_told(near: tuple[Proxy, Open]) -> None:
    proxy, open_blobs = near
    blobs, data = open_blobs(), b"d" * 100_000
    sha256 = blobs.put("a", data).sha256
    for read in (blobs.get, lambda key, sha256: bytes(blobs.view(key, sha256))):
        blobs.path("a").write_bytes(b"rubbish")
        assert read("a", sha256) == data
        assert blobs.path("a").read_bytes() == data
    assert blobs.discard("a")
    assert not blobs.discard("a")
    assert blobs.local("a", sha256).read_bytes() == data
    with pytest.raises(Broken):
        blobs.view("a", sha256_of(b"other"))
    blobs.path("a").write_bytes(b"rubbish")
    proxy.close()
    with pytest.raises(Unavailable):
        blobs.view("a", sha256)


def test_copies_take_no_more_disk_than_they_may_and_those_used_last_stay(near: tuple[Proxy, Open]) -> None:
    _, open_blobs = near
    blobs = open_blobs(cache_bytes=2**20)
    sums = {f"o/{i:02}": blobs.put(f"o/{i:02}", bytes([i]) * 100_000).sha256 for i in range(8)}
    for i in range(8, 30):
        assert blobs.view("o/00", sums["o/00"])[0] == 0
        sums[f"o/{i:02}"] = blobs.put(f"o/{i:02}", bytes([i]) * 100_000).sha256
    copies = {path.name for path in (blobs.root / "o").iterdir()}
    assert sum(path.stat().st_size for path in (blobs.root / "o").iterdir()) <= 2**20 + 2**16
    assert {"00", "29"} <= copies
    assert "05" not in copies
    assert blobs.view("o/05", sums["o/05"])[0] == 5
    large = blobs.put("large", bytes(2**21))
    assert blobs.view("large", large.sha256) == bytes(2**21)
    assert len(blobs.view("o/07", sums["o/07"])) == 100_000
