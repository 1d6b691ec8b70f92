"""An artefact is read where it lies; whatever else is given for one, the answer is a ValueError and no more."""

import io
import json
import random
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from atalaia.algorithms.artifacts import Member, pack, unpack

DTYPES = st.sampled_from(["<f8", "<f4", "<i8", "<i4", "<i2", "|i1", "|u1", "|b1"])
SHAPES = arrays_of.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7)
ARRAYS = st.dictionaries(
    st.text("abcdefgh_", min_size=1, max_size=12),
    DTYPES.flatmap(lambda dtype: arrays_of.arrays(np.dtype(dtype), SHAPES)),
    max_size=5,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)
GOOD = pack({"a": [1, "two"], "b": {}}, {"level": np.arange(5.0), "seen": np.arange(6, dtype=np.int8)})


def refused(data: bytes) -> bool:
    """Say whether `data` is refused as it should be; anything but a ValueError fails the test."""
    try:
        _, members = unpack(data)
        for member in members.values():
            member.array(member.dtype, member.shape)
    except ValueError:
        return True
    return False


def npy(head: bytes, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.json", b"{}")
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return out.getvalue()


@given(st.dictionaries(st.text("abc"), JSON, max_size=4), ARRAYS)
def test_what_was_packed_comes_back(header: dict[str, Any], arrays: dict[str, Any]) -> None:
    data = pack(header, arrays)
    again, members = unpack(data)
    assert again == json.loads(json.dumps(header))
    assert members.keys() == arrays.keys()
    for name, array in arrays.items():
        found = members[name].array(array.dtype.str, array.shape)
        assert not found.flags.writeable
        np.testing.assert_array_equal(found, array)
    assert pack(header, arrays) == data


@given(ARRAYS)
def test_arrays_lie_at_multiples_of_64_bytes_and_are_not_copied(arrays: dict[str, Any]) -> None:
    data = pack({}, arrays)
    room = np.empty(len(data) + 64, np.uint8)
    first = -room.ctypes.data % 64
    room[first : first + len(data)] = np.frombuffer(data, np.uint8)
    lies = room[first : first + len(data)]
    for name, member in unpack(memoryview(lies))[1].items():  # type: ignore[arg-type]
        found = member.array(arrays[name].dtype.str, arrays[name].shape)
        if found.size:
            assert found.ctypes.data % 64 == 0
            assert np.shares_memory(found, room)


def test_arrays_that_lie_askew_are_copied() -> None:
    askew = memoryview(b"x" + GOOD)[1:]
    level = unpack(askew)[1]["level"].array("<f8", (5,))
    assert level.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert level.flags.aligned


def test_numpy_writes_what_we_read() -> None:
    for array in (np.zeros(0), np.zeros((3, 4)), np.zeros((2, 0, 5), np.int8), np.zeros(10**6, "?")):
        out = io.BytesIO()
        np.lib.format.write_array(out, array, version=(1, 0))
        member = Member("a", memoryview(out.getvalue()))
        assert (member.dtype, member.shape) == (array.dtype.str, array.shape)
        assert member.array(member.dtype, member.shape).shape == array.shape


@pytest.mark.parametrize(
    "head",
    [
        b"'''\n",
        b"(\n",
        b"  x\n y\n",
        b"-" * 4000 + b"1\n",
        b"(" * 4000 + b"\n",
        b"1+" * 1900 + b"1\n",
        b"{[]: 1}\n",
        b"\xff\xfe\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }\n",
        b"{'descr': '<f8', 'fortran_order': True, 'shape': (1,), }\n",
        b"{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }\n",
        b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n",
        b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9" * 30 + b",), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1, " * 40 + b"), }\n",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}\n",
        b"",
    ],
    ids=lambda head: repr(head[:60]),
)
def test_a_head_that_numpy_does_not_write_is_refused(head: bytes) -> None:
    assert refused(zipped(level=npy(head, bytes(8))))


def test_an_array_that_declares_more_than_there_is_costs_nothing() -> None:
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 999999999999), }\n"
    tracemalloc.start()
    assert refused(zipped(level=npy(head, bytes(8))))
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_members_that_overlap_are_refused_before_they_are_read_a_thousand_times() -> None:
    """Each entry of the directory names another member, and all of them are the same large bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("header.json", b"{}")
        archive.writestr("a.npy", bytes(2**20))
        for i in range(1000):
            info = zipfile.ZipInfo(f"a{i}.npy")
            same = archive.getinfo("a.npy")
            info.header_offset, info.CRC = same.header_offset, same.CRC
            info.file_size = info.compress_size = same.file_size
            archive.filelist.append(info)
    with pytest.raises(ValueError, match="overlap"):
        unpack(out.getvalue())


@given(st.binary(max_size=2_000))
def test_any_bytes_are_refused(data: bytes) -> None:
    assert refused(data)
    assert refused(b"PK\x03\x04" + data)
    assert refused(data + b"PK\x05\x06" + bytes(18))


def test_changed_cut_and_swollen_artefacts_are_refused_or_whole() -> None:
    chance = random.Random(7)
    for _ in range(20_000):
        data = bytearray(GOOD)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.randrange(len(data))
            what = chance.randrange(4)
            if what == 0:
                data[at] = chance.randrange(256)
            elif what == 1:
                del data[at : at + chance.randrange(1, 50)]
            elif what == 2:
                data[at:at] = chance.randbytes(chance.randrange(1, 20))
            else:
                data[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
            if not data:
                break
        refused(bytes(data))


def test_each_cut_artefact_is_refused() -> None:
    for length in range(len(GOOD)):
        assert refused(GOOD[:length])


def test_an_array_is_given_only_as_what_it_is() -> None:
    member = unpack(GOOD)[1]["level"]
    for dtype, shape in (("<f4", (5,)), ("<f8", (4,)), ("<f8", (5, 1)), ("<i8", (5,))):
        with pytest.raises(ValueError, match="expected"):
            member.array(dtype, shape)
