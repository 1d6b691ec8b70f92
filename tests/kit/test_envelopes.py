"""Envelopes open with the key that they name and under their own name, and a change anywhere in them is found."""

import io
import mmap
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.core.errors import AtalaiaError, Broken
from atalaia.kit.envelopes import (
    HEAD,
    MAGIC,
    PIECE,
    Bytes,
    SealedFile,
    is_sealed,
    open_head,
    renewed_head,
    salt_in,
    seal,
    sealed_size,
    unseal,
)
from atalaia.kit.keyring import Keyring, Secret

OLD, NEW = Secret(b"o" * 32, is_key=True), Secret(b"n" * 32, is_key=True)
RING = Keyring(OLD)
SIZES = st.one_of(
    st.integers(0, 100), st.sampled_from([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 7, 3 * PIECE])
)


def sealed(data: Bytes, name: str = "a", ring: Keyring = RING) -> bytes:
    return b"".join(seal(ring, name, data))


def refusal(data: Bytes, name: str = "a", ring: Keyring = RING) -> str:
    with pytest.raises(Broken) as refused:
        unseal(ring, name, data)
    return refused.value.code


@given(SIZES, st.text(max_size=20).filter(lambda text: text.isprintable()))
def test_what_is_sealed_opens_and_has_the_size_that_was_told(size: int, name: str) -> None:
    data = os.urandom(size)
    whole = sealed(data, name)
    assert unseal(RING, name, whole) == data
    assert len(whole) == sealed_size(size)
    assert is_sealed(whole)
    assert size < 16 or data[:16] not in whole


def test_no_envelope_ends_with_what_ends_a_line() -> None:
    assert {sealed(os.urandom(5))[-1:] for _ in range(20)} == {b"."}


def test_the_same_bytes_are_sealed_in_another_way_each_time() -> None:
    first, second = sealed(b"x" * 100), sealed(b"x" * 100)
    assert first[HEAD:] != second[HEAD:]


@given(SIZES.filter(lambda size: size > 0), st.data())
@settings(max_examples=60)
def test_a_flipped_bit_anywhere_is_found(size: int, data: st.DataObject) -> None:
    bad = bytearray(sealed(bytes(size)))
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert refusal(bad) in ("bad_seal", "unknown_key")


def test_a_flipped_bit_of_every_byte_of_a_head_is_found() -> None:
    whole = sealed(b"0123456789")
    for position in range(len(whole)):
        bad = bytearray(whole)
        bad[position] ^= 1
        assert refusal(bad) in ("bad_seal", "unknown_key"), position


@given(SIZES, st.data())
@settings(max_examples=60)
def test_what_is_cut_off_or_goes_on_is_found(size: int, data: st.DataObject) -> None:
    whole = sealed(bytes(size))
    assert refusal(whole[: data.draw(st.integers(0, len(whole) - 1))]) == "bad_seal"
    assert refusal(whole + data.draw(st.binary(min_size=1, max_size=40))) == "bad_seal"


def test_pieces_cannot_be_left_out_or_change_places() -> None:
    whole, step = sealed(os.urandom(3 * PIECE)), PIECE + 16
    head, (first, second, third) = whole[:HEAD], (whole[HEAD + n * step : HEAD + (n + 1) * step] for n in range(3))
    assert head + first + second + third + b"." == whole
    for body in (
        [first, second], [second, first, third], [first, third], [first, second, third, third],
        [first, first, third], [first, second, second], [],
    ):  # fmt: skip
        assert refusal(head + b"".join(body) + b".") == "bad_seal"
    other = sealed(os.urandom(3 * PIECE))
    assert refusal(head + other[HEAD:]) == "bad_seal"


def test_the_envelope_of_another_name_does_not_open() -> None:
    assert refusal(sealed(b"data", "history/a"), "history/b") == "bad_seal"


def test_the_envelope_of_another_key_names_it() -> None:
    whole = sealed(b"data")
    with pytest.raises(Broken, match=RING.current().key_id.hex()) as refused:
        unseal(Keyring(NEW), "a", whole)
    assert refused.value.code == "unknown_key"
    assert refusal(whole, ring=Keyring(None)) == "unknown_key"


