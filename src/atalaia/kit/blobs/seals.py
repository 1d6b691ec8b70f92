"""How the objects of a store are sealed: which are, under which name, and what is done with those that are not."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

from atalaia.core.errors import Broken
from atalaia.kit.blobs.objects import Listed
from atalaia.kit.blobs.ports import Store
from atalaia.kit.envelopes import (
    HEAD,
    Bytes,
    SealedFile,
    is_sealed,
    open_head,
    renewed_head,
    seal,
    sealed_size,
    unseal,
)
from atalaia.kit.keyring import Keyring


class State(StrEnum):
    """How an object lies in the store."""

    CLEAR = "clear"
    SEALED = "sealed"
    EARLIER = "sealed with an earlier key"


class Seals:
    """Seals objects under their key, so that none can stand in another's place.

    Parameters
    ----------
    keyring
        The keys of the site; None leaves all bytes as they are, whatever they look like.
    writes
        Whether what is written is sealed.
    requires
        Whether what is not sealed is refused.
    """

    def __init__(self, keyring: Keyring | None, *, writes: bool = True, requires: bool = False) -> None:
        self._looks = keyring is not None
        self._keyring = keyring or Keyring(None)
        self.writes = writes and self._keyring.seals
        self.requires = requires

    def __bool__(self) -> bool:
        """Say whether anything sealed can be read at all."""
        return bool(self._keyring)

    def sealed(self, key: str, data: Bytes) -> Iterable[Bytes]:
        """Return what is stored for `data`, part by part."""
        return seal(self._keyring, _name(key), data) if self.writes else (data,)

    def opened(self, key: str, stored: Bytes) -> Bytes:
        """Return the data of what is stored.

        Raises
        ------
        Broken
            ``unknown_key``, ``bad_seal`` or ``not_sealed``.
        """
        if self._is_sealed(stored):
            return unseal(self._keyring, _name(key), stored)
        self.check_clear(key)
        return stored

    def file(self, key: str, stored: Bytes) -> SealedFile | None:
        """Return what is stored as a file of the data; None when it is not sealed, and need not be."""
        if self._is_sealed(stored):
            return SealedFile(self._keyring, _name(key), stored)
        self.check_clear(key)
        return None

    def sizes(self, size: int) -> tuple[int, ...]:
        """Return how many bytes may be stored for `size` bytes of data."""
        if not self:
            return (size,)
        return (sealed_size(size),) if self.requires else (sealed_size(size), size)

    def state(self, key: str, head: Bytes) -> State:
        """Say how an object lies there, by its first bytes.

        Raises
        ------
        Broken
            When it is sealed, and no key opens it.
        """
        if not self._is_sealed(head):
            return State.CLEAR
        return State.SEALED if open_head(self._keyring, _name(key), head).is_current else State.EARLIER

    def renewed(self, key: str, stored: Bytes) -> Iterable[Bytes]:
        """Return what is to be stored instead, so that the current key opens it: another head, or all of it sealed.

        Raises
        ------
        Broken
            When it cannot be opened.
        """
        if not self._is_sealed(stored):
            return seal(self._keyring, _name(key), stored)
        head = renewed_head(self._keyring, _name(key), stored[:HEAD])
        return (stored,) if head is None else (head, memoryview(stored)[HEAD:])

    def _is_sealed(self, stored: Bytes) -> bool:
        return self._looks and is_sealed(stored)

    def check_clear(self, key: str) -> None:
        """Refuse an object that is not sealed, if such are.

        Raises
        ------
        Broken
            ``not_sealed``.
        """
        if self.requires:
            detail = f"the stored object {key} is not sealed, and `encryption.require` refuses it"
            raise Broken("not_sealed", detail)


class SealedStore:
    """A store whose objects are sealed before they go there, and opened when they come back."""

    def __init__(self, store: Store, seals: Seals) -> None:
        self._store = store
        self._seals = seals

    @property
    def name(self) -> str:
        """Return where that is."""
        return self._store.name

    def put(self, key: str, data: bytes) -> None:
        """Seal an object and store it."""
        self._store.put(key, data if not self._seals.writes else b"".join(self._seals.sealed(key, data)))

    def get(self, key: str) -> bytes:
        """Return what an object holds."""
        return bytes(self._seals.opened(key, self._store.get(key)))

    def begin(self, key: str, length: int) -> bytes:
        """Return the first bytes of what is stored."""
        return self._store.begin(key, length)

    def size(self, key: str) -> int | None:
        """Return the size of what is stored, None when there is nothing."""
        return self._store.size(key)

    def delete(self, key: str) -> None:
        """Remove an object if there is one."""
        self._store.delete(key)

    def list(self, prefix: str) -> Iterator[Listed]:
        """Yield the objects below a folder, with the sizes of what is stored."""
        return self._store.list(prefix)


def _name(key: str) -> str:
    return f"blobs/{key}"
