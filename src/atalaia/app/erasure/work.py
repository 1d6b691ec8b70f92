"""The job that erases, step by step.

How far it is stands in the table, written in the transaction of each step: whoever takes the job over goes on
there. Each step bears to be done twice. The series become blank first; from then on nothing of them is added, so
that what follows has an end. Objects that nothing names any more are noted before they are deleted.
"""

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.orm import Session

from atalaia.algorithms.models import FleetModel
from atalaia.app.erasure.certificate import certificate_of
from atalaia.app.erasure.parts import Parts
from atalaia.app.erasure.search import DEPLOYMENTS, forms_of, search
from atalaia.core.clock import now_us
from atalaia.core.errors import AtalaiaError, Stale, Unavailable
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.blobs.turns import alone
from atalaia.kit.erasures import KIND, ErasureRow, Plan, Subject, encoded, erasure
from atalaia.kit.idempotency import erase_keys
from atalaia.kit.jobs import Outcome, Run, Work
from atalaia.kit.jobs.erasure import erase_jobs, leases, still_held
from atalaia.kit.notes import note
from atalaia.lifecycle.training import KIND as TRAINING
from atalaia.serving.store import erase_counts
from atalaia.signals.erasure import again
from atalaia.signals.tasks import COMPACT, RETAIN

WAITED_FOR = (TRAINING, COMPACT, RETAIN)
"""Kinds of jobs that may have read what is erased, and write it somewhere when they end."""
_POLL_S = 0.2
_WAIT_S = 1_800.0
_SCRUBS = 20
_LOOKS = 25
_SCRUB_PAUSE_S = 0.5
_LEAST_WORD = 4
"""Shorter words stand everywhere, and are not searched for."""


