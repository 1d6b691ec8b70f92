"""Who follows: the name of a follower, and whether a follower of that name is certainly gone."""

import os
import socket

from atalaia.core.ids import new_id

_PROCESS = new_id("own")
"""Tells this process from an earlier one with the same number, as a container that starts again has it."""


def owner_name() -> str:
    """Return a name that no other follower has or will have."""
    return f"{_host()}:{os.getpid()}:{_PROCESS}:{new_id('own')}"


def is_gone(owner: str) -> bool:
    """Return whether the follower of that name ran here, in a process that is gone; False if nobody knows."""
    parts = owner.rsplit(":", 3)
    if len(parts) != 4 or parts[0] != _host() or not parts[1].isdecimal() or len(parts[1]) > 9:
        return False
    if int(parts[1]) == os.getpid():
        return parts[2] != _PROCESS
    try:
        os.kill(int(parts[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return socket.gethostname()[:60]
