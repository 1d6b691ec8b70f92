"""Lists come in pages; these walk through them."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from atalaia.connectors.atalaia.answers import Page

T = TypeVar("T")


def pages(fetch: Callable[[str | None], Page[T]], cursor: str | None = None) -> Iterator[Page[T]]:
    """Yield the page at `cursor` (None: the first) and all behind it, each fetched when it is asked for."""
    while True:
        page = fetch(cursor)
        yield page
        if page.next is None or page.next == cursor:  # a cursor that stands still would never end
            return
        cursor = page.next


def iterate(fetch: Callable[[str | None], Page[T]], cursor: str | None = None) -> Iterator[T]:
    """Yield every item from `cursor` on, across pages."""
    for page in pages(fetch, cursor):
        yield from page.items
