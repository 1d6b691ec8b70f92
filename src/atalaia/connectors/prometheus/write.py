"""A remote-write request as arrays: who its series are, and their samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atalaia.connectors.prometheus import wire
from atalaia.connectors.prometheus.hashing import Key
from atalaia.connectors.prometheus.labels import LabelPair
from atalaia.connectors.prometheus.series_table import UNKNOWN, SeriesTable
from atalaia.connectors.prometheus.walk import (
    EXEMPLARS,
    HISTOGRAMS,
    METADATA,
    OUT_OF_RANGE,
    PROGRESS,
    STALE,
    UNUSABLE,
    USED,
    HashArray,
    Samples,
    SpanArray,
    count_fields,
    find_strings,
    find_symbols,
    walk,
)
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray, IntArray, NumberArray, Points

_MESSAGES = {1: "prometheus.WriteRequest", 2: "io.prometheus.write.v2.Request"}
_REASONS = {
    wire.TRUNCATED: "a field is longer than what is left",
    wire.OVERLONG: "an integer has more than 64 bits",
    wire.BAD_TAG: "a field has no number",
    wire.BAD_GROUP: "a field has a type that these messages never have",
    wire.BAD_REFERENCE: "a label refers to a symbol that is not there",
    wire.ODD_REFERENCES: "a series has a label name without a value",
}
_TINY = {
    1: bytes.fromhex("0a0e 0a060a0161120162 12041001 1002"),
    2: bytes.fromhex("220161 220162 2a08 0a020001 12021001"),
}
"""One series a="b" with one sample, in each version."""
_SPARE = 1024
"""Room for samples beyond one a series, so that usual requests never grow."""


@dataclass(frozen=True, slots=True)
class WriteLimits:
    """What one request may hold.

    Attributes
    ----------
    max_symbols
        Strings in the table of a request of version 2.
    max_label_bytes
        Bytes of all labels of all series; in version 2 a symbol counts each time it is used.
    """

    max_series: int = 1_000_000
    max_symbols: int = 5_000_000
    max_points: int = 5_000_000
    max_labels_per_series: int = 64
    max_label_bytes_per_series: int = 65_536
    max_label_bytes: int = 256 << 20


@dataclass(frozen=True, slots=True)
class Skipped:
    """How much of a request was no point, and left out.

    Attributes
    ----------
    unusable_values
        Infinite, not a number, or too large for a measurement.
    out_of_range_times
        Before 1970 or after 2100.
    """

    exemplars: int
    histograms: int
    metadata: int
    stale_markers: int
    unusable_values: int
    out_of_range_times: int


@dataclass(frozen=True, slots=True, eq=False)
class WriteBatch:
    """The arrays of one request.

    Attributes
    ----------
    hashes
        uint64[m, 2], one 128-bit number for the labels of each series, see `connectors.prometheus.hashing`.
    rows
        int32[n], for each point the position of its series, 0 to m - 1.
    timestamps, values
        int64[n], microseconds since the epoch, and float64[n].
    """

    hashes: HashArray
    rows: NumberArray
    timestamps: IntArray
    values: FloatArray
    skipped: Skipped
    _source: "_Source"

    def __len__(self) -> int:
        return len(self.values)

    def resolve(self, table: SeriesTable) -> tuple[NumberArray, NDArray[np.intp]]:
        """Return int32[m], the number of each series, and the positions of those that `table` does not know.

        Among the unknown, each set of labels stands once, and only if it has a point; ask their `labels`, find or
        make their numbers, `add` them to the table, and resolve again.
        """
        numbers = table.numbers_of(self.hashes)
        unknown = np.flatnonzero(numbers == UNKNOWN)
        if len(unknown):
            unknown = unknown[np.bincount(self.rows, minlength=len(numbers))[unknown] > 0]
            _, first = np.unique(self.hashes[unknown], axis=0, return_index=True)
            unknown = unknown[np.sort(first)]
        return numbers, unknown

    def points(self, numbers: NumberArray) -> Points:
        """Return the points, given the number of each series; those of unknown series are left out."""
        points = Points(numbers[self.rows], self.timestamps, self.values)
        return points.take(points.series != UNKNOWN)

    def labels(self, position: int) -> list[LabelPair]:
        """Return names and values of the labels of the series at `position`, as they were sent.

        Raises
        ------
        Invalid
            When they are not UTF-8.
        """
        source = self._source
        begin, stop = source.spans[position].tolist()
        places = np.empty((source.max_strings, 2), np.int32)
        count = find_strings(source.data, source.version, source.symbols, begin, stop, places)
        texts = [source.text(*place) for place in places[:count].tolist()]
        return list(zip(texts[::2], texts[1::2], strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What labels are read from when somebody asks."""

    body: memoryview
    data: wire.Buffer
    version: int
    spans: SpanArray
    symbols: SpanArray
    max_strings: int

    def text(self, begin: int, stop: int) -> str:
        try:
            return str(self.body[begin:stop], "utf-8")
        except UnicodeDecodeError as error:
            raise _broken(self.version, "a label is not UTF-8 text", begin + error.start) from error


