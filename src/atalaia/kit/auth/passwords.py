"""Passwords of local users: which are taken, and hashes that are slow to guess (argon2id)."""

import re
import threading
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from atalaia.core.errors import Fault, Invalid

MAX_LENGTH = 1024
_AT_A_TIME = 2
"""Each hash takes 19 MiB and a core for some milliseconds: a crowd that logs in must not take all of both."""
_COMMON = (
    "password passwort senha contrasena motdepasse letmein welcome qwerty qwertz azerty asdfgh zxcvbn iloveyou "
    "football baseball dragon monkey sunshine princess superman trustno changeme secret default admin root user "
    "guest atalaia abcdef 123456 1q2w3e qazwsx passw0rd p@ssw0rd"
).split()
_LEAST_OWN = 6
"""Characters that a password must have beside what everybody guesses first."""
_LEAST_DIFFERENT = 5
_slots = threading.BoundedSemaphore(_AT_A_TIME)
_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # as OWASP recommends


def check_password(password: str, user: str, least: int) -> None:
    """Refuse a password that is short, or that many would guess.

    Raises
    ------
    Invalid
        ``weak_password``.
    """
    reason = _why_weak(password, user.lower(), least)
    if reason:
        raise Invalid("weak_password", f"the password {reason}", faults=[Fault("/password", reason)])


def _why_weak(password: str, user: str, least: int) -> str | None:
    if len(password) < least:
        return f"has fewer than {least} characters"
    if len(password) > MAX_LENGTH:
        return f"has more than {MAX_LENGTH} characters"
    rest = password.lower()
    if len(set(rest)) < _LEAST_DIFFERENT:
        return "is made of very few different characters"
    for name in {user, *re.split(r"[@._-]", user)}:
        if len(name) > 2:
            rest = rest.replace(name, "")
    if len(rest) < _LEAST_OWN:
        return "is little more than the name of its user"
    for word in _COMMON:
        rest = rest.replace(word, "")
    if len(re.sub(r"\d+$", "", rest)) < _LEAST_OWN and len(rest) < len(password):
        return "is one that many people use"
    return None


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    with _slots:
        return _hasher.hash(password)


def is_password(password: str, kept: str | None) -> bool:
    """Return whether a password is the one of which this was kept; without anything kept it takes as long."""
    with _slots:
        try:
            return _hasher.verify(kept or _nobodys(), password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


@cache
def _nobodys() -> str:
    return _hasher.hash("nobody has this password")
