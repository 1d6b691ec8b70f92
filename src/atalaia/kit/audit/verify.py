"""Walks the trail and all journals, and says what is not as it was written.

The trail and the journals are anchored in each other: the trail tells of every file of the journal, how many
predictions it holds and the hash that it ends with, and every file tells of the event that was the last when it was
opened. Whoever changes one of them has to change all that came after, in the other too, and what was exported.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cramjam
from sqlalchemy import select

from atalaia.core.errors import AtalaiaError
from atalaia.kit.audit.export import Told, told_by
from atalaia.kit.audit.frames import START, Kind, Opened, opened
from atalaia.kit.audit.segments import EXPORTED, WAITING, is_being_written, mapped, process_of, segments
from atalaia.kit.blobs import Blobs, sha256_of
from atalaia.kit.database import Database
from atalaia.kit.notes import GENESIS, PRUNED, AuditEventRow, AuditHeadRow, hash_of

_PAGE = 5_000
_JOURNAL_ACTIONS = (
    "journal_opened",
    "journal_closed",
    "journal_recovered",
    "journal_exported",
    "journal_removed",
    "journal_empty",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it was written, and where."""

    where: str
    what: str


@dataclass(slots=True)
class Verdict:
    """What was looked at, and what was found."""

    events: int = 0
    journals: int = 0
    predictions: int = 0
    findings: list[Finding] = field(default_factory=list[Finding])

    def add(self, where: str, what: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(where, what))


@dataclass(slots=True)
class _Known:
    """What the trail says of one segment: the last that was said of each thing."""

    first: str = ""
    last: str = ""
    count: int | None = None
    exported: dict[str, Any] = field(default_factory=dict[str, Any])
    is_gone: bool = False


