"""Memory that was freed, given back to the machine."""

import ctypes
import gc
import sys
from contextlib import suppress
from typing import Any


def give_back() -> None:
    """Collect garbage, and return what the allocator keeps for later; where it knows no way to, nothing happens.

    For the end of work that took much for a short time, such as loading all models, or exporting tables.
    """
    gc.collect()
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None:  # it keeps what it freed in a pool of its own
        arrow.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
