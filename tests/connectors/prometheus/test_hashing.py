"""The hash of labels beside SipHash written out in plain integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atalaia.connectors.prometheus.hashing import Key, new_key
from atalaia.connectors.prometheus.write import read_write_request
from tests.connectors.prometheus.messages import body_of

KEY: Key = (np.uint64(0x0706050403020100), np.uint64(0x0F0E0D0C0B0A0908))
MASK = 2**64 - 1


def turn(v: list[int]) -> None:
    def left(word: int, by: int) -> int:
        return (word << by | word >> 64 - by) & MASK

    v[0] = (v[0] + v[1]) & MASK
    v[1] = left(v[1], 13) ^ v[0]
    v[0] = left(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK
    v[3] = left(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK
    v[3] = left(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK
    v[1] = left(v[1], 17) ^ v[2]
    v[2] = left(v[2], 32)


def slowly(words: list[int]) -> list[int]:
    """Return SipHash-1-3 with 128 bits of output over whole words."""
    k0, k1 = int(KEY[0]), int(KEY[1])
    start = b"somepseudorandomlygeneratedbytes"
    v = [int.from_bytes(start[i : i + 8], "big") ^ k for i, k in ((0, k0), (8, k1), (16, k0), (24, k1))]
    v[1] ^= 0xEE
    for word in words:
        v[3] ^= word
        turn(v)
        v[0] ^= word
    halves: list[int] = []
    for place, mark in ((2, 0xEE), (1, 0xDD)):
        v[place] ^= mark
        for _ in range(3):
            turn(v)
        halves.append(v[0] ^ v[1] ^ v[2] ^ v[3])
    return halves


def words_of(text: str) -> list[int]:
    data = text.encode()
    rest = [data[i : i + 8] for i in range(4, len(data), 8)]
    return [len(data) | int.from_bytes(data[:4], "little") << 32, *(int.from_bytes(r, "little") for r in rest)]


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), max_size=4))
def test_the_hash_is_siphash_over_lengths_and_strings(labels: list[tuple[str, str]]) -> None:
    batch = read_write_request(body_of(1, [(labels, [])]), 1, KEY)
    assert batch.hashes[0].tolist() == slowly([word for pair in labels for text in pair for word in words_of(text)])


def test_a_string_at_the_very_end_of_the_body_is_read_no_further() -> None:
    for length in range(20):
        labels = [("a", "x" * length)]
        batch = read_write_request(body_of(1, [(labels, [])]), 1, KEY)
        assert batch.hashes[0].tolist() == slowly([*words_of("a"), *words_of("x" * length)])


def test_no_two_keys_are_alike() -> None:
    assert new_key() != new_key()
