"""One artefact: a JSON header and named arrays in one file, safe to load from anywhere.

The file is what ``numpy.savez`` writes (a zip of ``.npy`` members) with one member ``header.json`` more. Members
are stored, not compressed: equal content gives equal bytes on every machine, and no member can be larger than the
file that it came in.
"""

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_HEADER = "header.json"
_NPY = ".npy"
_MAX_NPY_HEADER = 4096
# The first moment that a zip can tell.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)

Unpacked = tuple[dict[str, Any], dict[str, "Member"]]


class Member:
    """One array that an artefact declares: its type and shape are known, its elements not yet copied."""

    def __init__(self, name: str, data: bytes) -> None:
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"array {name} has format {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=_MAX_NPY_HEADER)
        if fortran or dtype.hasobject or dtype.names is not None:
            raise ValueError(f"array {name} is not a plain array of numbers")
        self.name = name
        self.dtype: str = dtype.str
        self.shape: tuple[int, ...] = tuple(int(length) for length in shape)
        self._data = data
        self._offset = stream.tell()

    def array(self, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the elements, as a copy of its own.

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
        return np.frombuffer(self._data, dtype, count, self._offset).reshape(shape).copy()


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the artefact of `header` and `arrays`; equal content gives equal bytes."""
    text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_info(_HEADER), text)
        for name in sorted(arrays):
            data = io.BytesIO()
            array = np.ascontiguousarray(arrays[name])
            np.lib.format.write_array(data, array, version=(1, 0), allow_pickle=False)
            archive.writestr(_info(name + _NPY), data.getvalue())
    return out.getvalue()


def unpack(data: bytes) -> Unpacked:
    """Return the header and the declared arrays of an artefact.

    Raises
    ------
    ValueError
        If `data` is not an artefact, is cut, was changed, or holds what `pack` never writes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: _content(archive, info, len(data)) for info in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise ValueError("a member occurs twice")
        header: Any = json.loads(members.pop(_HEADER).decode(), parse_constant=_refuse)
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


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_LONG_AGO)
    # The same on every system; the default is that of the machine that writes.
    info.create_system = 3
    info.external_attr = 0o644 << 16
    return info


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int) -> bytes:
    """Return the bytes of one member, checked against its CRC."""
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        raise ValueError("a member is compressed or encrypted")
    if info.file_size != info.compress_size or info.file_size > limit:
        raise ValueError("a member declares more bytes than there are")
    return archive.read(info)


def _stem(name: str) -> str:
    if not name.endswith(_NPY):
        raise ValueError(f"unexpected member {name[:40]!r}")
    return name.removesuffix(_NPY)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")
