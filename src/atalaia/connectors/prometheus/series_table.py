"""Which series number a set of labels has: a table from 128-bit hashes to numbers, for whole requests at once."""

import threading
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.compiled import compiled, compiled_inline
from atalaia.connectors.prometheus.hashing import Key, new_key
from atalaia.connectors.prometheus.walk import HashArray
from atalaia.core.points import IntArray, NumberArray

UNKNOWN = -1
_FIRST_SLOTS = 1 << 10
_FULL = (2, 3)
"""More than two of three slots taken, and the table grows."""


@dataclass(frozen=True, slots=True)
class _Entries:
    """What is remembered, in the order in which it was learnt, and where each hash leads.

    Attributes
    ----------
    keys, numbers
        uint64[k, 2] and int32[k], of which the first are used.
    used
        int64[1], how many.
    slots
        int32, a power of two long: the entry of each hash, `UNKNOWN` for none.
    """

    keys: HashArray
    numbers: NumberArray
    used: IntArray
    slots: NumberArray


class SeriesTable:
    """Remembers the numbers of series by the hashes of their labels.

    It is a memory, not the truth: what it does not know is asked of the catalogue, and when it would hold more than
    `max_entries` it forgets everything and learns anew. One series may stand in it under several hashes, if its
    labels come in several orders.

    Senders name their series in much the same order each time, which is that of the entries: the entry behind the
    last one is looked at first, and saves most look-ups the two places in memory that a hash leads to.

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
        self._entries = _empty(_FIRST_SLOTS)

    def __len__(self) -> int:
        return int(self._entries.used[0])

    def numbers_of(self, hashes: HashArray) -> NumberArray:
        """Return int32[n], the number for each of the hashes, uint64[n, 2], and `UNKNOWN` where there is none."""
        numbers = np.empty(len(hashes), np.int32)
        known = self._entries
        _find(np.ascontiguousarray(hashes), known.keys, known.numbers, known.used, known.slots, numbers)
        return numbers

    def add(self, hashes: HashArray, numbers: NumberArray) -> None:
        """Remember `numbers`, int32[n] from 1 up, for `hashes`, uint64[n, 2]; what was known before is replaced."""
        hashes, numbers = np.ascontiguousarray(hashes), np.ascontiguousarray(numbers, np.int32)
        with self._adding:
            known = self._entries
            new = int(np.count_nonzero(self.numbers_of(hashes) == UNKNOWN))
            if len(self) + new > self._max_entries:
                known, new = _empty(_FIRST_SLOTS), self._max_entries
                hashes, numbers = hashes[:new], numbers[:new]
            known = _with_room(known, int(known.used[0]) + new)
            _insert(hashes, numbers, known.keys, known.numbers, known.used, known.slots)
            self._entries = known


def _with_room(known: _Entries, entries: int) -> _Entries:
    size = len(known.slots)
    while entries * _FULL[1] > size * _FULL[0]:
        size *= 2
    if size == len(known.slots):
        return known
    larger, used = _empty(size), int(known.used[0])
    _insert(known.keys[:used], known.numbers[:used], larger.keys, larger.numbers, larger.used, larger.slots)
    return larger


def _empty(size: int) -> _Entries:
    room = size * _FULL[0] // _FULL[1] + 1
    keys, numbers = np.empty((room, 2), np.uint64), np.empty(room, np.int32)
    return _Entries(keys, numbers, np.zeros(1, np.int64), np.full(size, UNKNOWN, np.int32))


@compiled_inline
def _slot_of(first: np.uint64, second: np.uint64, keys: HashArray, slots: NumberArray) -> int:
    """Return the slot that leads to the hash, or the empty one where it belongs."""
    mask = len(slots) - 1
    slot = int(np.int64(first & np.uint64(mask)))
    while True:
        entry = slots[slot]
        if entry == UNKNOWN or (keys[entry, 0] == first and keys[entry, 1] == second):
            return slot
        slot = (slot + 1) & mask


@compiled
def _find(
    hashes: HashArray, keys: HashArray, known: NumberArray, used: IntArray, slots: NumberArray, numbers: NumberArray
) -> None:
    following = 0
    for i in range(len(hashes)):
        first, second = hashes[i, 0], hashes[i, 1]
        entry = following
        if entry >= used[0] or keys[entry, 0] != first or keys[entry, 1] != second:
            entry = slots[_slot_of(first, second, keys, slots)]
        if entry == UNKNOWN:
            numbers[i] = UNKNOWN
        else:
            numbers[i] = known[entry]
            following = entry + 1


@compiled
def _insert(
    hashes: HashArray, numbers: NumberArray, keys: HashArray, known: NumberArray, used: IntArray, slots: NumberArray
) -> None:
    for i in range(len(hashes)):
        slot = _slot_of(hashes[i, 0], hashes[i, 1], keys, slots)
        entry = slots[slot]
        if entry == UNKNOWN:
            entry = used[0]
            slots[slot], used[0] = entry, entry + 1
            keys[entry, 0], keys[entry, 1] = hashes[i, 0], hashes[i, 1]
        known[entry] = numbers[i]
