"""The calls about erasures."""

from typing import Any

from msgspec import field

from atalaia.connectors.atalaia.answers import Answer
from atalaia.connectors.atalaia.connection import Connection
from atalaia.connectors.atalaia.requests import segment


class FoundSubject(Answer, frozen=True, kw_only=True):
    """What an erasure would touch."""

    series: int = 0
    series_ids: list[str] = field(default_factory=list[str])
    points: int = 0
    anomalies: int = 0
    models: int = 0
    fleet_models: int = 0


class ErasureRef(Answer, frozen=True, kw_only=True):
    """An erasure that goes on."""

    job_id: str
    status: str = ""
    status_url: str = ""
    certificate_id: str = ""
    certificate_url: str = ""


class Certificate(Answer, frozen=True, kw_only=True):
    """A certificate of erasure, and the signature of its JSON with sorted names and without spaces."""

    certificate: dict[str, Any]
    signature: str = ""
    signed_by: str = ""


class PrivacyCalls:
    """``/privacy``. A subject is one series by its id, or all series with a label (``name:value``)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, *, series_id: str | None = None, label: str | None = None) -> FoundSubject:
        """Return what an erasure would touch; nothing changes."""
        return self._connection.ask("/privacy/subjects/find", FoundSubject, _subject(series_id, label))

    def erase(self, *, series_id: str | None = None, label: str | None = None) -> ErasureRef:
        """Have all data of a subject erased."""
        return self._connection.send("DELETE", "/privacy/subjects", ErasureRef, _subject(series_id, label))

    def certificate(self, certificate_id: str) -> Certificate:
        """Return the certificate of an erasure that has ended well."""
        return self._connection.get(f"/privacy/certificates/{segment(certificate_id)}", Certificate)


def _subject(series_id: str | None, label: str | None) -> dict[str, Any]:
    return {name: value for name, value in (("series_id", series_id), ("label", label)) if value is not None}
