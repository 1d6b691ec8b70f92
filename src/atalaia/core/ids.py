"""Identifiers that sort by the time they were made and say what they name: ``job_01JD...``.

The 26 characters behind the prefix follow the ULID layout (48 bits of milliseconds, 80 random bits, Crockford's
base 32), see https://github.com/ulid/spec.
"""

import secrets

from atalaia.core.clock import now_us

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(prefix: str) -> str:
    """Return a new identifier ``<prefix>_<26 characters>``."""
    number = (now_us() // 1000) << 80 | secrets.randbits(80)
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"
