"""One artefact: a JSON header and named arrays in one file, safe to load from anywhere.

The file is what ``numpy.savez`` writes (a zip of ``.npy`` members) with one member ``header.json`` more. Members
are stored, not compressed: equal content gives equal bytes on every machine, and no member can be larger than the
file that it came in. Every member begins at a multiple of 64 bytes, so that the arrays of a file that is mapped
into memory are used where they lie, and processes that map the same file share them.
"""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_HEADER = "header.json"
_NPY = ".npy"
# What NumPy writes before the elements of an array, in version 1.0 of its format. Its own reader evaluates it as
# Python, and what that makes of hostile text is another error in each version.
_NPY_HEAD = re.compile(
    rb"\x93NUMPY\x01\x00(?P<length>[\x00-\xff]{2})"
    rb"\{'descr': '(?P<dtype>[<|][biuf][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18}, ?){0,32}(?:[0-9]{1,18})?)\), \} {0,200}\n"
)
_NPY_PREFIX = 10
# The first moment that a zip can tell.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64
_PADDING = 0xD935
"""Tag of an extra field that only fills space, as Android's zipalign writes it."""
_LOCAL = struct.Struct("<4s22xHH")
"""A local file header: its magic, and the lengths of name and extra field behind it."""

Unpacked = tuple[dict[str, Any], dict[str, "Member"]]


class Member:
    """One array that an artefact declares: its type and shape are known, its elements not yet copied."""

    def __init__(self, name: str, data: memoryview) -> None:
        written = _NPY_HEAD.match(data)
        if written is None or written.end() != _NPY_PREFIX + int.from_bytes(written["length"], "little"):
            raise ValueError(f"array {name} is not a plain array of numbers")
        self.name = name
        self.dtype = written["dtype"].decode()
        self.shape = tuple(int(length) for length in written["shape"].split(b",") if length.strip())
        self._data = data
        self._offset = written.end()

    def array(self, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the elements, read only, where they lie; a copy if they are not aligned there.

        Raises
        ------
        ValueError
            If type, shape or number of bytes are not what is wanted.
        """
        if (self.dtype, self.shape) != (dtype, shape):
            raise ValueError(f"array {self.name} is {self.dtype}{self.shape}, expected {dtype}{shape}")
        count = 1
        for length in shape:
            count *= length
        # Checked before anything of the declared size is allocated.
        if len(self._data) - self._offset != count * np.dtype(dtype).itemsize:
            raise ValueError(f"array {self.name} does not hold the bytes that it declares")
        array = np.frombuffer(self._data, dtype, count, self._offset).reshape(shape)
        return array if array.flags.aligned else array.copy()


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the artefact of `header` and `arrays`; equal content gives equal bytes."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_info(_HEADER, 0), text)
        for name in sorted(arrays):
            data = io.BytesIO()
            array = np.ascontiguousarray(arrays[name])
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            archive.writestr(_info(name + _NPY, out.tell()), data.getvalue())
    return out.getvalue()


def unpack(data: bytes | memoryview) -> Unpacked:
    """Return the header and the declared arrays of an artefact; the arrays stay in `data`.

    Raises
    ------
    ValueError
        If `data` is not an artefact, is cut, was changed, or holds what `pack` never writes.
    """
    try:
        view = memoryview(data)
        with zipfile.ZipFile(cast("Any", _Window(view))) as archive:
            found = archive.infolist()
            if sum(info.file_size for info in found) > len(view):  # before each of them is read through
                raise ValueError("the members overlap")
            members = {info.filename: _content(view, info) for info in found}
            if len(members) != len(found):
                raise ValueError("a member occurs twice")
        header: Any = json.loads(bytes(members.pop(_HEADER)).decode(), parse_constant=_refuse)
        if type(header) is not dict:
            raise ValueError("the header is not an object")
        return cast(dict[str, Any], header), {
            _stem(name): Member(_stem(name), content) for name, content in members.items()
        }
    except KeyError as missing:
        raise ValueError(f"{missing} is missing") from missing
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as reason:
        raise ValueError(str(reason) or type(reason).__name__) from reason
    except (struct.error, IndexError, OverflowError, SyntaxError, TypeError, RecursionError) as reason:
        raise ValueError(f"it cannot be read: {type(reason).__name__}") from reason


class _Window(io.RawIOBase):
    """A memoryview as a file, without a copy of all of it."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        if start + offset < 0:
            raise OSError("the file has no such place")
        self._at = start + offset
        return self._at

    def read(self, size: int = -1) -> bytes:
        end = len(self._view) if size < 0 else self._at + size
        part = bytes(self._view[self._at : end])
        self._at += len(part)
        return part


def _info(name: str, offset: int) -> zipfile.ZipInfo:
    """Return what the zip says of a member whose header lies at `offset`, padded so that its content is aligned."""
    info = zipfile.ZipInfo(name, date_time=_LONG_AGO)
    # The same on every system; the default is that of the machine that writes.
    info.create_system = 3
    info.external_attr = 0o644 << 16
    begin = offset + _LOCAL.size + len(name) + 4
    padding = -begin % _ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING, padding) + bytes(padding)
    return info


def _content(view: memoryview, info: zipfile.ZipInfo) -> memoryview:
    """Return the bytes of one member, checked against its CRC."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError("a member is compressed or encrypted")
    if info.file_size != info.compress_size or info.file_size > len(view):
        raise ValueError("a member declares more bytes than there are")
    magic, name, extra = _LOCAL.unpack_from(view, info.header_offset)
    begin = info.header_offset + _LOCAL.size + name + extra
    content = view[begin : begin + info.file_size]
    if magic != b"PK\x03\x04" or len(content) != info.file_size or zlib.crc32(content) != info.CRC:
        raise ValueError(f"member {info.filename[:40]!r} was changed")
    return content


def _stem(name: str) -> str:
    if not name.endswith(_NPY):
        raise ValueError(f"unexpected member {name[:40]!r}")
    return name.removesuffix(_NPY)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
