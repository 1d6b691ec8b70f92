"""Files of points: CSV, Parquet and NDJSON of any size, read as batches of columns in constant memory."""

from atalaia.connectors.pointfiles.files import Batch, read
from atalaia.connectors.pointfiles.reading import Reading, Shape, Unit

__all__ = ["Batch", "Reading", "Shape", "Unit", "read"]
