"""Erasures of one subject's data: what was asked, how far it is, and the signed certificate in the end.

Who was meant stands in `plan` while the erasure goes on, packed so that no search of the file takes it for data
that was left behind. The last step empties it; what stays is a keyed hash.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, LargeBinary, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.errors import Missing
from atalaia.kit.database import Table
from atalaia.kit.signatures import Signatures, Verdict

KIND = "erase_subject"
"""The kind of job that erases."""
STATEMENT = "atalaia.erasure.v1"
_VEIL = 0x5A
"""Compression may leave short words as they are."""


class ErasureRow(Table):
    """One erasure."""

    __tablename__ = "erasures"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    subject_hash: Mapped[str] = mapped_column(String(64), index=True)
    plan: Mapped[bytes | None] = mapped_column(LargeBinary)
    step: Mapped[int] = mapped_column(Integer, default=0)
    told: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    job_id: Mapped[str] = mapped_column(String(32))
    asked_by: Mapped[str] = mapped_column(String(256))
    asked_at: Mapped[int] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    certificate: Mapped[str | None] = mapped_column(Text)
    signature: Mapped[str | None] = mapped_column(String(128))
    signed_by: Mapped[str | None] = mapped_column(String(64))


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose data: one series by its ``series_id``, or all with a ``label`` (``name:value``)."""

    kind: str
    value: str

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(slots=True)
class Plan:
    """What is erased, as far as it is known.

    Attributes
    ----------
    series
        Numbers and ids of the series.
    names
        What texts may call them: ids, keys of models, ids of anomalies.
    words
        What the search in the end looks for.
    objects
        Objects of the store that nothing names any more, to be deleted.
    models
        Keys of models that are gone, and their runs in the registry.
    rewritten
        Keys and numbers of versions whose artefact in the registry is to be replaced.
    waits
        Jobs that ran when the series became blank, by their leases.
    """

    subject: Subject
    series: dict[int, str] = field(default_factory=dict[int, str])
    names: list[str] = field(default_factory=list[str])
    words: list[str] = field(default_factory=list[str])
    objects: list[str] = field(default_factory=list[str])
    models: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    rewritten: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    waits: dict[str, str] = field(default_factory=dict[str, str])

    def packed(self) -> bytes:
        """Return the plan for the table."""
        told = {
            "subject": [self.subject.kind, self.subject.value],
            "series": [[number, name] for number, name in self.series.items()],
            "names": self.names,
            "words": self.words,
            "objects": self.objects,
            "models": self.models,
            "rewritten": self.rewritten,
            "waits": self.waits,
        }
        return bytes(byte ^ _VEIL for byte in zlib.compress(json.dumps(told).encode()))

    @staticmethod
    def unpacked(data: bytes) -> "Plan":
        """Return the plan that `packed` wrote."""
        told: dict[str, Any] = json.loads(zlib.decompress(bytes(byte ^ _VEIL for byte in data)))
        return Plan(
            Subject(*told["subject"]),
            dict(told["series"]),
            told["names"],
            told["words"],
            told["objects"],
            told["models"],
            [(key, number) for key, number in told["rewritten"]],
            told["waits"],
        )


def erasure(session: Session, erasure_id: str) -> ErasureRow:
    """Return an erasure, held until the transaction ends.

    Raises
    ------
    Missing
        ``not_found``.
    """
    query = select(ErasureRow).where(ErasureRow.id == erasure_id).with_for_update()
    row = session.scalar(query.execution_options(populate_existing=True))
    if row is None:
        raise Missing("not_found", f"there is no erasure {erasure_id[:40]!r}")
    return row


def unfinished(session: Session, subject_hash: str) -> ErasureRow | None:
    """Return the erasure of a subject that has not ended, if there is one."""
    going_on = (ErasureRow.subject_hash == subject_hash, ErasureRow.finished_at.is_(None))
    return session.scalar(select(ErasureRow).where(*going_on).order_by(ErasureRow.id).limit(1))


def certified(session: Session, certificate_id: str) -> dict[str, Any]:
    """Return a certificate with its signature.

    Raises
    ------
    Missing
        When there is none, or not yet.
    """
    row = session.get(ErasureRow, certificate_id)
    if row is None or row.certificate is None:
        detail = f"there is no certificate {certificate_id[:40]!r}, or not yet; its job says how far it is"
        raise Missing("not_found", detail)
    return {
        "certificate": json.loads(row.certificate),
        "signature": row.signature or "",
        "signed_by": row.signed_by or "",
    }


def encoded(certificate: Mapping[str, Any]) -> bytes:
    """Return the bytes of a certificate that are signed: JSON with its names in order and no spaces."""
    return json.dumps(certificate, sort_keys=True, separators=(",", ":")).encode()


def judge(signatures: Signatures, told: Mapping[str, Any]) -> Verdict:
    """Say what is to be thought of a certificate with its signature, as `certified` returns it."""
    certificate = told.get("certificate")
    if not isinstance(certificate, dict) or certificate.get("type") != STATEMENT:  # pyright: ignore[reportUnknownMemberType]
        return Verdict.WRONG
    text, key_id = told.get("signature"), told.get("signed_by")
    if not isinstance(text, str) or not isinstance(key_id, str) or not text or not key_id:
        return Verdict.MISSING
    verdict = signatures.judge(encoded(certificate), text, key_id)  # pyright: ignore[reportUnknownArgumentType]
    return Verdict.MISSING if verdict is Verdict.BEFORE else verdict
