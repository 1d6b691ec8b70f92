"""Opaque cursors: where a list goes on. No totals, no offsets."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from atalaia.core.errors import Fault, Invalid

CursorKey = str | int


def encode_cursor(*keys: CursorKey) -> str:
    """Return the cursor for the keys of the last item shown."""
    return base64.urlsafe_b64encode(json.dumps(keys).encode()).decode().rstrip("=")


def decode_cursor(cursor: str | None, *types: type) -> tuple[Any, ...] | None:
    """Return the keys inside `cursor`, of the given `types`, or None for no cursor.

    Raises
    ------
    Invalid
        When the cursor was not made by `encode_cursor` with keys of these types.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _bad_cursor() from error
    keys = tuple(cast("list[Any]", found)) if isinstance(found, list) else ()
    if [type(key) for key in keys] != list(types) or not all(map(_can_be_stored, keys)):
        raise _bad_cursor()
    return keys


T = TypeVar("T")


def page_of(rows: Sequence[T], limit: int, cursor_of: Callable[[T], str]) -> tuple[list[T], str | None]:
    """Cut `rows`, read with ``limit + 1``, into a page and the cursor of the next, if there is one."""
    page = list(rows[:limit])
    return page, cursor_of(page[-1]) if len(rows) > limit else None


def _can_be_stored(key: Any) -> bool:
    """Whether a database can be asked for `key`: 64 bits, or text that UTF-8 can write, without NUL."""
    if isinstance(key, str):
        return not any(c == "\0" or 0xD800 <= ord(c) < 0xE000 for c in key)
    return isinstance(key, int) and -(2**63) <= key < 2**63


def _bad_cursor() -> Invalid:
    fault = Fault("/cursor", "expected the `next` of an earlier answer")
    return Invalid("bad_cursor", "the cursor was not made by this list; start again without one", faults=[fault])
