"""Which series number a set of labels has: a table from 128-bit hashes to numbers, for whole requests at once."""

import threading

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.connectors.prometheus.hashing import Key, new_key
from atalaia.connectors.prometheus.walk import HashArray
from atalaia.core.points import NumberArray

Slots = tuple[HashArray, NumberArray]

UNKNOWN = -1
_EMPTY = 0  # series are numbered from 1
_FIRST_SLOTS = 1 << 10
_FULL = (2, 3)
"""More than two of three slots taken, and the table grows."""


class SeriesTable:
    """Remembers the numbers of series by the hashes of their labels.

    It is a memory, not the truth: what it does not know is asked of the catalogue, and when it would hold more than
    `max_entries` it forgets everything and learns anew. One series may stand in it under several hashes, if its
    labels come in several orders.

    Readers need no lock: the compiled loops hold the GIL, so that no look-up runs while an entry is being written,
    and a grown table replaces the old one in one assignment. Writers take turns.

    Parameters
    ----------
    key
        What the hashes are made with; requests must be read with the same.
    """

    def __init__(self, key: Key | None = None, *, max_entries: int = 4_000_000) -> None:
        self.key = key or new_key()
        self._max_entries = max_entries
        self._adding = threading.Lock()
        self._slots = _empty(_FIRST_SLOTS)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def numbers_of(self, hashes: HashArray) -> NumberArray:
        """Return int32[n], the number for each of the hashes, uint64[n, 2], and `UNKNOWN` where there is none."""
        numbers = np.empty(len(hashes), np.int32)
        _find(np.ascontiguousarray(hashes), *self._slots, numbers)
        return numbers

    def add(self, hashes: HashArray, numbers: NumberArray) -> None:
        """Remember `numbers`, int32[n] from 1 up, for `hashes`, uint64[n, 2]; what was known before is replaced."""
        hashes, numbers = np.ascontiguousarray(hashes), np.ascontiguousarray(numbers, np.int32)
        with self._adding:
            new = int(np.count_nonzero(self.numbers_of(hashes) == UNKNOWN))
            if self._used + new > self._max_entries:
                self._slots, self._used, new = _empty(_FIRST_SLOTS), 0, self._max_entries
                hashes, numbers = hashes[:new], numbers[:new]
            slots = _with_room(self._slots, self._used + new)
            self._used += _insert(hashes, numbers, *slots)
            self._slots = slots


def _with_room(slots: Slots, entries: int) -> Slots:
    keys, numbers = slots
    size = len(numbers)
    while entries * _FULL[1] > size * _FULL[0]:
        size *= 2
    if size == len(numbers):
        return slots
    larger, taken = _empty(size), np.flatnonzero(numbers)
    _insert(keys[taken], numbers[taken], *larger)
    return larger


def _empty(size: int) -> Slots:
    return np.zeros((size, 2), np.uint64), np.full(size, _EMPTY, np.int32)


@compiled_inline
def _slot_of(first: np.uint64, second: np.uint64, keys: HashArray, taken: NumberArray) -> int:
    """Return the slot that holds the hash, or the empty one where it belongs."""
    mask = len(taken) - 1
    slot = int(np.int64(first & np.uint64(mask)))
    while taken[slot] != _EMPTY and (keys[slot, 0] != first or keys[slot, 1] != second):
        slot = (slot + 1) & mask
    return slot


@compiled
def _find(hashes: HashArray, keys: HashArray, taken: NumberArray, numbers: NumberArray) -> None:
    for i in range(len(hashes)):
        number = taken[_slot_of(hashes[i, 0], hashes[i, 1], keys, taken)]
        numbers[i] = number if number != _EMPTY else UNKNOWN


@compiled
def _insert(hashes: HashArray, numbers: NumberArray, keys: HashArray, taken: NumberArray) -> int:
    added = 0
    for i in range(len(hashes)):
        slot = _slot_of(hashes[i, 0], hashes[i, 1], keys, taken)
        added += taken[slot] == _EMPTY
        keys[slot, 0], keys[slot, 1], taken[slot] = hashes[i, 0], hashes[i, 1], numbers[i]
    return added