class Erasing:
    """One attempt at one erasure."""

    def __init__(self, parts: Parts, run: Run) -> None:
        self._parts = parts
        self._run = run
        self._id: str = run.payload["erasure"]
        self._step = 0
        self.steps: tuple[Callable[[], None], ...] = (
            self._bury,
            self._wait,
            self._models,
            self._registry,
            self._deploy,
            self._blocks,
            self._records,
            self._objects,
            self._scrub,
            self._search,
            self._scrub,
        )

    def work(self) -> Outcome:
        """Do what is left to do."""
        while (step := self._row().step) < len(self.steps):
            self._step = step
            self._run.report(step / (len(self.steps) + 1))
            self.steps[step]()
        return Outcome({"certificate_id": self._id}, self._certify)

    def _bury(self) -> None:
        """Make the series blank, with what would bring them back."""
        parts, plan = self._parts, self._plan()
        asked = plan.subject
        value = asked.value if asked.kind == "series_id" else asked.value.partition(":")[2]

        def tell(
            session: Session, series: dict[int, str], told: dict[str, Any], anomaly_ids: list[str], old: list[str]
        ) -> None:
            plan.series, plan.objects = series, old
            ids = self._ids(plan)
            keys = [str(ModelKey(Scope.SERIES, name)) for name in ids]
            plan.names = [*ids, *keys, *anomaly_ids, *(f"POST /anomalies/{name}/feedback" for name in anomaly_ids)]
            words = dict.fromkeys([*ids, *parts.privacy.known_as(value)])
            plan.words = [word for word in words if len(word) >= _LEAST_WORD]
            plan.waits = leases(session, WAITED_FOR)
            hours = erase_counts(session, sorted(series))
            self._done(session, {**told, "hours_of_counts_erased": hours}, plan)

        parts.series.bury(asked, tell)

    def _wait(self) -> None:
        """Wait for jobs that had begun before: they may have read what is erased by now."""
        plan, until = self._plan(), time.monotonic() + _WAIT_S
        while plan.waits:
            with self._parts.database.read() as session:
                if not still_held(session, plan.waits):
                    break
            if time.monotonic() > until:
                raise Unavailable("database_busy", "jobs from before the erasure go on; it is tried again later")
            self._run.report(self._run.progress)
            time.sleep(_POLL_S)
        self._finish({}, plan)

    def _models(self) -> None:
        parts, plan = self._parts, self._plan()
        names = set(self._ids(plan))
        keys = [str(ModelKey(Scope.SERIES, name)) for name in names]
        objects = list(plan.objects)

        def attempt() -> None:
            found = parts.models.find(names, keys, lambda done: self._run.report(self._run.progress))
            with parts.database.write() as session:
                told, old = parts.models.apply(session, found)
                plan.models = found.own
                plan.rewritten = [(version.key, version.number) for version, _ in found.shared]
                plan.objects = [*objects, *old]
                unread = {"unread": found.unread} if found.unread else {}
                self._done(session, {**told, **unread}, plan)

        again(attempt)

    def _registry(self) -> None:
        plan = self._plan()
        stays = self._parts.models.register(plan.models, plan.rewritten)
        self._finish({"registry_keeps": stays} if stays else {}, plan)

    def _deploy(self) -> None:
        """Let those who serve load what the registry has now, and learn on from states without the series."""
        parts, plan = self._parts, self._plan()
        names, objects = set(self._ids(plan)), list(plan.objects)
        gone = {*plan.models, *(key for key, _ in plan.rewritten if ModelKey.parse(key).scope is Scope.ASSET)}

        def attempt() -> None:
            swap = parts.signals.memory.rewrite(lambda name, data: _state_without(name, data, gone, names))
            with parts.database.write() as session:
                states = swap(session)
                parts.models.deploy(session, [key for key, _ in plan.rewritten])
                plan.objects = [*objects, *states]
                self._done(session, {}, plan)

        again(attempt)
        with suppress(AtalaiaError):  # others find it by themselves; this process does now
            parts.refresh()

    def _blocks(self) -> None:
        parts, plan = self._parts, self._plan()
        numbers = sorted(plan.series)

        def tell(session: Session, told: Mapping[str, Any], old: Iterable[str]) -> None:
            plan.objects += old
            self._note(session, told, plan)

        if numbers:
            parts.series.blocks(numbers, tell, lambda _: self._run.report(self._run.progress))
            plan.objects += parts.signals.history.strays(numbers)
        self._finish({}, plan)

    def _records(self) -> None:
        """Delete facts, jobs and remembered answers that name the series."""
        parts, plan = self._parts, self._plan()
        with parts.database.write() as session:
            names = [*plan.names, *plan.models]
            told = {
                "facts_erased": parts.outbox.erase(session, names),
                "jobs_erased": erase_jobs(session, names, but=self._run.job_id),
                "answers_erased": erase_keys(session, names),
            }
            self._done(session, told, plan)

    def _objects(self) -> None:
        plan = self._plan()
        self._delete(plan.objects)
        self._finish({"objects_deleted": len(set(plan.objects))}, plan)

    def _delete(self, keys: Sequence[str]) -> None:
        """Delete objects while nobody replaces any: whoever had read one before would bring it back."""
        with alone(self._parts.database, lambda: self._run.report(self._run.progress)) as go_on:
            for key in keys:
                go_on()
                self._parts.blobs.delete(key)

    def _scrub(self) -> None:
        """Leave nothing legible in free pages; those who read are waited for."""
        for left in reversed(range(_SCRUBS)):
            self._run.report(self._run.progress)
            try:
                self._parts.database.scrub()
                break
            except Unavailable:
                if not left:
                    raise
                time.sleep(_SCRUB_PAUSE_S)
        self._finish({}, self._plan())

    def _search(self) -> None:
        """Look whether anything is left; note what was found, and forget who was meant."""
        parts, plan = self._parts, self._plan()
        found: dict[str, Any] = {}
        for _ in range(_LOOKS):
            self._delete(parts.signals.memory.strays(forms_of(plan.words)))  # of whoever was overtaken just now
            found = search(parts, plan.words, lambda: self._run.report(self._run.progress))
            if DEPLOYMENTS not in found["files"] and "memory" not in found["objects"]:
                break
            time.sleep(_POLL_S)  # predictors write the one anew, soon, and the follower the other
        with parts.database.write() as session:
            self._done(session, {"search": found}, None)

    def _certify(self, session: Session) -> Mapping[str, Any]:
        row = erasure(session, self._id)
        row.finished_at = now_us()
        certificate = certificate_of(row, self._parts.settings)
        signed = self._parts.signatures.sign(encoded(certificate))
        row.certificate, row.plan = encoded(certificate).decode(), None
        row.signature, row.signed_by = signed.text, signed.key_id
        note(session, "subject_erased", row.id, subject_hash=row.subject_hash, counts=certificate["counts"])
        told = {"certificate": certificate, "signature": signed.text, "signed_by": signed.key_id}
        return {"certificate": told}

    def _row(self) -> ErasureRow:
        with self._parts.database.read() as session:
            row = session.get(ErasureRow, self._id)
        if row is None:
            raise LookupError(f"there is no erasure {self._id}")
        return row

    def _plan(self) -> Plan:
        packed = self._row().plan
        return Plan.unpacked(packed) if packed else Plan(Subject("", ""))

    def _ids(self, plan: Plan) -> list[str]:
        own = [plan.subject.value] if plan.subject.kind == "series_id" else []
        return list(dict.fromkeys([*plan.series.values(), *own]))

    def _finish(self, told: Mapping[str, Any], plan: Plan) -> None:
        with self._parts.database.write() as session:
            self._done(session, told, plan)

    def _done(self, session: Session, told: Mapping[str, Any], plan: Plan | None) -> None:
        self._note(session, told, plan)
        erasure(session, self._id).step = self._step + 1

    def _note(self, session: Session, told: Mapping[str, Any], plan: Plan | None) -> None:
        """Add to what was counted, and keep the plan; None forgets it.

        Raises
        ------
        Stale
            When another worker has done this step.
        """
        row = erasure(session, self._id)
        if row.step != self._step:
            raise Stale("lease_lost", "another worker goes on with this erasure")
        sums = {name: row.told.get(name, 0) + count for name, count in told.items() if isinstance(count, int)}
        row.told = {**row.told, **told, **sums}
        is_known = row.plan is not None and plan is not None
        row.plan = plan.packed() if plan is not None and is_known else None
        session.flush()


def _state_without(name: str, data: bytes, gone: Container[str], names: set[str]) -> bytes | None:
    """Return the state of a streaming model without some series, None when the model is gone.

    One of an asset stands behind an artefact; with that another one it catches up from the history of the others.
    """
    key = name.rpartition("/v")[0]
    if key in gone:
        return None
    if ModelKey.parse(key).scope is Scope.ASSET:
        return data
    try:
        model = FleetModel.from_bytes(data)
    except AtalaiaError:  # nobody can read it: what it knew is learnt anew
        return None
    return model.without(names).to_bytes() if names.intersection(model.series_ids) else data


def works(parts: Parts) -> dict[str, Work]:
    """Return what a worker does for erasures."""
    return {KIND: lambda run: Erasing(parts, run).work()}
