"""HTTP doors of erasures."""

from typing import Any, Self

from fastapi import APIRouter
from pydantic import ConfigDict, Field, model_validator

from atalaia.app.erasure.asking import Erasures
from atalaia.core.series import MAX_ID_CHARACTERS
from atalaia.kit.auth.permissions import needs
from atalaia.kit.database import Database
from atalaia.kit.erasures import Subject, certified
from atalaia.kit.web.wire import Wire

_MOST_LABEL = 512
_EXAMPLE: dict[str, Any] = {
    "certificate": {"type": "atalaia.erasure.v1", "certificate_id": "ers_01", "counts": {"series_blanked": 1}},
    "signature": "c2lnbmF0dXJl",
    "signed_by": "a2V5",
}


class SubjectIn(Wire):
    """Whose data: one series, or all with a label. In the body, since addresses are logged on their way."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"label": "user:ada"}, {"series_id": "watch 7"}]})
    series_id: str | None = Field(
        default=None, min_length=1, max_length=MAX_ID_CHARACTERS, description="The id of one series."
    )
    label: str | None = Field(
        default=None,
        min_length=3,
        max_length=_MOST_LABEL,
        description="`name:value` of a label, of all its series.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.series_id is None) == (self.label is None):
            raise ValueError("name either series_id or label")
        named = self.series_id or self.label or ""
        if any(c == "\0" or 0xD800 <= ord(c) < 0xE000 for c in named):  # which no database keeps
            raise ValueError("it holds a NUL, or half of a character")
        return self

    @property
    def subject(self) -> Subject:
        """Who is meant."""
        return Subject("series_id", self.series_id) if self.series_id else Subject("label", self.label or "")


class FoundOut(Wire):
    """What an erasure would touch. Points, facts and jobs that are added meanwhile go too."""

    series: int
    series_ids: list[str] = Field(description="The first twenty.")
    points: int
    anomalies: int
    models: int = Field(description="Of these series alone; they are removed.")
    fleet_models: int = Field(description="Of fleets that hold them; their versions are written anew without them.")


class ErasureOut(Wire):
    """An erasure that goes on."""

    job_id: str
    status: str
    status_url: str
    certificate_id: str
    certificate_url: str = Field(description="Where the certificate is, once the job has ended well.")


class CertificateOut(Wire):
    """A certificate, and the site's signature of it: of its JSON with sorted names and without spaces."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})
    certificate: dict[str, Any]
    signature: str
    signed_by: str


def privacy_router(database: Database, erasures: Erasures) -> APIRouter:
    """Return the doors of erasures."""
    router = APIRouter(prefix="/api/v1/privacy", tags=["privacy"])

    @router.post("/subjects/find")
    @needs("privacy.erase")
    def find_subject(body: SubjectIn) -> FoundOut:
        """Say what an erasure would touch, and change nothing."""
        return FoundOut(**erasures.found(body.subject))

    @router.delete("/subjects", status_code=202)
    @needs("privacy.erase")
    def erase_subject(body: SubjectIn) -> ErasureOut:
        """Erase all data of one subject; asked for again, the erasure that is under way goes on."""
        with database.write() as session:
            asked = erasures.ask(session, body.subject)
        return ErasureOut(
            job_id=asked.job.job_id,
            status=asked.job.status.value,
            status_url=f"/api/v1/jobs/{asked.job.job_id}",
            certificate_id=asked.erasure_id,
            certificate_url=f"/api/v1/privacy/certificates/{asked.erasure_id}",
        )

    @router.get("/certificates/{certificate_id}")
    @needs("privacy.erase")
    def get_certificate(certificate_id: str) -> CertificateOut:
        """Show the certificate of an erasure that has ended."""
        with database.read() as session:
            return CertificateOut(**certified(session, certificate_id))

    return router
