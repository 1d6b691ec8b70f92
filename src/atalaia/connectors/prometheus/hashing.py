"""One 128-bit number for a set of labels, under a key that nobody outside the process knows.

The strings ``name, value, name, value, ...`` are taken in the order in which they were sent, each with its length
before it, so that no two sequences read alike, and go through SipHash-1-3 with 128 bits of output (Aumasson and
Bernstein 2012): fast on short strings, and without the key nobody can find two that collide. The same labels in
another order have another hash; both lead to the same series id, only the first look-up costs more.
"""

import secrets

import numpy as np

from atalaia.algorithms.compiled import compiled_inline
from atalaia.connectors.prometheus.wire import Buffer, eight_bytes, some_bytes

State = tuple[np.uint64, np.uint64, np.uint64, np.uint64]
Key = tuple[np.uint64, np.uint64]


def new_key() -> Key:
    """Return a key that nobody can guess."""
    return np.uint64(secrets.randbits(64)), np.uint64(secrets.randbits(64))


@compiled_inline
def begin(key: Key) -> State:
    """Return the state before the first string."""
    return (
        key[0] ^ np.uint64(0x736F6D6570736575),
        key[1] ^ np.uint64(0x646F72616E646F6D ^ 0xEE),
        key[0] ^ np.uint64(0x6C7967656E657261),
        key[1] ^ np.uint64(0x7465646279746573),
    )


@compiled_inline
def turn(state: State) -> State:
    """Return the state after one SipRound."""
    v0, v1, v2, v3 = state
    v0 += v1
    v1 = (v1 << np.uint64(13)) | (v1 >> np.uint64(51))
    v1 ^= v0
    v0 = (v0 << np.uint64(32)) | (v0 >> np.uint64(32))
    v2 += v3
    v3 = (v3 << np.uint64(16)) | (v3 >> np.uint64(48))
    v3 ^= v2
    v0 += v3
    v3 = (v3 << np.uint64(21)) | (v3 >> np.uint64(43))
    v3 ^= v0
    v2 += v1
    v1 = (v1 << np.uint64(17)) | (v1 >> np.uint64(47))
    v1 ^= v2
    v2 = (v2 << np.uint64(32)) | (v2 >> np.uint64(32))
    return v0, v1, v2, v3


@compiled_inline
def take_word(state: State, word: np.uint64) -> State:
    """Return the state after 8 more bytes."""
    v0, v1, v2, v3 = turn((state[0], state[1], state[2], state[3] ^ word))
    return v0 ^ word, v1, v2, v3


@compiled_inline
def take_string(state: State, data: Buffer, at: int, end: int) -> State:
    """Return the state after the bytes from `at` to `end`: their number and the first four, then eights."""
    length = end - at
    state = take_word(state, np.uint64(length) | (some_bytes(data, at, min(length, 4)) << np.uint64(32)))
    at += 4
    while at + 8 <= end:
        state = take_word(state, eight_bytes(data, at))
        at += 8
    if at < end:
        state = take_word(state, some_bytes(data, at, end - at))
    return state


@compiled_inline
def finish(state: State) -> tuple[np.uint64, np.uint64]:
    """Return the two halves of the hash."""
    state = turn(turn(turn((state[0], state[1], state[2] ^ np.uint64(0xEE), state[3]))))
    first = state[0] ^ state[1] ^ state[2] ^ state[3]
    state = turn(turn(turn((state[0], state[1] ^ np.uint64(0xDD), state[2], state[3]))))
    return first, state[0] ^ state[1] ^ state[2] ^ state[3]