class Verifier:
    """Looks at one data folder, its database and its blob store."""

    def __init__(self, folder: Path, database: Database, blobs: Blobs) -> None:
        self._folder = folder
        self._database = database
        self._blobs = blobs
        self._hashes: dict[int, str] = {}
        self._known: dict[str, _Known] = {}
        self._ends: dict[str, tuple[Opened, str]] = {}

    def verify(self) -> Verdict:
        """Look at everything.

        Raises
        ------
        Unavailable
            When the database cannot be read.
        """
        verdict = Verdict()
        # Files first: what is written meanwhile is in the trail by the time that it is read, or still open.
        local = [*segments(self._folder / EXPORTED), *segments(self._folder / WAITING)]
        live = {path.stem for path in local if is_being_written(path)}
        told = {path.stem: _read(path) for path in local}
        self._verify_trail(verdict)
        for name, found in sorted(told.items()):
            if found is not None:
                self._verify_journal(verdict, name, found, is_live=name in live)
        for name, known in sorted(self._known.items()):
            self._verify_known(verdict, name, known, is_local=told.get(name) is not None)
        self._verify_order(verdict)
        return verdict

    def _verify_trail(self, verdict: Verdict) -> None:
        with self._database.read() as session:
            head = session.scalar(select(AuditHeadRow))
            sequence = 0 if head is None else head.pruned_to
            previous = GENESIS
            tombstones: dict[int, str] = {}
            is_first = sequence > 0
            first_previous = ""
            for row in _rows(session):
                if is_first:
                    previous, first_previous, is_first = row.previous, row.previous, False
                where = f"event {row.sequence}"
                if row.sequence != sequence + 1:
                    verdict.add(f"event {sequence + 1}", f"missing, up to {row.sequence - 1}")
                elif row.previous != previous:
                    verdict.add(where, "does not follow the event before it")
                if row.hash != _hash_of(row):
                    verdict.add(where, "was altered")
                sequence, previous = row.sequence, row.hash
                self._hashes[sequence] = previous
                verdict.events += 1
                self._learn(row, tombstones)
        if head is not None and (head.sequence, head.hash) != (sequence, previous):
            verdict.add("trail", f"ends with event {sequence}, and ended with {head.sequence} when it was written")
        elif head is None and verdict.events:
            verdict.add("trail", "its head is missing")
        if first_previous and head is not None and tombstones.get(head.pruned_to) != first_previous:
            verdict.add("trail", f"events up to {head.pruned_to} are gone, and no tombstone tells of that")

    def _learn(self, row: AuditEventRow, tombstones: dict[int, str]) -> None:
        if row.action != PRUNED and row.action not in _JOURNAL_ACTIONS:
            return
        if row.hash != _hash_of(row):  # which is a finding already
            return
        detail: dict[str, Any] = json.loads(row.detail)
        if row.action == PRUNED:
            tombstones[detail["up_to"]] = detail["last_hash"]
            return
        known = self._known.setdefault(row.subject, _Known())
        known.first = detail.get("first", known.first)
        known.last = detail.get("last", known.last)
        known.count = detail.get("count", known.count)
        if row.action == "journal_exported":
            known.exported = detail
        known.is_gone = known.is_gone or row.action in ("journal_removed", "journal_empty")

    def _verify_journal(self, verdict: Verdict, name: str, told: Told, *, is_live: bool) -> None:
        where = f"journal {name}"
        verdict.journals += 1
        verdict.predictions += told.count
        damage = told.damage
        if damage is not None and not (is_live and damage.is_torn):
            verdict.add(where, str(damage))
        if not told.frames:
            if damage is None and not is_live:
                verdict.add(where, "is empty")
            return
        first = opened(told.frames[0])
        self._ends[name] = (first, told.last)
        if first.segment != name:
            verdict.add(where, f"is {first.segment} under another name")
        if first.trail in self._hashes and self._hashes[first.trail] != first.trail_hash:
            verdict.add(where, f"knows event {first.trail} of the trail as another one")
        elif self._hashes and first.trail > max(self._hashes):
            verdict.add(where, f"knows event {first.trail} of the trail, which is missing there")
        if any(frame.kind == Kind.CLOSED for frame in told.frames[:-1]):
            verdict.add(where, "goes on behind its end")
        self._compare(verdict, where, name, told, is_live=is_live)

    def _compare(self, verdict: Verdict, where: str, name: str, told: Told, *, is_live: bool) -> None:
        known = self._known.get(name)
        if known is None:
            if not is_live:
                verdict.add(where, "is foreign: the trail does not tell of it")
            return
        if known.first and known.first != told.frames[0].hash.hex():
            verdict.add(where, "is not the one that the trail tells of")
        elif known.last and known.last != told.last:
            verdict.add(
                where, f"holds {told.count} predictions, and the trail tells of {known.count}: it was changed"
            )

    def _verify_known(self, verdict: Verdict, name: str, known: _Known, *, is_local: bool) -> None:
        if known.is_gone:
            return
        if not known.exported:
            if not is_local:
                verdict.add(f"journal {name}", "is missing, and was not exported")
            return
        for key, digest in (("journal", "sha256"), ("parquet", "parquet_sha256")):
            where = known.exported.get(key, "")
            try:
                data = self._blobs.get(where)
                raw = bytes(cramjam.zstd.decompress(data)) if key == "journal" else data
            except (AtalaiaError, cramjam.DecompressionError) as error:
                verdict.add(where, f"cannot be read: {error}")
                continue
            if sha256_of(raw) != known.exported.get(digest):
                verdict.add(where, "is not what was exported")
            elif key == "journal" and not is_local:
                self._verify_journal(verdict, name, told_by(raw), is_live=False)

    def _verify_order(self, verdict: Verdict) -> None:
        """Hold the files of each process against each other: each one begins with the hash of the one before."""
        for name, (first, _) in sorted(self._ends.items()):
            process, number = process_of(name)
            before = self._ends.get(f"{process}-{number - 1:08d}")
            if number == 1 and first.previous != START.hex():
                verdict.add(f"journal {name}", "is the first of its process, and follows another")
            elif before is not None and before[1] != first.previous:
                verdict.add(f"journal {name}", "does not follow the file before it")


def _rows(session: Any) -> Iterator[AuditEventRow]:
    after = -1
    while True:
        query = select(AuditEventRow).where(AuditEventRow.sequence > after).order_by(AuditEventRow.sequence)
        rows = session.scalars(query.limit(_PAGE)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].sequence
        session.expunge_all()


def _hash_of(row: AuditEventRow) -> str:
    try:
        return hash_of(row.previous, row.sequence, row)
    except ValueError:  # what stands there is no hash
        return ""


def _read(path: Path) -> Told | None:
    try:
        with mapped(path) as data:
            return told_by(data)
    except FileNotFoundError:  # it was exported meanwhile; its other copy is looked at
        return None
