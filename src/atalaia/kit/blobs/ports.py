"""What is asked of a place where objects lie."""

from collections.abc import Iterator
from typing import Protocol

from atalaia.kit.blobs.objects import Listed


class Store(Protocol):
    """Where objects lie for good. Every call ends within a bounded time, with `Unavailable` if need be."""

    @property
    def name(self) -> str:
        """Return where that is, for people."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store an object, whole or not at all."""
        ...

    def get(self, key: str) -> bytes:
        """Return an object, or raise `Missing`."""
        ...

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of an object that has any, or raise `Missing`."""
        ...

    def size(self, key: str) -> int | None:
        """Return the size that an object had when it was put, None when there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        ...

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder in order."""
        ...