def read_write_request(
    body: bytes | memoryview, version: int, key: Key, limits: WriteLimits | None = None
) -> WriteBatch:
    """Return the decompressed `body` of a remote-write request as arrays.

    Exemplars, native histograms, metadata, stale markers, and samples whose value or time cannot be one are counted
    and skipped. The batch reads labels from `body`, which must not change while it is in use.

    Parameters
    ----------
    version
        1 for `prometheus.WriteRequest`, 2 for `io.prometheus.write.v2.Request`.
    key
        That of the `SeriesTable` with which the batch will be resolved.

    Raises
    ------
    Invalid
        When it is damaged (``bad_protobuf``) or holds more than `limits` allow.
    """
    limits = limits or WriteLimits()
    view = memoryview(body).toreadonly()
    data = np.frombuffer(view, np.uint8)
    if len(data) > wire.MAX_BODY_BYTES:
        raise Invalid("body_too_large", "the body is longer than two gigabytes; send less at once")
    series, symbol_count, at = count_fields(data, version)
    if at < 0:
        raise _refusal(at, version, limits)
    if series > limits.max_series:
        detail = f"{series:,} series in one request, at most {limits.max_series:,} are accepted; send less at once"
        raise Invalid("too_many_series", detail)
    if version == 2 and symbol_count > limits.max_symbols:
        detail = f"{symbol_count:,} symbols in one request, at most {limits.max_symbols:,} are accepted"
        raise Invalid("labels_too_large", detail)
    symbols = np.empty((symbol_count if version == 2 else 0, 2), np.int32)
    find_symbols(data, symbols)
    hashes, spans = np.empty((series, 2), np.uint64), np.empty((series, 2), np.int32)
    samples, progress = _walk(data, version, key, limits, symbols, (hashes, spans))
    kept = int(progress[USED])
    rows, timestamps, bits = samples
    source = _Source(view, data, version, spans, symbols, 2 * limits.max_labels_per_series)
    return WriteBatch(
        hashes, rows[:kept], timestamps[:kept], bits[:kept].view(np.float64), _skipped(progress), source
    )


def warm_up() -> None:
    """Compile what reading and resolving a request takes, or load it, so that no request waits for it."""
    table = SeriesTable()
    for version, body in _TINY.items():
        batch = read_write_request(body, version, table.key)
        _, unknown = batch.resolve(table)
        batch.labels(0)
        table.add(batch.hashes[unknown], np.ones(len(unknown), np.int32))


def _walk(
    data: wire.Buffer,
    version: int,
    key: Key,
    limits: WriteLimits,
    symbols: SpanArray,
    found: tuple[HashArray, SpanArray],
) -> tuple[Samples, IntArray]:
    bounds = (
        limits.max_points,
        limits.max_labels_per_series,
        limits.max_label_bytes_per_series,
        limits.max_label_bytes,
    )
    progress = np.zeros(PROGRESS, np.int64)
    samples = _longer(None, 0, len(found[0]) + _SPARE)
    while outcome := walk(data, version, symbols, key, bounds, found, samples, progress):
        if outcome < 0:
            raise _refusal(outcome, version, limits)
        samples = _longer(samples, int(progress[USED]), max(outcome, 2 * len(samples[0])))
    return samples, progress


def _longer(samples: Samples | None, used: int, size: int) -> Samples:
    longer = np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.uint64)
    if samples is not None:
        for old, new in zip(samples, longer, strict=True):
            new[:used] = old[:used]
    return longer


def _skipped(progress: IntArray) -> Skipped:
    order: Sequence[int] = (EXEMPLARS, HISTOGRAMS, METADATA, STALE, UNUSABLE, OUT_OF_RANGE)
    return Skipped(*(int(progress[place]) for place in order))


def _refusal(position: int, version: int, limits: WriteLimits) -> Invalid:
    reason, at = wire.explain(position)
    if reason == wire.TOO_MANY_SAMPLES:
        detail = f"more than {limits.max_points:,} points in one request; send less at once"
        return Invalid("too_many_points", detail)
    if reason == wire.TOO_MANY_LABELS:
        detail = f"a series has more than {limits.max_labels_per_series} labels (byte {at})"
        return Invalid("labels_too_large", detail)
    if reason == wire.TOO_MANY_LABEL_BYTES:
        most = f"{limits.max_label_bytes_per_series:,} for a series, {limits.max_label_bytes:,} for a request"
        return Invalid("labels_too_large", f"too many bytes of labels (byte {at}): at most {most}")
    return _broken(version, _REASONS[reason], at)


def _broken(version: int, reason: str, at: int) -> Invalid:
    return Invalid("bad_protobuf", f"the body is not a {_MESSAGES[version]}: {reason}, at byte {at}")
