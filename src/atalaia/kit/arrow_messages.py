"""What an Arrow IPC stream declares, read from its message headers before anything is unpacked.

pyarrow reserves what a compressed buffer says of its own size, so the sizes are added up here first. Only the few
fields that this takes are read from the headers (flatbuffers, laid out as Arrow's `Message.fbs` says).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct, error

_INT16 = Struct("<H")
_INT32 = Struct("<i")
_OFFSET = Struct("<I")
_INT64 = Struct("<q")
_BUFFER = Struct("<qq")

_CONTINUATION = 0xFFFFFFFF
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
# Positions of the fields in their tables.
_HEADER_TYPE, _HEADER, _BODY_LENGTH = 1, 2, 3
_BATCH_LENGTH, _BATCH_BUFFERS, _BATCH_COMPRESSION = 0, 2, 3
_DICTIONARY_DATA = 1


class BadStream(Exception):
    """The headers cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What one message says of itself.

    Attributes
    ----------
    rows
        Rows of a batch, or entries of a dictionary.
    unpacked_bytes
        What its compressed buffers become; 0 without compression.
    is_dictionary
        Whether it is a dictionary and not a batch of rows.
    """

    rows: int
    unpacked_bytes: int
    is_dictionary: bool


def declared(data: memoryview) -> Iterator[Declared]:
    """Yield what each batch and each dictionary of the stream `data` declares.

    Raises
    ------
    BadStream
        When a header does not make sense.
    """
    at = 0
    while at < len(data):
        mark, size = _number(_OFFSET, data, at), _number(_INT32, data, at + 4)
        if mark != _CONTINUATION:
            raise BadStream(f"no message begins at byte {at}")
        if size == 0:
            return
        begin = at + 8 + size
        if size < 0 or begin > len(data):
            raise BadStream(f"the message at byte {at} is cut off")
        message = _Table.root(data[at + 8 : begin])
        length = message.int64(_BODY_LENGTH)
        if length < 0 or length > len(data) - begin:
            raise BadStream(f"the message at byte {at} is cut off")
        kind = message.int8(_HEADER_TYPE)
        if kind in (_DICTIONARY_BATCH, _RECORD_BATCH):
            batch = message.table(_HEADER)
            if kind == _DICTIONARY_BATCH and batch is not None:
                batch = batch.table(_DICTIONARY_DATA)
            if batch is None:
                raise BadStream(f"the message at byte {at} is empty")
            yield _declared(batch, data[begin : begin + length], kind == _DICTIONARY_BATCH)
        at = begin + length


def _declared(batch: "_Table", body: memoryview, is_dictionary: bool) -> Declared:
    rows, unpacked = batch.int64(_BATCH_LENGTH), 0
    if rows < 0:
        raise BadStream("a batch has fewer than no rows")
    if batch.table(_BATCH_COMPRESSION) is not None:
        for offset, length in batch.buffers(_BATCH_BUFFERS):
            if length == 0:
                continue
            if offset < 0 or length < 8 or offset + length > len(body):
                raise BadStream("a compressed buffer lies outside its message")
            size = _number(_INT64, body, offset)
            if size < -1:
                raise BadStream("a compressed buffer has fewer than no bytes")
            unpacked += size if size >= 0 else length - 8  # -1: it was left as it is
    return Declared(rows, unpacked, is_dictionary)


@dataclass(frozen=True, slots=True)
class _Table:
    """A flatbuffers table: its place, and how to find its fields."""

    data: memoryview
    at: int

    @staticmethod
    def root(data: memoryview) -> "_Table":
        return _Table(data, _number(_OFFSET, data, 0))

    def field(self, position: int) -> int | None:
        """Return where the field lies, None when it was left out."""
        names = self.at - _number(_INT32, self.data, self.at)
        if 4 + 2 * position >= _number(_INT16, self.data, names):
            return None
        offset = _number(_INT16, self.data, names + 4 + 2 * position)
        return self.at + offset if offset else None

    def int8(self, position: int) -> int:
        place = self.field(position)
        if place is None:
            return 0
        if not 0 <= place < len(self.data):
            raise BadStream("a header is cut off")
        return self.data[place]

    def int64(self, position: int) -> int:
        place = self.field(position)
        return 0 if place is None else _number(_INT64, self.data, place)

    def table(self, position: int) -> "_Table | None":
        place = self.field(position)
        return None if place is None else _Table(self.data, place + _number(_OFFSET, self.data, place))

    def buffers(self, position: int) -> Iterator[tuple[int, int]]:
        place = self.field(position)
        if place is None:
            return iter(())
        begin = place + _number(_OFFSET, self.data, place)
        end = begin + 4 + _BUFFER.size * _number(_OFFSET, self.data, begin)
        if end > len(self.data):
            raise BadStream("a header is cut off")
        return _BUFFER.iter_unpack(self.data[begin + 4 : end])


def _number(kind: Struct, data: memoryview, at: int) -> int:
    if at < 0:
        raise BadStream("a header points before its beginning")
    try:
        return kind.unpack_from(data, at)[0]
    except error as short:
        raise BadStream("a header is cut off") from short
