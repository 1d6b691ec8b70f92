"""Many predictions at once: as an Arrow batch in a journal, and as rows of Parquet in an export.

pyarrow ships no types, so its objects stay inside this module.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from numpy.typing import NDArray

from atalaia.core.points import FloatArray, IntArray, NumberArray
from atalaia.core.scores import THRESHOLD, ModelRef
from atalaia.kit.audit.frames import Frame, Kind

_ABOUT = b"about"
NamesOf = Callable[[NumberArray], Sequence[str]]
"""Given numbers of series, returns their ids, empty where that is not known."""
_TIME = pa.timestamp("us", tz="UTC")
_SCHEMA = pa.schema(
    [
        ("at", _TIME),
        ("request_id", pa.string()),
        ("caller", pa.string()),
        ("series_id", pa.string()),
        ("series_number", pa.int32()),
        ("timestamp", _TIME),
        ("value", pa.float64()),
        ("anomaly_score", pa.float64()),
        ("anomaly", pa.bool_()),
        ("confidence", pa.string()),
        ("model_id", pa.string()),
        ("model_version", pa.string()),
        ("loaded_from", pa.string()),
        ("ms", pa.float64()),
    ]
)
_READ_AS = {"at": "timestamp", "timestamp": "point_at"}
"""What the lines call some of these."""
_LINE = pa.schema(
    [(_READ_AS.get(field.name, field.name), field.type) for field in _SCHEMA if field.name != "series_number"]
)


@dataclass(frozen=True, slots=True)
class Batch:
    """Points of one request and their scores; the arrays must not change any more.

    Attributes
    ----------
    numbers, names
        int32[n] or n ids: the series, one of the two.
    models
        int32[n], for each point the position of its model in `refs`, -1 for none; None when the first made all.
    """

    request_id: str
    caller: str
    at: int
    ms: float
    numbers: NumberArray | None
    names: Sequence[str] | None
    timestamps: IntArray
    values: FloatArray
    scores: FloatArray
    models: NDArray[np.int32] | None
    refs: Sequence[ModelRef]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """How much memory it holds, about."""
        return 64 * len(self)

    def _names_of(self, rows: Sequence[int]) -> list[str] | None:
        names = self.names
        return None if names is None else [names[row] for row in rows]

    def taken(self, rows: NDArray[np.int64]) -> "Batch":
        """Return some of the points."""
        return Batch(
            self.request_id,
            self.caller,
            self.at,
            self.ms,
            None if self.numbers is None else self.numbers[rows],
            self._names_of(rows.tolist()),
            self.timestamps[rows],
            self.values[rows],
            self.scores[rows],
            None if self.models is None else self.models[rows],
            self.refs,
        )


def encode_batch(batch: Batch) -> Any:
    """Return a batch as an Arrow IPC stream, in memory that is not copied again.

    What is the same for all points stands in the metadata once.
    """
    n = len(batch)
    about: dict[str, Any] = {
        "request_id": batch.request_id,
        "caller": batch.caller,
        "at": batch.at,
        "ms": batch.ms,
        "refs": [[ref.model_id, ref.version] for ref in batch.refs],
    }
    columns: dict[str, Any] = {}
    if batch.numbers is not None:
        columns["series"] = batch.numbers
    else:
        columns["series_id"] = pa.array(batch.names or [], pa.string())
    if n and bool((batch.timestamps == batch.timestamps[0]).all()):
        about["timestamp"] = int(batch.timestamps[0])
    else:
        columns["timestamp"] = batch.timestamps
    columns |= {"value": batch.values, "score": batch.scores}
    if batch.models is not None:
        columns["model"] = batch.models.astype(np.int16) if len(batch.refs) < 2**15 else batch.models
    made = pa.record_batch(columns, metadata={_ABOUT: json.dumps(about).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made.schema) as writer:
        writer.write_batch(made)
    return sink.getvalue()


def parquet_of(journal: Iterable[Frame], names_of: NamesOf) -> tuple[bytes, int]:
    """Return the predictions of a journal as a Parquet file, one row each, and how many there are."""
    sink, rows = BytesIO(), 0
    with pq.ParquetWriter(sink, _SCHEMA, compression="zstd") as writer:
        for frame in journal:
            if frame.kind == Kind.LINES:
                table = _of_lines(frame.payload)
            elif frame.kind == Kind.BATCH:
                table = _of_batch(frame.payload, names_of)
            else:
                continue
            writer.write_table(table)
            rows += table.num_rows
    return sink.getvalue(), rows


def parquet_of_events(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Return events of the trail as a Parquet file."""
    sink = BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), sink, compression="zstd")
    return sink.getvalue()


def names_any(data: bytes, words: Sequence[str]) -> bool:
    """Say whether a text of a Parquet file holds one of some words."""
    table = pq.read_table(pa.BufferReader(data))
    texts = [table.column(field.name) for field in table.schema if pa.types.is_string(field.type)]
    return any(word in (text or "") for column in texts for text in column.unique().to_pylist() for word in words)


def _of_lines(payload: memoryview) -> Any:
    """Return lines of JSON as rows; Arrow reads them, because Python would take longer than to write them."""
    table = pj.read_json(
        pa.BufferReader(payload),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(payload) + 1),
        parse_options=pj.ParseOptions(explicit_schema=_LINE, unexpected_field_behavior="ignore"),
    )
    columns = {name: table.column(_READ_AS.get(name, name)) for name in _SCHEMA.names if name != "series_number"}
    columns["caller"] = columns["caller"].fill_null("")
    columns["series_number"] = pa.nulls(table.num_rows, pa.int32())
    return pa.table([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)


def _of_batch(payload: memoryview, names_of: NamesOf) -> Any:
    with pa.ipc.open_stream(pa.py_buffer(payload)) as reader:
        table = reader.read_all()
    about = json.loads(table.schema.metadata[_ABOUT])
    n, has = table.num_rows, table.column_names
    numbers = table.column("series").to_numpy() if "series" in has else None
    names = names_of(numbers) if numbers is not None else table.column("series_id")
    score = table.column("score").to_numpy()
    refs = about["refs"] or [["", ""]]
    models = table.column("model").to_numpy() if "model" in has else np.zeros(n, np.int16)
    is_none = models < 0
    columns: dict[str, Any] = {
        "at": np.full(n, about["at"], np.int64),
        "request_id": [about["request_id"]] * n,
        "caller": [about["caller"]] * n,
        "series_id": [name or None for name in names] if numbers is not None else names,
        "series_number": numbers if numbers is not None else pa.nulls(n, pa.int32()),
        "timestamp": table.column("timestamp") if "timestamp" in has else np.full(n, about["timestamp"], np.int64),
        "value": table.column("value"),
        "anomaly_score": pa.array(score, mask=np.isnan(score)),
        "anomaly": score > THRESHOLD,
        "confidence": pa.nulls(n, pa.string()),
        "model_id": pa.array(np.array([ref[0] for ref in refs])[models], pa.string(), mask=is_none),
        "model_version": pa.array(np.array([ref[1] for ref in refs])[models], pa.string(), mask=is_none),
        "loaded_from": pa.nulls(n, pa.string()),
        "ms": np.full(n, about["ms"]),
    }
    return pa.table(columns).cast(_SCHEMA)
