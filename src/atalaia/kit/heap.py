"""Memory that was freed, given back to the machine."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Collect garbage, and return what the allocator keeps for later; where it knows no way to, nothing happens.

    For the end of work that took a lot of small objects for a short time, such as loading all models.
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
