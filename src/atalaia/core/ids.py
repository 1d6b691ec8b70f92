"""Identifiers that sort by the time they were made and say what they name: ``job_01JD...``.

The 26 characters behind the prefix follow the ULID layout (48 bits of milliseconds, 80 random bits, Crockford's
base 32), see https://github.com/ulid/spec.
"""

import secrets

from atalaia.core.clock import now_us

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_COUNTS = 2**20 - 1
_SHIFTS = tuple(range(120, -1, -10))
_TIME_SHIFTS = (40, 30, 20, 10, 0)
_TIME_END = 11
"""Behind an empty prefix, its underscore, and the ten characters of the time."""


class RequestIds:
    """Identifiers of requests: many thousand a second, so that most of one is made once for each millisecond.

    They are ULIDs too: the random part is drawn once for a million of them and counts up, as the specification has
    it for those of one millisecond.
    """

    def __init__(self) -> None:
        self._millis = -1
        self._begin = self._random = ""
        self._next = _COUNTS

    def new(self) -> str:
        """Return a new identifier ``req_<26 characters>``."""
        if self._next >= _COUNTS:
            self._random, self._next, self._millis = new_id("")[_TIME_END:-4], 0, -1
        millis = now_us() // 1000
        if millis != self._millis:
            self._millis = millis
            moment = "".join([_PAIRS[(millis >> shift) & 1023] for shift in _TIME_SHIFTS])
            self._begin = f"req_{moment}{self._random}"
        self._next += 1
        return self._begin + _PAIRS[self._next >> 10] + _PAIRS[self._next & 1023]


def new_id(prefix: str) -> str:
    """Return a new identifier ``<prefix>_<26 characters>``."""
    number = (now_us() // 1000) << 80 | secrets.randbits(80)
    return f"{prefix}_{''.join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])}"


def new_ids(prefix: str, count: int) -> list[str]:
    """Return new identifiers in their order, as `new_id` makes them one by one; the random part counts up."""
    found: list[str] = []
    while len(found) < count:
        begin = new_id(prefix)[:-4]
        found += [begin + _PAIRS[n >> 10] + _PAIRS[n & 1023] for n in range(min(count - len(found), _COUNTS))]
    return found
