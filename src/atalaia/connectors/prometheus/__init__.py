"""Prometheus remote write, versions 1 and 2: from the bytes of a request to series numbers and points."""

from atalaia.connectors.prometheus.api import write_router
from atalaia.connectors.prometheus.door import RemoteWriteDoor
from atalaia.connectors.prometheus.labels import LabelPair, catalogue_labels, series_id_of
from atalaia.connectors.prometheus.series_table import UNKNOWN, SeriesTable
from atalaia.connectors.prometheus.write import Skipped, WriteBatch, WriteLimits, read_write_request, warm_up

__all__ = [
    "UNKNOWN",
    "LabelPair",
    "RemoteWriteDoor",
    "SeriesTable",
    "Skipped",
    "WriteBatch",
    "WriteLimits",
    "catalogue_labels",
    "read_write_request",
    "series_id_of",
    "warm_up",
    "write_router",
]
