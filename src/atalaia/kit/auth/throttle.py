"""Failed logins make the next one wait, longer and longer."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Busy

_MOST = 10_000
_FORGET_US = 3600 * MICROS


@dataclass(frozen=True, slots=True)
class _Rule:
    """From the `free`-th failure on a pause, which doubles up to `longest_s`."""

    free: int
    longest_s: float


_TOGETHER = _Rule(3, 300.0)
_ADDRESS = _Rule(20, 300.0)
_USER = _Rule(10, 5.0)
"""Short, because others could keep a user out with it; it still leaves a guesser one try in five seconds."""


class Throttle:
    """Counts failures by user, by address, and by both together."""

    def __init__(self, now: Callable[[], int] = now_us) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._failed: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def check(self, user: str, address: str) -> None:
        """Refuse a login that comes too soon.

        Raises
        ------
        Busy
            ``too_many_logins``, whether or not there is such a user.
        """
        now = self._now()
        with self._lock:
            wait_us = max(self._free_at(key, rule) for key, rule in _keys(user, address)) - now
        if wait_us > 0:
            detail = "too many logins have failed; wait a little"
            raise Busy("too_many_logins", detail, retry_after_s=wait_us / MICROS)

    def failed(self, user: str, address: str) -> None:
        """Count a failure."""
        now = self._now()
        with self._lock:
            for key, _ in _keys(user, address):
                count, at = self._failed.pop(key, (0, now))
                self._failed[key] = (1 if now - at > _FORGET_US else count + 1, now)
            while len(self._failed) > _MOST:
                self._failed.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """Forget the failures of a user at an address; those of the address alone stay."""
        with self._lock:
            self._failed.pop((user, address), None)

    def _free_at(self, key: tuple[str, str], rule: _Rule) -> int:
        count, at = self._failed.get(key, (0, 0))
        if count < rule.free:
            return 0
        return at + int(min(2.0 ** min(count - rule.free, 20), rule.longest_s) * MICROS)


def _keys(user: str, address: str) -> tuple[tuple[tuple[str, str], _Rule], ...]:
    return ((user, address), _TOGETHER), (("", address), _ADDRESS), ((user, ""), _USER)
