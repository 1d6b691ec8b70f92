"""Promotion: a version in Staging takes over Production, in one transaction."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atalaia.core.clock import now_us
from atalaia.core.errors import Conflict, Missing
from atalaia.core.facts import ChallengerChanged, Fact, ModelPromoted, ModelRegistered
from atalaia.core.models import ModelKey, Stage, version_name
from atalaia.kit.database import Database
from atalaia.kit.facts import Outbox
from atalaia.kit.notes import note
from atalaia.lifecycle import store
from atalaia.lifecycle.ports import Registry
from atalaia.lifecycle.trust import Trust


@dataclass(frozen=True, slots=True)
class Promoted:
    """What a promotion did."""

    key: ModelKey
    number: int
    previous: int | None
    promoted_at: int


@dataclass(frozen=True, slots=True)
class Challenged:
    """Which version serves, and which is scored beside it."""

    key: ModelKey
    production: int
    challenger: int | None


class Promotion:
    """Moves versions between stages, here at once, in the registry soon after."""

    def __init__(self, database: Database, outbox: Outbox, registry: Registry, trust: Trust) -> None:
        self._database = database
        self._outbox = outbox
        self._registry = registry
        self._trust = trust
        outbox.subscribe(ModelRegistered, "registry-stage", self._mirror)
        outbox.subscribe(ModelPromoted, "registry-stage", self._mirror)

    def promote(
        self, session: Session, key: ModelKey, number: int, *, archive_previous: bool, is_fresh: bool = False
    ) -> Promoted:
        """Put version `number` into Production; the one before is archived, or goes back to Staging.

        Its local copy is read once more, unless it `is_fresh`: nobody waits for the artefacts of a whole wave.

        Raises
        ------
        Missing, Conflict
            When there is no such model or version, it is not in Staging, or it is not what its training made.
        """
        model, version = self._staged(session, key, number, "promoted")
        if not is_fresh:
            self._trust.check_copy(version)
        now = now_us()
        previous = self._retire(session, model, now, archive_previous)
        model.challenger = None if model.challenger == number else model.challenger
        version.stage, version.promoted_at = Stage.PRODUCTION.value, now
        model.production, model.revision = number, store.next_revision(session)
        self._outbox.publish(session, ModelPromoted(model.key, number, previous or 0, archive_previous))
        action = "model_rolled_back" if previous is not None and number < previous else "model_promoted"
        stage = (Stage.ARCHIVED if archive_previous else Stage.STAGING).value if previous else None
        versions = {"version": version_name(number), "previous": version_name(previous) if previous else None}
        note(session, action, model.key, **versions, previous_stage=stage, sha256=version.sha256)
        return Promoted(key, number, previous, now)

    def challenge(self, session: Session, key: ModelKey, number: int | None) -> Challenged:
        """Let version `number` be scored beside the one in Production from now on; None ends that.

        Raises
        ------
        Missing, Conflict
            When there is no such model or version, none is in Production, or the version is not in Staging or
            not what its training made.
        """
        if number is None:
            model = store.lock_model(session, key)
            if model is None:
                raise unknown_model(key)
        else:
            model, _ = self._staged(session, key, number, "a challenger")
        if model.production is None:
            raise Conflict("nothing_to_challenge", f"no version of {key} is in Production; promote one first")
        model.challenger, model.revision = number, store.next_revision(session)
        self._outbox.publish(session, ChallengerChanged(model.key, number or 0))
        if number is None:
            note(session, "challenger_cleared", model.key)
        else:
            note(session, "challenger_set", model.key, version=version_name(number))
        return Challenged(key, model.production, number)

    def _staged(
        self, session: Session, key: ModelKey, number: int, to_be: str
    ) -> tuple[store.ModelRow, store.VersionRow]:
        model = store.lock_model(session, key)
        if model is None:
            raise unknown_model(key)
        version = session.get(store.VersionRow, (model.key, number))
        name = version_name(number)
        if version is None:
            detail = f"{key} has no version {name}; the newest is {version_name(model.latest)}"
            raise Missing("unknown_version", detail)
        if version.stage != Stage.STAGING:
            detail = f"{name} of {key} is in {version.stage}, only a version in Staging can be {to_be}"
            raise Conflict("not_in_staging", detail)
        self._trust.check(version)
        return model, version

    def _retire(self, session: Session, model: store.ModelRow, now: int, archive: bool) -> int | None:
        if model.production is None:
            return None
        old = session.get_one(store.VersionRow, (model.key, model.production))
        old.stage = Stage.ARCHIVED.value if archive else Stage.STAGING.value
        old.archived_at = now if archive else None
        return old.number

    def _mirror(self, fact: Fact, _fact_id: int) -> None:
        # The stages as they are now, not as they were when the fact was told: mirroring twice or late is harmless.
        assert isinstance(fact, ModelRegistered | ModelPromoted)
        numbers = {fact.version} | ({fact.previous} if isinstance(fact, ModelPromoted) else set[int]())
        key = ModelKey.parse(fact.model_id)
        with self._database.read() as session:
            rows = [session.get(store.VersionRow, (fact.model_id, number)) for number in sorted(numbers)]
            versions = [store.version_of(row) for row in rows if row is not None]
        for version in versions:
            self._registry.set_stage(key, version.run_id, version.number, version.stage)


def unknown_model(key: ModelKey) -> Missing:
    """Return the error for a model that nobody trained."""
    return Missing("unknown_model", f"nothing was ever trained for {key}; POST /api/v1/training does that")
