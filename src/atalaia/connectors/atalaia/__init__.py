"""The typed Python client of Atalaia's own API.

::

    from atalaia.connectors.atalaia import Client, Point

    with Client("http://127.0.0.1:8460") as client:
        client.points.add([Point("pump 7", 1397114100, 91.2)])
        for anomaly in client.anomalies.iterate(series_id="pump 7"):
            print(anomaly.peak_at, anomaly.explanation)
"""

from atalaia.connectors.atalaia.access import Me, ServiceToken, Token, User
from atalaia.connectors.atalaia.answers import (
    Accepted,
    Anomaly,
    Bucket,
    Challenge,
    Deployment,
    Feedback,
    Fleet,
    Health,
    Job,
    JobRef,
    Model,
    ModelMetrics,
    ModelUsed,
    Page,
    Prediction,
    Promotion,
    Readiness,
    Reloaded,
    Resolved,
    SeenPoint,
    Series,
    SeriesBuckets,
    SeriesPoints,
    Version,
    Wave,
    WaveFleet,
    WaveRef,
)
from atalaia.connectors.atalaia.assets import Asset, AssetDetail, AssetScore
from atalaia.connectors.atalaia.audit import AuditEvent
from atalaia.connectors.atalaia.client import Client
from atalaia.connectors.atalaia.connection import Retry
from atalaia.connectors.atalaia.events import KnownEvent
from atalaia.connectors.atalaia.explanations import AnomalyExplanation, PointExplanation
from atalaia.connectors.atalaia.incidents import CauseMetric, RootCause, Suspect
from atalaia.connectors.atalaia.paging import iterate, pages
from atalaia.connectors.atalaia.privacy import Certificate, ErasureRef, FoundSubject
from atalaia.connectors.atalaia.requests import Columns, Point, TrainingConfig
from atalaia.connectors.atalaia.training import job_error
from atalaia.connectors.atalaia.waves import wave_error

__all__ = [
    "Accepted",
    "Anomaly",
    "AnomalyExplanation",
    "Asset",
    "AssetDetail",
    "AssetScore",
    "AuditEvent",
    "Bucket",
    "CauseMetric",
    "Certificate",
    "Challenge",
    "Client",
    "Columns",
    "Deployment",
    "ErasureRef",
    "Feedback",
    "Fleet",
    "FoundSubject",
    "Health",
    "Job",
    "JobRef",
    "KnownEvent",
    "Me",
    "Model",
    "ModelMetrics",
    "ModelUsed",
    "Page",
    "Point",
    "PointExplanation",
    "Prediction",
    "Promotion",
    "Readiness",
    "Reloaded",
    "Resolved",
    "Retry",
    "RootCause",
    "SeenPoint",
    "Series",
    "SeriesBuckets",
    "SeriesPoints",
    "ServiceToken",
    "Suspect",
    "Token",
    "TrainingConfig",
    "User",
    "Version",
    "Wave",
    "WaveFleet",
    "WaveRef",
    "iterate",
    "job_error",
    "pages",
    "wave_error",
]
