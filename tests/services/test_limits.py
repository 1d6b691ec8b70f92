"""The limits of whole services that share a Redis, which goes away and comes back."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from atalaia.app.embedded import Embedded
from atalaia.app.outside import Finding, outside
from atalaia.app.settings import load_settings
from atalaia.kit.auth.permissions import Role
from tests.journeys.servers import metric, until
from tests.parts.redis import Redis

pytestmark = pytest.mark.slow
ROW = {"points": [{"series_id": "a", "timestamp": 1_700_000_000, "value": 1.0}]}


class Pair:
    """Two services that know the same tokens, and count together."""

    def __init__(self, services: list[Embedded]) -> None:
        self._services = services
        self._http = [httpx.Client(base_url=service.url, trust_env=False) for service in services]

    def token(self, role: Role, name: str) -> dict[str, str]:
        key = self._services[0].atalaia.entrance.access.key
        return {"Authorization": f"Bearer {key.sign(f'service:{name}', role, 600)[0]}"}

    def statuses(self, caller: dict[str, str], count: int, *, at: int = 0, hot: bool = False) -> Counter[int]:
        http = self._http[at]
        if hot:
            return Counter(http.post("/api/v1/points", json=ROW, headers=caller).status_code for _ in range(count))
        return Counter(http.get("/api/v1/series", headers=caller).status_code for _ in range(count))

    def is_shared(self) -> bool:
        """Whether both say that they share their counts; a gauge is read by whoever may."""
        told = [http.get("/metrics", headers=self.token(Role.VIEWER, f"m{time.time_ns()}")) for http in self._http]
        return all(metric(answer.text, "rate_limits_shared") == 1 for answer in told)

    def close(self) -> None:
        for http in self._http:
            http.close()


@pytest.fixture
def pair(tmp_path: Path, redis_server: Redis) -> Iterator[Pair]:
    settings: dict[str, Any] = {
        "port": 0,
        "auth.mode": "on",
        "auth.signing_key_file": tmp_path / "first" / "secrets" / "signing_key.pem",
        "limits.redis_url": redis_server.url,
        "limits.control": "10/hour",
        "limits.ingest": "10/hour",
        "limits.share_every_s": 0.05,
    }
    first = load_settings({**settings, "data_dir": tmp_path / "first", "auth.signing_key_file": None})
    with Embedded(first) as one, Embedded(load_settings({**settings, "data_dir": tmp_path / "second"})) as two:
        both = Pair([one, two])
        yield both
        both.close()


def test_services_count_together(pair: Pair) -> None:
    ada, bob = pair.token(Role.ADMIN, "ada"), pair.token(Role.ADMIN, "bob")
    assert pair.statuses(ada, 6) == {200: 6}
    assert pair.statuses(ada, 10, at=1) == {200: 4, 429: 6}
    assert pair.statuses(bob, 1, at=1) == {200: 1}
    assert pair.statuses(ada, 6, hot=True) == {200: 6}
    time.sleep(0.3)
    pair.statuses(ada, 1, at=1, hot=True)
    time.sleep(0.3)
    assert pair.statuses(ada, 10, at=1, hot=True) == {200: 3, 429: 7}


def test_without_redis_both_go_on_alone_and_find_together_again(pair: Pair, redis_server: Redis) -> None:
    carol = pair.token(Role.ADMIN, "carol")
    assert pair.statuses(carol, 2) == {200: 2}
    redis_server.stop()
    try:
        until(lambda: not pair.is_shared(), "both to notice")
        assert [one.ok for one in looked_at(redis_server)] == [False]
        began = time.monotonic()
        for at in (0, 1):
            assert pair.statuses(carol, 12, at=at) == {200: 10, 429: 2}
            assert pair.statuses(carol, 12, at=at, hot=True) == {200: 10, 429: 2}
        assert time.monotonic() - began < 10
    finally:
        redis_server.start()
    until(pair.is_shared, "both to share again")
    assert [one.ok for one in looked_at(redis_server)] == [True]
    dave = pair.token(Role.ADMIN, "dave")
    assert pair.statuses(dave, 6) == {200: 6}
    assert pair.statuses(dave, 10, at=1) == {200: 4, 429: 6}


def looked_at(redis_server: Redis) -> list[Finding]:
    """Return what a check-up says of Redis."""
    return outside(load_settings({"limits.redis_url": redis_server.url}))