@given(st.binary(max_size=400))
def test_hostile_bytes_are_refused(data: bytes) -> None:
    for hostile in (data, MAGIC + data, MAGIC + b"\1" + data):
        for act in (unseal, SealedFile, open_head, renewed_head):
            with pytest.raises(AtalaiaError):
                act(RING, "a", hostile)
        salt_in(hostile)


@given(st.integers(0, 2**64 - 1).filter(lambda size: size != 10))
def test_a_size_that_is_a_lie_takes_no_memory(size: int) -> None:
    bad = bytearray(sealed(b"0123456789"))
    bad[39:47] = size.to_bytes(8, "big")
    tracemalloc.start()
    try:
        assert refusal(bad) == "bad_seal"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_form_of_a_later_release_is_told_as_such() -> None:
    bad = bytearray(sealed(b"data"))
    bad[len(MAGIC)] = 2
    with pytest.raises(Broken, match="later release"):
        unseal(RING, "a", bad)


def test_a_new_head_is_all_that_another_key_needs() -> None:
    whole, both = sealed(os.urandom(PIECE + 5)), Keyring(NEW, [OLD])
    head = renewed_head(both, "a", whole)
    assert head is not None
    renewed = head + whole[HEAD:]
    assert unseal(Keyring(NEW), "a", renewed) == unseal(RING, "a", whole)
    assert refusal(renewed) == "unknown_key"
    assert renewed_head(both, "a", renewed) is None
    with pytest.raises(Broken):
        renewed_head(both, "b", whole)


def test_a_head_of_one_envelope_does_not_fit_the_body_of_another() -> None:
    first, second = sealed(b"pay 1"), sealed(b"pay 9")
    assert refusal(first[:HEAD] + second[HEAD:]) == "bad_seal"


@given(SIZES, st.lists(st.tuples(st.integers(0, 4 * PIECE), st.integers(-1, 2 * PIECE)), max_size=6))
@settings(max_examples=60)
def test_a_sealed_file_reads_as_a_file_of_the_same_bytes(size: int, reads: list[tuple[int, int]]) -> None:
    data = os.urandom(size)
    ours, theirs = SealedFile(RING, "a", sealed(data)), io.BytesIO(data)
    assert (ours.size(), ours.read_bytes()) == (size, data)
    for place, count in reads:
        assert ours.seek(place) == theirs.seek(place)
        assert ours.read(count) == theirs.read(count)
        assert ours.tell() == theirs.tell()
    assert ours.seek(-min(size, 5), os.SEEK_END) == size - min(size, 5)
    assert ours.read() == data[size - min(size, 5) :]
    ours.seek(0)
    assert io.BufferedReader(ours).read() == data


def test_a_sealed_file_opens_only_what_is_read() -> None:
    whole = bytearray(sealed(bytes(3 * PIECE)))
    whole[HEAD + PIECE + 16 + 5] ^= 1  # in the middle
    file = SealedFile(RING, "a", whole)
    assert file.read(PIECE) == bytes(PIECE)
    file.seek(2 * PIECE)
    assert file.read() == bytes(PIECE)
    file.seek(PIECE)
    with pytest.raises(Broken) as refused:
        file.read(1)
    assert refused.value.code == "bad_seal"
    with pytest.raises(ValueError, match="no place"):
        file.seek(-1)


def test_a_huge_object_is_sealed_in_bounded_memory(tmp_path: Path) -> None:
    size = 256 * 2**20
    data = memoryview(bytearray(size))
    tracemalloc.start()
    try:
        with (tmp_path / "huge").open("wb") as out:
            out.writelines(seal(RING, "a", data))
        sealing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        with (tmp_path / "huge").open("rb") as handle:
            file = SealedFile(RING, "a", memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)))
        read = sum(len(piece) for piece in iter(lambda: file.read(2**20), b""))
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "huge").stat().st_size == sealed_size(size)
    assert read == size
    assert sealing < 4 * 2**20
    assert reading < 8 * 2**20
