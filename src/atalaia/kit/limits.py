"""How often callers may knock: rate limits by class of door, in this process, or shared through Redis.

Most doors ask the `limits` library, whose counts are in memory or in Redis. Hot doors cannot wait for Redis: they
count in plain dictionaries, which a loop shares several times a second. A caller can thus exceed a limit by what
each further process lets pass between two rounds of sharing, and by no more.
"""

import math
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

import limits
import structlog
from limits.errors import StorageError
from limits.limits import RateLimitItem
from limits.storage import MemoryStorage, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Busy, Unavailable
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.threads import Loop

_log = structlog.get_logger(__name__)
HOT = ("predict", "ingest")
"""Classes that are counted in this process, and shared in the background."""
_REST_S = 1.0
"""How long Redis is not asked after it has failed."""
_GRACE_S = 60


class LimitSettings(BaseModel):
    """How often each caller may call; written like ``10/minute;50/hour``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["auto", "on", "off"] = Field(
        default="auto", description="Whether limits apply; `auto` applies them where authentication is on."
    )
    tabular: str = Field(default="10/minute;50/hour;200/day", description="Scores of uploaded tables.")
    control: str = Field(default="100/second;3000/minute", description="All doors that no other class names.")
    predict: str = Field(default="20000/second", description="Requests for scores, whatever their size.")
    ingest: str = Field(default="2000/second", description="Requests that bring points, whatever their size.")
    login: str = Field(default="10/minute;100/hour", description="Logins, for each address.")
    redis_url: str | None = Field(
        default=None, description="Redis through which processes share the counts; unset counts in each process."
    )
    redis_timeout_s: float = Field(default=0.1, gt=0, description="How long Redis may take to answer.")
    share_every_s: float = Field(default=0.15, gt=0, description="How often counts of hot doors are shared.")

    @field_validator("tabular", "control", "predict", "ingest", "login")
    @classmethod
    def _is_readable(cls, value: str) -> str:
        limits.parse_many(value)
        return value


@dataclass(slots=True)
class _Window:
    """Counts of one limit of a hot class; all of them begin anew together."""

    kind: str
    amount: int
    seconds: int
    number: int = -1
    own: dict[str, int] = field(default_factory=dict[str, int])
    others: dict[str, int] = field(default_factory=dict[str, int])
    shared: dict[str, int] = field(default_factory=dict[str, int])

    def begin(self, number: int) -> None:
        self.number, self.own, self.others, self.shared = number, {}, {}, {}


class HotLimits:
    """Limits of hot doors, counted by one thread, that of the event loop."""

    def __init__(self, rules: dict[str, Sequence[RateLimitItem]], now: Callable[[], int] = now_us) -> None:
        self._now = now
        self._windows = {
            kind: [_Window(kind, item.amount, item.get_expiry()) for item in items] for kind, items in rules.items()
        }

    def take(self, kind: str, caller: str) -> None:
        """Count a call.

        Raises
        ------
        Busy
            ``too_many_requests``.
        """
        now = self._now()
        for window in self._windows[kind]:
            number = now // (window.seconds * MICROS)
            if number != window.number:
                window.begin(number)
            if window.own.get(caller, 0) + window.others.get(caller, 0) >= window.amount:
                raise too_many((number + 1) * window.seconds - now / MICROS)
        for window in self._windows[kind]:
            window.own[caller] = window.own.get(caller, 0) + 1

    def give_back(self, kind: str, caller: str) -> None:
        """Forget a call that comes again in another way."""
        for window in self._windows[kind]:
            if window.own.get(caller, 0) > 0:
                window.own[caller] -= 1

    def share(self, redis: Any) -> None:
        """Tell Redis what was counted since the last time, and learn what others have counted."""
        pipe = redis.pipeline(transaction=False)
        asked: list[tuple[_Window, int, str, int] | None] = []
        for window in (window for windows in self._windows.values() for window in windows):
            number, own = window.number, window.own.copy()
            key = f"atalaia:rate:{window.kind}:{window.seconds}:{number}"
            changed = [(caller, count) for caller, count in own.items() if count != window.shared.get(caller, 0)]
            for caller, count in changed:
                pipe.hincrby(key, caller, count - window.shared.get(caller, 0))
                asked.append((window, number, caller, count))
            if changed:
                pipe.expire(key, window.seconds + _GRACE_S)
                asked.append(None)
        if not asked:
            redis.ping()
            return
        for what, total in zip(asked, pipe.execute(), strict=True):
            if what is not None:
                window, number, caller, count = what
                if window.number == number:
                    window.shared[caller] = count
                    window.others[caller] = total - count


@dataclass(frozen=True, slots=True)
class Taken:
    """What an answer says of the limits: the headers RateLimit and RateLimit-Policy."""

    headers: tuple[tuple[str, str], ...] = ()


class RateLimits:
    """All limits of one process."""

    def __init__(self, settings: LimitSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._rules = {
            kind: sorted(limits.parse_many(getattr(settings, kind)), key=lambda item: item.get_expiry())
            for kind in ("tabular", "control", "predict", "ingest", "login")
        }
        self.hot = HotLimits({kind: self._rules[kind] for kind in HOT})
        self._local = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._remote: SlidingWindowCounterRateLimiter | None = None
        self._redis: Any = None
        self._lock = threading.Lock()
        self._down_until_us = 0
        self._is_down = False
        if settings.redis_url:
            self._redis, storage = _open_redis(settings)
            self._remote = SlidingWindowCounterRateLimiter(storage)
        telemetry.gauge("rate_limits_shared", lambda: float(self._remote is not None and not self._is_down))
        self._loop = Loop("limits", self._share, every_s=settings.share_every_s)

    def start(self) -> None:
        """Begin to share the counts of hot doors, if there is somebody to share them with."""
        if self._redis is not None:
            self._loop.start()

    def stop(self) -> None:
        """Stop sharing."""
        self._loop.stop()
        if self._redis is not None:
            self._redis.close()

    def take_now(self, kind: str, caller: str) -> None:
        """Count a call to a hot door.

        Raises
        ------
        Busy
            ``too_many_requests``.
        """
        try:
            self.hot.take(kind, caller)
        except Busy:
            self._telemetry.count("requests_limited_total", kind)
            raise

    async def take(self, kind: str, caller: str) -> Taken:
        """Count a call to any other door.

        Raises
        ------
        Busy
            ``too_many_requests``.
        """
        if kind in HOT:
            self.take_now(kind, caller)
            return Taken()
        if self._remote is None or now_us() < self._down_until_us:
            taken, wait_s = self._counted(self._local, kind, caller)
        else:
            taken, wait_s = await run_in_threadpool(self._counted_remotely, self._remote, kind, caller)
        if wait_s is not None:
            self._telemetry.count("requests_limited_total", kind)
            raise too_many(wait_s)
        return taken

    def _counted_remotely(
        self, remote: SlidingWindowCounterRateLimiter, kind: str, caller: str
    ) -> tuple[Taken, float | None]:
        try:
            counted = self._counted(remote, kind, caller)
        except (OSError, StorageError) as error:
            self._fell(error)
            return self._counted(self._local, kind, caller)
        self._rose()
        return counted

    def _counted(
        self, limiter: SlidingWindowCounterRateLimiter, kind: str, caller: str
    ) -> tuple[Taken, float | None]:
        now_s = now_us() / MICROS
        policies: list[str] = []
        states: list[str] = []
        wait_s: float | None = None
        for item in self._rules[kind]:
            name, window_s = f'"{kind}-{item.get_expiry()}"', item.get_expiry()
            is_free = wait_s is None and limiter.hit(item, kind, caller)
            reset_at, left = limiter.get_window_stats(item, kind, caller)
            reset_s = max(0.0, reset_at - now_s)
            if wait_s is None and not is_free:
                wait_s = reset_s
            policies.append(f"{name};q={item.amount};w={window_s}")
            states.append(f"{name};r={max(0, left)};t={max(0, round(reset_s))}")
        headers = (("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(states)))
        return Taken(headers), wait_s

    def _share(self) -> bool:
        try:
            self.hot.share(self._redis)
        except Exception as error:  # redis has errors of its own, and is loaded only where it is used
            self._fell(error)
        else:
            self._rose()
        return False

    def _fell(self, error: Exception) -> None:
        with self._lock:
            self._down_until_us = now_us() + int(_REST_S * MICROS)
            if not self._is_down:
                _log.warning("limits_not_shared", reason=str(error)[:200])
            self._is_down = True

    def _rose(self) -> None:
        if self._is_down:
            with self._lock:
                self._is_down, self._down_until_us = False, 0
            _log.info("limits_shared_again")


def too_many(wait_s: float) -> Busy:
    """Return the refusal of a call too many."""
    detail = "too many requests; wait as long as Retry-After says"
    return Busy("too_many_requests", detail, retry_after_s=math.ceil(wait_s))


def ask_redis(settings: LimitSettings) -> str:
    """Say that Redis answers.

    Raises
    ------
    Unavailable
        ``part_unavailable`` when it does not, or wants another password.
    """
    try:
        with closing(_open_redis(settings)[0]) as client:
            client.ping()
    except Exception as error:  # redis has errors of its own, and is loaded only where it is used
        raise Unavailable("part_unavailable", f"Redis does not answer as it must: {error}"[:300]) from error
    return "Redis answers"


def _open_redis(settings: LimitSettings) -> tuple[Any, Storage]:
    import redis

    url, timeout_s = settings.redis_url or "", settings.redis_timeout_s
    options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    client: Any = redis.Redis.from_url(url, **options)  # pyright: ignore[reportUnknownMemberType]
    pool: Any = client.connection_pool  # of both, so that whoever closes the client closes all connections
    return client, storage_from_string(url, wrap_exceptions=True, connection_pool=pool)  # pyright: ignore[reportReturnType]
