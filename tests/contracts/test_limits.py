"""Limits hold in one process and over several, by whatever means they are counted; and without Redis too."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from atalaia.core.errors import Busy
from atalaia.kit.limits import LimitSettings, RateLimits
from atalaia.kit.telemetry import Telemetry
from tests.journeys.servers import until
from tests.parts.redis import Redis

pytestmark = pytest.mark.slow

Open = Callable[..., RateLimits]


@pytest.fixture(params=["memory", "redis"])
def redis_url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "memory":
        return None
    return request.getfixturevalue("redis_server").url


@pytest.fixture
def open_limits() -> Iterator[Open]:
    with ExitStack() as stack:

        def one(redis_url: str | None, **settings: Any) -> RateLimits:
            told = LimitSettings.model_validate({"redis_url": redis_url, "share_every_s": 0.02, **settings})
            limits = RateLimits(told, Telemetry())
            limits.start()
            stack.callback(limits.stop)
            return limits

        yield one


def passed(limits: RateLimits, kind: str, caller: str, tries: int) -> int:
    """Return how many calls of so many pass."""

    async def run() -> int:
        count = 0
        for _ in range(tries):
            with suppress(Busy):
                await limits.take(kind, caller)
                count += 1
        return count

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["tabular", "control", "login", "predict", "ingest"])
def test_no_more_pass_than_the_limit_says(open_limits: Open, redis_url: str | None, kind: str) -> None:
    limits = open_limits(redis_url, **{kind: "7/hour"})
    caller = f"no more {kind}"
    assert passed(limits, kind, caller, 20) == 7
    assert passed(limits, kind, f"{caller}, another", 20) == 7


@pytest.mark.parametrize("kind", ["tabular", "predict"])
def test_the_tightest_of_several_limits_counts(open_limits: Open, redis_url: str | None, kind: str) -> None:
    limits = open_limits(redis_url, **{kind: "5/hour;3/minute;100/day"})
    assert passed(limits, kind, f"tightest {kind}", 20) == 3


@pytest.mark.parametrize("kind", ["control", "predict"])
def test_a_caller_comes_again_when_the_window_is_over(open_limits: Open, redis_url: str | None, kind: str) -> None:
    limits = open_limits(redis_url, **{kind: "5/second"})
    caller = f"again {kind}"
    assert passed(limits, kind, caller, 20) >= 5
    time.sleep(2.1)
    assert passed(limits, kind, caller, 5) == 5


def test_the_limits_of_uploaded_tables_are_those_that_were_asked_for() -> None:
    assert LimitSettings().tabular == "10/minute;50/hour;200/day"


def test_the_answer_says_what_is_left(open_limits: Open, redis_url: str | None) -> None:
    limits = open_limits(redis_url, tabular="10/minute;50/hour")
    taken = asyncio.run(limits.take("tabular", "left"))
    headers = dict(taken.headers)
    assert headers["RateLimit-Policy"] == '"tabular-60";q=10;w=60, "tabular-3600";q=50;w=3600'
    assert headers["RateLimit"].startswith('"tabular-60";r=9;t=')


@pytest.mark.parametrize("kind", ["control", "predict"])
def test_processes_share_their_counts(open_limits: Open, redis_server: Redis, kind: str) -> None:
    first, second = (open_limits(redis_server.url, **{kind: "10/hour"}) for _ in range(2))
    caller = f"shared {kind}"
    assert passed(first, kind, caller, 6) == 6
    time.sleep(0.2)
    let_in = passed(second, kind, caller, 1)  # a hot door learns of the others with its first call
    time.sleep(0.2)
    let_in += passed(second, kind, caller, 20)
    assert let_in == 4


def test_a_hot_door_lets_at_most_one_round_too_many_pass(open_limits: Open, redis_server: Redis) -> None:
    many = [open_limits(redis_server.url, predict="50/hour", share_every_s=0.05) for _ in range(3)]
    let_in = 0
    for _ in range(40):
        let_in += sum(passed(limits, "predict", "overshoot", 2) for limits in many)
        time.sleep(0.06)
    assert 50 <= let_in <= 50 + 2 * 2 * len(many)


def test_without_redis_each_process_counts_alone_until_it_is_back(open_limits: Open, redis_server: Redis) -> None:
    with capture_logs() as lines:
        limits = open_limits(redis_server.url, control="100/hour", predict="100/hour")
        assert passed(limits, "control", "gone", 1) == 1
        redis_server.stop()
        try:
            began = time.monotonic()
            assert passed(limits, "control", "gone", 150) == 100
            assert passed(limits, "predict", "gone", 150) == 100
            assert time.monotonic() - began < 5
            until(lambda: limits._is_down, "the limits to notice")
            assert b"rate_limits_shared 0.0" in limits._telemetry.render()
        finally:
            redis_server.start()
        until(lambda: not limits._is_down, "the limits to be shared again")
        assert passed(limits, "control", "back", 1) == 1
        assert b"rate_limits_shared 1.0" in limits._telemetry.render()
    events = [line["event"] for line in lines if line["event"].startswith("limits_")]
    assert events == ["limits_not_shared", "limits_shared_again"]


def test_a_redis_that_holds_its_connections_does_not_hold_callers(open_limits: Open, redis_server: Redis) -> None:
    limits = open_limits(redis_server.url, control="1000/hour")
    assert passed(limits, "control", "paused", 1) == 1
    redis_server.pause()
    try:
        began = time.monotonic()
        assert passed(limits, "control", "paused", 200) == 200
        assert time.monotonic() - began < 2
    finally:
        redis_server.resume()
    until(lambda: not limits._is_down, "the limits to be shared again")


@pytest.mark.parametrize("text", ["", "many", "10", "10/fortnight"])
def test_a_limit_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="control"):
        LimitSettings(control=text)
