"""The messages of remote write as protobuf's own library sees them, made without generated code."""

from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Pair = tuple[str, str]
Sample = tuple[float, int]
"""Value, and milliseconds since the epoch."""

_TYPES = {"double": 1, "int64": 3, "uint64": 4, "string": 9, "uint32": 13, "sint32": 17}
_V1 = {
    "Label": ("1 name string", "2 value string"),
    "Sample": ("1 value double", "2 timestamp int64"),
    "Exemplar": ("1 labels Label*", "2 value double", "3 timestamp int64"),
    "Histogram": ("1 count_int uint64", "3 sum double", "15 timestamp int64"),
    "MetricMetadata": ("1 type uint32", "2 metric_family_name string", "4 help string", "5 unit string"),
    "TimeSeries": ("1 labels Label*", "2 samples Sample*", "3 exemplars Exemplar*", "4 histograms Histogram*"),
    "WriteRequest": ("1 timeseries TimeSeries*", "3 metadata MetricMetadata*"),
}
_V2 = {
    "Sample": ("1 value double", "2 timestamp int64", "3 start_timestamp int64"),
    "Exemplar": ("1 labels_refs uint32*", "2 value double", "3 timestamp int64"),
    "Histogram": ("1 count_int uint64", "3 sum double", "15 timestamp int64"),
    "Metadata": ("1 type uint32", "3 help_ref uint32", "4 unit_ref uint32"),
    "TimeSeries": (
        "1 labels_refs uint32*",
        "2 samples Sample*",
        "3 histograms Histogram*",
        "4 exemplars Exemplar*",
        "5 metadata Metadata",
        "6 created_timestamp int64",
    ),
    "Request": ("4 symbols string*", "5 timeseries TimeSeries*"),
}


def _classes(package: str, messages: dict[str, tuple[str, ...]]) -> dict[str, type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for number, field, kind in (text.split() for text in fields):
            plain = kind.rstrip("*")
            added: Any = message.field.add(name=field, number=int(number), label=3 if kind.endswith("*") else 1)
            added.type = _TYPES.get(plain, 11)
            if plain not in _TYPES:
                added.type_name = f".{package}.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages
    }


V1 = _classes("prometheus", _V1)
V2 = _classes("io.prometheus.write.v2", _V2)
WriteRequest: Any = V1["WriteRequest"]
Request: Any = V2["Request"]


def request_v1(series: Iterable[tuple[Sequence[Pair], Sequence[Sample]]]) -> Any:
    """Return a request of version 1 with these labels and samples."""
    request = WriteRequest()
    for labels, samples in series:
        one = request.timeseries.add()
        for name, value in labels:
            one.labels.add(name=name, value=value)
        for value, timestamp in samples:
            one.samples.add(value=value, timestamp=timestamp)
    return request


def request_v2(series: Iterable[tuple[Sequence[Pair], Sequence[Sample]]]) -> Any:
    """Return a request of version 2 with these labels and samples; symbols stand in order of use."""
    request = Request()
    symbols: dict[str, int] = {"": 0}
    for labels, samples in series:
        one = request.timeseries.add()
        one.labels_refs.extend(symbols.setdefault(text, len(symbols)) for pair in labels for text in pair)
        for value, timestamp in samples:
            one.samples.add(value=value, timestamp=timestamp)
    request.symbols.extend(symbols)
    return request


def body_of(version: int, series: Iterable[tuple[Sequence[Pair], Sequence[Sample]]]) -> bytes:
    """Return the bytes of a request."""
    request = request_v1(series) if version == 1 else request_v2(series)
    return request.SerializeToString()
