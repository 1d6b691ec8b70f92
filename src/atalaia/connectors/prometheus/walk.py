"""One walk over a remote-write body, from bytes to arrays, without an object for each series or sample.

Field numbers are those of `prometheus.WriteRequest` (version 1) and `io.prometheus.write.v2.Request` (version 2).
Fields that neither version knows, or that come with another wire type than theirs, are skipped, as protobuf asks.
"""

import numpy as np
from numpy.typing import NDArray

from atalaia.algorithms.compiled import compiled_inline, compiled_without_gil
from atalaia.connectors.prometheus import hashing, wire
from atalaia.connectors.prometheus.wire import Buffer, eight_bytes, failed, read_length, read_tag, read_varint, skip
from atalaia.core.points import MAX_MAGNITUDE, IntArray, NumberArray

HashArray = NDArray[np.uint64]
BitArray = NDArray[np.uint64]
SpanArray = NDArray[np.int32]
Span = tuple[int, int]
Found = tuple[HashArray, SpanArray]
"""For each series two halves of its hash, and where its message begins and ends."""
Samples = tuple[NumberArray, IntArray, BitArray]
"""For each kept sample the position of its series, its microseconds and the bits of its value."""
Labels = tuple[hashing.State, int, int]
"""The hash so far, how many strings went into it, and how many bytes."""
Limits = tuple[int, int, int, int]
"""Samples of a request, labels of a series, label bytes of a series, label bytes of a request."""

_SERIES_V1, _METADATA_V1 = 0x0A, 0x1A  # of a request
_SYMBOL_V2, _SERIES_V2 = 0x22, 0x2A
_LABELS, _ONE_REFERENCE, _SAMPLE = 0x0A, 0x08, 0x12  # of a series
_THIRD, _FOURTH, _FIFTH = 0x1A, 0x22, 0x2A

EXEMPLARS, HISTOGRAMS, METADATA, STALE, UNUSABLE, OUT_OF_RANGE = 0, 1, 2, 3, 4, 5
AT, ROW, USED, LABEL_BYTES = 6, 7, 8, 9
PROGRESS = 10
"""Entries of the array in which a walk counts what it skips and keeps where it stands."""
_KEEP = -1

_STALE_BITS = 0x7FF0000000000002
"""The one NaN with which Prometheus says that a series has ended."""
_SIGN = 1 << 63
_LARGEST_BITS = int(np.float64(MAX_MAGNITUDE).view(np.uint64))
_MAX_MILLIS = 4_102_444_800_000
"""2100-01-01."""


@compiled_without_gil
def count_fields(data: Buffer, version: int) -> tuple[int, int, int]:
    """Return how many series and symbols a request holds, and a negative position if it is broken."""
    wanted = _SERIES_V1 if version == 1 else _SERIES_V2
    at, end, series, symbols = 0, len(data), 0, 0
    while at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            return 0, 0, at
        if tag == wanted:
            series += 1
        elif tag == _SYMBOL_V2:
            symbols += 1
        at = skip(data, tag, at, end)
        if at < 0:
            return 0, 0, at
    return series, symbols, at


@compiled_without_gil
def find_symbols(data: Buffer, spans: SpanArray) -> None:
    """Write where each symbol of a counted request of version 2 begins and ends to `spans`, int32[symbols, 2]."""
    at, end, found = 0, len(data), 0
    while at < end and found < len(spans):
        tag, at = read_tag(data, at, end)
        if tag == _SYMBOL_V2:
            begin, at = read_length(data, at, end)
            spans[found, 0], spans[found, 1] = begin, at
            found += 1
        else:
            at = skip(data, tag, at, end)


