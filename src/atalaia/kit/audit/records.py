"""What is kept of a single prediction: one line of JSON, in the log and in the journal alike."""

from datetime import datetime

import msgspec


class Prediction(msgspec.Struct, gc=False, omit_defaults=True):
    """One prediction on request: what was asked and answered, by which model, and in how many milliseconds."""

    request_id: str
    series_id: str
    point_at: datetime
    value: float | None
    anomaly: bool
    anomaly_score: float | None
    model_id: str
    model_version: str
    ms: float
    timestamp: datetime
    event: str
    level: str
    confidence: str = ""
    loaded_from: str = ""
    caller: str = ""
    trace_id: str = ""
    span_id: str = ""
