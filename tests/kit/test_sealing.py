"""What is sealed opens with its key, in its place, unchanged, and in no other way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.core.errors import Broken, Invalid
from atalaia.kit.sealing import KEY_BYTES, Sealer, key_of

OLD, NEW = b"o" * KEY_BYTES, b"n" * KEY_BYTES
PLACE = "history/block_1.parquet"


@pytest.fixture
def sealer() -> Sealer:
    return Sealer({"2026-01": OLD}, "2026-01")


@given(data=st.binary(max_size=2_000), context=st.text(max_size=40))
def test_what_is_sealed_opens_as_it_was(data: bytes, context: str) -> None:
    sealer = Sealer({"2026-01": OLD}, "2026-01")
    sealed = sealer.seal(data, context)
    assert sealer.open(sealed, context) == data
    assert sealer.open(memoryview(sealed), context) == data
    assert len(data) < 16 or data not in sealed


def test_the_same_object_is_sealed_otherwise_each_time(sealer: Sealer) -> None:
    first, second = (sealer.seal(b"x" * 100, PLACE) for _ in range(2))
    assert first != second
    assert key_of(first) == "2026-01"


def test_any_changed_byte_is_noticed(sealer: Sealer) -> None:
    sealed = sealer.seal(b"a block of history", PLACE)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(Broken):
            sealer.open(bytes(changed), PLACE)


def test_any_cut_is_noticed(sealer: Sealer) -> None:
    sealed = sealer.seal(b"a block of history", PLACE)
    for length in range(len(sealed)):
        with pytest.raises(Broken):
            sealer.open(sealed[:length], PLACE)
    with pytest.raises(Broken):
        sealer.open(sealed + b"\0", PLACE)


def test_an_object_does_not_open_in_the_place_of_another(sealer: Sealer) -> None:
    with pytest.raises(Broken, match="another"):
        sealer.open(sealer.seal(b"x", PLACE), "history/block_2.parquet")


def test_the_halves_of_two_objects_do_not_fit(sealer: Sealer) -> None:
    """The data key of one, and the object of the other: both of the same place."""
    first, second = (sealer.seal(data, PLACE) for data in (b"x" * 9, b"y" * 9))
    cut = len(first) - 9 - 16 - 12
    with pytest.raises(Broken):
        sealer.open(first[:cut] + second[cut:], PLACE)


def test_a_rotated_key_opens_what_it_sealed_and_seals_nothing_more() -> None:
    before = Sealer({"old": OLD}, "old").seal(b"x", PLACE)
    both = Sealer({"old": OLD, "new": NEW}, "new")
    assert both.open(before, PLACE) == b"x"
    assert key_of(both.seal(b"y", PLACE)) == "new"


def test_resealing_lets_the_old_key_go() -> None:
    data = b"x" * 1_000
    before = Sealer({"old": OLD}, "old").seal(data, PLACE)
    after = Sealer({"old": OLD, "new": NEW}, "new").resealed(before, PLACE)
    only = Sealer({"new": NEW}, "new")
    assert only.open(after, PLACE) == data
    assert after[-len(data) :] == before[-len(data) :]  # nothing was encrypted anew
    with pytest.raises(Broken, match="the key old is not here"):
        only.open(before, PLACE)
    with pytest.raises(Broken):
        Sealer({"old": OLD, "new": NEW}, "new").resealed(before, "elsewhere")


def test_another_key_of_the_same_name_does_not_open(sealer: Sealer) -> None:
    with pytest.raises(Broken):
        Sealer({"2026-01": NEW}, "2026-01").open(sealer.seal(b"x", PLACE), PLACE)


@pytest.mark.parametrize(
    "data", [b"", b"ATS", b"ATS1", b"ATS1\0", b"ATS1\xffabc", b"PAR1 and so on", b"ATS1\x01\xff"]
)
def test_what_is_not_sealed_says_so(sealer: Sealer, data: bytes) -> None:
    assert key_of(data) is None
    with pytest.raises(Broken, match="not sealed"):
        sealer.open(data, PLACE)


@pytest.mark.parametrize(
    ("keys", "newest"),
    [
        ({}, "a"),
        ({"a": OLD}, "b"),
        ({"a": b"short"}, "a"),
        ({"a/b": OLD}, "a/b"),
        ({"": OLD}, ""),
        ({"é": OLD}, "é"),
    ],
)
def test_keys_that_cannot_be_used_are_refused(keys: dict[str, bytes], newest: str) -> None:
    with pytest.raises(Invalid):
        Sealer(keys, newest)