@compiled_without_gil
def walk(
    data: Buffer, version: int, symbols: SpanArray, key: hashing.Key, limits: Limits,
    found: Found, samples: Samples, progress: IntArray,
) -> int:  # fmt: skip
    """Read a request whose fields have been counted, or go on with one.

    Returns
    -------
    0 when all is read, a negative position when the request is broken, and else how long the arrays of the samples
    must be before the walk can go on.
    """
    wanted = _SERIES_V1 if version == 1 else _SERIES_V2
    hashes, spans = found
    end = len(data)
    while progress[AT] < end:
        tag, at = read_tag(data, progress[AT], end)
        if tag != wanted:
            progress[METADATA] += version == 1 and tag == _METADATA_V1
            progress[AT] = skip(data, tag, at, end)
            continue
        begin, stop = read_length(data, at, end)
        room = min(limits[0], progress[USED] + (stop - begin) // 2)  # a sample takes two bytes or more
        if room > len(samples[0]):
            return room
        row = progress[ROW]
        labels, at = _read_series(data, begin, stop, version, symbols, key, limits, samples, progress)
        if at < 0:
            return at
        progress[LABEL_BYTES] += labels[2]
        if progress[LABEL_BYTES] > limits[3]:
            return failed(wire.TOO_MANY_LABEL_BYTES, begin)
        hashes[row, 0], hashes[row, 1] = hashing.finish(labels[0])
        spans[row, 0], spans[row, 1] = begin, stop
        progress[ROW], progress[AT] = row + 1, stop
    return 0


@compiled_inline
def _read_series(
    data: Buffer, at: int, end: int, version: int, symbols: SpanArray, key: hashing.Key, limits: Limits,
    samples: Samples, progress: IntArray,
) -> tuple[Labels, int]:  # fmt: skip
    labels = (hashing.begin(key), 0, 0)
    while at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            return labels, at
        if tag == _SAMPLE:
            at = _read_sample(data, at, end, limits[0], samples, progress)
        elif tag == _LABELS and version == 1:
            labels, at = _read_label(labels, data, at, end, limits)
        elif tag == _LABELS or (tag == _ONE_REFERENCE and version == 2):
            labels, at = _read_references(labels, data, tag, at, end, symbols, limits)
        else:
            _count_skipped(tag, version, progress)
            at = skip(data, tag, at, end)
        if at < 0:
            return labels, at
    return labels, at if labels[1] % 2 == 0 else failed(wire.ODD_REFERENCES, at)


@compiled_inline
def _count_skipped(tag: int, version: int, progress: IntArray) -> None:
    if tag == (_THIRD if version == 1 else _FOURTH):
        progress[EXEMPLARS] += 1
    elif tag == _THIRD or tag == _FOURTH:
        progress[HISTOGRAMS] += 1
    elif tag == _FIFTH and version == 2:
        progress[METADATA] += 1


@compiled_inline
def _read_sample(data: Buffer, at: int, end: int, most: int, samples: Samples, progress: IntArray) -> int:
    at, end = read_length(data, at, end)
    bits, millis = np.uint64(0), 0
    if end - at > 10 and data[at] == 0x09 and data[at + 9] == 0x10:  # as every sender writes it
        bits = eight_bytes(data, at + 1)
        at += 9
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            break
        if tag == 0x10:
            millis, at = read_varint(data, at, end)
        elif tag == 0x09 and end - at >= 8:
            bits = eight_bytes(data, at)
            at += 8
        else:
            at = skip(data, tag, at, end)
    return at if at < 0 else _keep(bits, millis, at, most, samples, progress)


@compiled_inline
def _keep(bits: np.uint64, millis: int, at: int, most: int, samples: Samples, progress: IntArray) -> int:
    fate = _fate(bits, millis)
    if fate != _KEEP:
        progress[fate] += 1
        return at
    used = progress[USED]
    if used >= most:
        return failed(wire.TOO_MANY_SAMPLES, at)
    samples[0][used], samples[1][used], samples[2][used] = progress[ROW], millis * 1000, bits
    progress[USED] = used + 1
    return at


@compiled_inline
def _fate(bits: np.uint64, millis: int) -> int:
    if bits == np.uint64(_STALE_BITS):
        return STALE
    if bits & ~np.uint64(_SIGN) > np.uint64(_LARGEST_BITS):  # infinity and NaN have the largest bits of all
        return UNUSABLE
    return _KEEP if 0 <= millis <= _MAX_MILLIS else OUT_OF_RANGE


@compiled_inline
def _read_label(labels: Labels, data: Buffer, at: int, end: int, limits: Limits) -> tuple[Labels, int]:
    name, value, at = _label_spans(data, at, end)
    if at < 0:
        return labels, at
    labels = _with_string(_with_string(labels, data, name), data, value)
    return labels, _within(labels, limits, at)


@compiled_inline
def _label_spans(data: Buffer, at: int, end: int) -> tuple[Span, Span, int]:
    name, value = (0, 0), (0, 0)
    at, end = read_length(data, at, end)
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            break
        if tag == 0x0A:
            name = read_length(data, at, end)
            at = name[1]
        elif tag == 0x12:
            value = read_length(data, at, end)
            at = value[1]
        else:
            at = skip(data, tag, at, end)
    return name, value, at


@compiled_inline
def _read_references(
    labels: Labels, data: Buffer, tag: int, at: int, end: int, symbols: SpanArray, limits: Limits
) -> tuple[Labels, int]:
    if tag == _LABELS:
        at, end = read_length(data, at, end)
    while 0 <= at < end:
        reference, behind = read_varint(data, at, end)
        if behind >= 0 and (reference < 0 or reference >= len(symbols)):
            behind = failed(wire.BAD_REFERENCE, at)
        if behind < 0:
            return labels, behind
        labels = _with_string(labels, data, (symbols[reference, 0], symbols[reference, 1]))
        at = _within(labels, limits, behind)
        if tag == _ONE_REFERENCE:
            break
    return labels, at


@compiled_inline
def _with_string(labels: Labels, data: Buffer, span: Span) -> Labels:
    state, strings, size = labels
    return hashing.take_string(state, data, span[0], span[1]), strings + 1, size + span[1] - span[0]


@compiled_inline
def _within(labels: Labels, limits: Limits, at: int) -> int:
    if labels[1] > 2 * limits[1]:
        return failed(wire.TOO_MANY_LABELS, at)
    return at if labels[2] <= limits[2] else failed(wire.TOO_MANY_LABEL_BYTES, at)


@compiled_without_gil
def find_strings(data: Buffer, version: int, symbols: SpanArray, begin: int, stop: int, strings: SpanArray) -> int:
    """Write where name, value, name, value, ... of the series between `begin` and `stop` lie; return how many.

    The series has been walked before, so it is whole, and its strings fit into `strings`, int32[k, 2].
    """
    at, count = begin, 0
    while at < stop:
        tag, at = read_tag(data, at, stop)
        if tag == _LABELS and version == 1:
            name, value, at = _label_spans(data, at, stop)
            strings[count, 0], strings[count, 1] = name
            strings[count + 1, 0], strings[count + 1, 1] = value
            count += 2
        elif tag == _LABELS or (tag == _ONE_REFERENCE and version == 2):
            end = stop
            if tag == _LABELS:
                at, end = read_length(data, at, stop)
            while at < end:
                reference, at = read_varint(data, at, end)
                strings[count, 0], strings[count, 1] = symbols[reference, 0], symbols[reference, 1]
                count += 1
                if tag == _ONE_REFERENCE:
                    break
        else:
            at = skip(data, tag, at, stop)
    return count
