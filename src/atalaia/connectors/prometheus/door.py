"""The hot door of remote write: what Prometheus and its agents send, versions 1 and 2.

See https://prometheus.io/docs/specs/prw/remote_write_spec/ and its version 2. What cannot be kept (exemplars,
native histograms, stale markers, values that are no measurements) is counted and left out: an error would make the
sender drop or repeat all of it. A refusal with 4xx makes it drop the request, one with 429 or 5xx repeat it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from atalaia.connectors.prometheus.labels import catalogue_labels, series_id_of
from atalaia.connectors.prometheus.ports import Sink
from atalaia.connectors.prometheus.series_table import UNKNOWN, SeriesTable
from atalaia.connectors.prometheus.write import WriteBatch, WriteLimits, read_write_request
from atalaia.core.clock import MICROS, now_us
from atalaia.core.errors import Fault, Invalid, Unavailable
from atalaia.core.points import NumberArray, Points
from atalaia.kit.privacy import Privacy
from atalaia.kit.telemetry import Telemetry
from atalaia.kit.web.doors import Answer, Call, Headers, HotRoute
from atalaia.kit.web.hot import LARGE_BYTES, in_thread_of

WRITE = "/api/v1/write"
_PROTOS = MappingProxyType({"": 1, "prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2})
_LABEL_BYTES = 400
"""About what a new series takes while it waits to be made."""


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A request that was read.

    Attributes
    ----------
    numbers
        int32[m], the number of each series of the batch, as far as it is known.
    ids
        Of the series without a number, at the positions `unknown` in the batch.
    labels
        By id, for the catalogue.
    """

    batch: WriteBatch
    numbers: NumberArray
    points: Points
    unknown: NDArray[np.intp]
    ids: list[str] = field(default_factory=list[str])
    labels: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


class RemoteWriteDoor:
    """Points from Prometheus come in here.

    Parameters
    ----------
    max_ahead_s
        How far a sample may lie in the future.
    max_new_series
        That one request may bring.
    """

    def __init__(
        self,
        sink: Sink,
        telemetry: Telemetry,
        limits: WriteLimits,
        privacy: Privacy,
        *,
        max_ahead_s: float,
        max_new_series: int,
    ) -> None:
        self._sink = sink
        self._telemetry = telemetry
        self._limits = limits
        self._privacy = privacy
        self._max_ahead_s = max_ahead_s
        self._max_new_series = max_new_series
        self._table = SeriesTable()

    def routes(self) -> list[HotRoute]:
        """Return where the door stands. A body without Content-Encoding is snappy, as the specification has it."""
        return [HotRoute("POST", WRITE, WRITE, self.write, "points.write", encoding="snappy")]

    async def write(self, call: Call) -> Answer:
        """Keep the samples of a remote-write request; the answer comes once they are durable."""
        read = await in_thread_of(self._read, call) if len(call.body) > LARGE_BYTES else self._read(call)
        written = read.points
        try:
            if read.ids:
                written = await self._keep_new(read, len(call.body))
            elif len(written):
                await self._sink.keep_points(written)
        except Unavailable as error:
            if error.code == "series_erased":  # whoever sends it again is asked of the catalogue
                self._table = SeriesTable(self._table.key)
            raise
        self._count(read.batch, len(written))
        return Answer(status=204, headers=_written(len(written)))

    def _read(self, call: Call) -> _Read:
        batch = read_write_request(call.body, _version(call), self._table.key, self._limits)
        numbers, unknown = batch.resolve(self._table)
        if not len(unknown):
            return _Read(batch, numbers, self._in_time(batch.points(numbers)), unknown)
        if len(unknown) > self._max_new_series:
            most = self._max_new_series
            detail = f"{len(unknown)} new series are too many for one request, at most {most}; nothing was kept"
            raise Invalid("too_many_new_series", detail, faults=[Fault("/timeseries", "too many are new")])
        # The table knows labels by a keyed hash alone, so that this is done once a series.
        sent = [self._privacy.labels(batch.labels(position)) for position in unknown.tolist()]
        ids = [self._privacy.series_id(series_id_of(labels)) for labels in sent]
        labels = {name: catalogue_labels(own) for name, own in zip(ids, sent, strict=True)}
        return _Read(batch, numbers, Points.empty(), unknown, ids, labels)

    async def _keep_new(self, read: _Read, nbytes: int) -> Points:
        batch, hashes = read.batch, read.batch.hashes[read.unknown]
        kept: list[Points] = []

        def numbered(numbers: NumberArray) -> NumberArray:
            by_id = dict(zip(read.labels, numbers.tolist(), strict=True))
            return np.array([by_id[name] for name in read.ids], np.int32)

        def points(numbers: Sequence[int]) -> Points:
            # The table learns only what is durable; until then the numbers are looked up beside it.
            own = SeriesTable(self._table.key)
            own.add(hashes, numbered(np.asarray(numbers, np.int32)))
            every = np.where(read.numbers == UNKNOWN, own.numbers_of(batch.hashes), read.numbers)
            kept.append(self._in_time(batch.points(every)))
            return kept[0]

        def learn(numbers: NumberArray) -> None:
            self._table.add(hashes, numbered(numbers))

        waiting = nbytes + 24 * len(batch) + _LABEL_BYTES * len(read.ids)
        await self._sink.keep_labelled(read.labels, points, learn, waiting)
        return kept[0]

    def _in_time(self, points: Points) -> Points:
        return points.take(points.timestamps <= now_us() + int(self._max_ahead_s * MICROS))

    def _count(self, batch: WriteBatch, written: int) -> None:
        skipped = asdict(batch.skipped)
        skipped["out_of_range_times"] += len(batch) - written
        for reason, count in skipped.items():
            if count:
                self._telemetry.count("remote_write_skipped_total", reason, by=count)


def _version(call: Call) -> int:
    """Return which message the body is.

    Raises
    ------
    Invalid
        ``unsupported_media_type`` when it is none of those that are read here.
    """
    media, *parameters = (part.strip() for part in call.header(b"content-type").split(";"))
    protos = [parameter[len("proto=") :].strip('"') for parameter in parameters if parameter.startswith("proto=")]
    version = _PROTOS.get(protos[0] if protos else "")
    if media.lower() not in ("application/x-protobuf", "") or version is None:
        detail = (
            "expected application/x-protobuf, with proto=prometheus.WriteRequest or io.prometheus.write.v2.Request"
        )
        raise Invalid("unsupported_media_type", detail, faults=[Fault("/headers/content-type", "not read here")])
    return version


def _written(samples: int) -> Headers:
    """Return what version 2 tells a sender of what was kept; a sender of version 1 does not look."""
    counts = (("samples", samples), ("histograms", 0), ("exemplars", 0))
    return tuple((f"x-prometheus-remote-write-{name}-written".encode(), str(n).encode()) for name, n in counts)
