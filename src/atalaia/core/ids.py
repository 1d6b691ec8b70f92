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


class RequestIds:
    """Identifiers of requests: many thousand a second, so that most of one is made once for each millisecond.

    They are ULIDs too: within a millisecond the random part counts up, as the specification has it.
    """

    def __init__(self) -> None:
        self._millis = -1
        self._begin = ""
        self._next = 0

    def new(self) -> str:
        """Return a new identifier ``req_<26 characters>``."""
        millis = now_us() // 1000
        if millis != self._millis or self._next >= _COUNTS:
            self._begin, self._millis, self._next = new_id("req")[:-4], millis, 0
        self._next += 1
        return self._begin + _PAIRS[self._next >> 10] + _PAIRS[self._next & 1023]


def new_id(prefix: str) -> str:
    """Return a new identifier ``<prefix>_<26 characters>``."""
    number = (now_us() // 1000) << 80 | secrets.randbits(80)
    return f"{prefix}_{''.join([_PAIRS[(number >> shift) & 1023] for shift in _SHIFTS])}"
