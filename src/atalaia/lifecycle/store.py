"""The tables of lifecycle and every query on them."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, ForeignKey, Integer, String, delete, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from atalaia.core.clock import from_us
from atalaia.core.models import Deployment, ModelKey, ModelVersion, Stage, Statement
from atalaia.kit.database import Table, chunks, insert_missing

_REMOVALS = 2


class ModelRow(Table):
    """What is trained: one series or one fleet.

    `production` is the number of the version that serves, `challenger` that of the one that is scored beside it.
    """

    __tablename__ = "models"

    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    latest: Mapped[int] = mapped_column(Integer, default=0)
    production: Mapped[int | None] = mapped_column(Integer)
    challenger: Mapped[int | None] = mapped_column(Integer)
    revision: Mapped[int] = mapped_column(BigInteger, default=0, index=True)
    created_at: Mapped[int] = mapped_column(BigInteger)


class VersionRow(Table):
    """One training's result."""

    __tablename__ = "model_versions"

    key: Mapped[str] = mapped_column(ForeignKey("models.key"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    stage: Mapped[str] = mapped_column(String(16))
    algorithm: Mapped[str] = mapped_column(String(64))
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    metrics: Mapped[dict[str, float]] = mapped_column(JSON)
    series_count: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    run_id: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(String(32), unique=True)
    learnt: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[int] = mapped_column(BigInteger)
    promoted_at: Mapped[int | None] = mapped_column(BigInteger)
    archived_at: Mapped[int | None] = mapped_column(BigInteger)
    signature: Mapped[str | None] = mapped_column(String(128))
    signed_by: Mapped[str | None] = mapped_column(String(64))

    @property
    def statement(self) -> Statement:
        """What the signature must say."""
        return Statement(ModelKey.parse(self.key), self.sha256, self.algorithm, self.job_id, self.created_at)


class WaveRow(Table):
    """Trainings of many fleets that were asked for together."""

    __tablename__ = "training_waves"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    promote: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[int] = mapped_column(BigInteger)
    promoted_at: Mapped[int | None] = mapped_column(BigInteger)


class WaveFleetRow(Table):
    """One training of a wave; `number` is the version that it made, 0 when there was nothing to learn from."""

    __tablename__ = "training_wave_fleets"

    wave_id: Mapped[str] = mapped_column(ForeignKey("training_waves.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(300), primary_key=True)
    job_id: Mapped[str] = mapped_column(String(32), index=True)
    number: Mapped[int | None] = mapped_column(Integer)
    series: Mapped[int] = mapped_column(Integer, default=0)
    points: Mapped[int] = mapped_column(BigInteger, default=0)


class RevisionRow(Table):
    """Counts the changes of deployments; its row also orders them. A second row counts removals."""

    __tablename__ = "deployment_revision"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)


def lock_model(session: Session, key: ModelKey) -> ModelRow | None:
    """Return the row of a model and hold it until the transaction ends."""
    query = select(ModelRow).where(ModelRow.key == str(key)).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def lock_or_add_model(session: Session, key: ModelKey, now_us: int) -> ModelRow:
    """Return the row of a model, added if there is none, and hold it until the transaction ends."""
    row = {"key": str(key), "latest": 0, "revision": 0, "created_at": now_us}
    insert_missing(session, ModelRow, [row], ("key",))
    model = lock_model(session, key)
    assert model is not None
    return model


def lock_models(session: Session, keys: Sequence[str]) -> dict[str, ModelRow]:
    """Return the rows of models by key and hold them until the transaction ends.

    They are taken in order of key: two that take many never wait for each other.
    """
    found: dict[str, ModelRow] = {}
    for chunk in chunks(sorted(keys)):
        chosen = select(ModelRow).where(ModelRow.key.in_(chunk))
        query = chosen.order_by(ModelRow.key).with_for_update().execution_options(populate_existing=True)
        found.update({row.key: row for row in session.scalars(query)})
    return found


def next_revision(session: Session) -> int:
    """Return the number of the next change of any deployment."""
    insert_missing(session, RevisionRow, [{"id": 1, "value": 0}], ("id",))
    session.execute(update(RevisionRow).where(RevisionRow.id == 1).values(value=RevisionRow.value + 1))
    query = select(RevisionRow.value).where(RevisionRow.id == 1)
    return session.scalars(query).one()


def count_removal(session: Session) -> None:
    """Let those who serve know that models are gone: what is gone has no revision."""
    insert_missing(session, RevisionRow, [{"id": _REMOVALS, "value": 0}], ("id",))
    counted = update(RevisionRow).where(RevisionRow.id == _REMOVALS)
    session.execute(counted.values(value=RevisionRow.value + 1))


def removals(session: Session) -> int:
    """Return how often models were removed."""
    return session.scalar(select(RevisionRow.value).where(RevisionRow.id == _REMOVALS)) or 0


def remove_model(session: Session, key: str) -> None:
    """Delete a model, its versions, and its part in waves."""
    session.execute(delete(WaveFleetRow).where(WaveFleetRow.key == key))
    session.execute(delete(VersionRow).where(VersionRow.key == key))
    session.execute(delete(ModelRow).where(ModelRow.key == key))


def versions_of(session: Session, keys: Sequence[str]) -> list[VersionRow]:
    """Return all versions of the models, newest first."""
    query = select(VersionRow).where(VersionRow.key.in_(keys))
    return list(session.scalars(query.order_by(VersionRow.key, VersionRow.number.desc())))


def models_page(session: Session, *, after: str | None, limit: int) -> list[ModelRow]:
    """Return models in order of key, from behind `after`."""
    query = select(ModelRow).order_by(ModelRow.key).limit(limit)
    if after is not None:
        query = query.where(ModelRow.key > after)
    return list(session.scalars(query))


def deployments_after(session: Session, revision: int) -> list[Deployment]:
    """Return the deployments of the models that changed after `revision`, oldest change first."""
    serves = or_(ModelRow.production == VersionRow.number, ModelRow.challenger == VersionRow.number)
    joined = (ModelRow.key == VersionRow.key) & serves
    query = select(ModelRow, VersionRow).join(VersionRow, joined).where(ModelRow.revision > revision)
    return [
        _deployment(model, version)
        for model, version in session.execute(query.order_by(ModelRow.revision, VersionRow.number)).tuples()
    ]


def deployment_of(session: Session, key: str, number: int) -> Deployment | None:
    """Return one version of a model as those who serve it need it."""
    model, version = session.get(ModelRow, key), session.get(VersionRow, (key, number))
    return None if model is None or version is None else _deployment(model, version)


def wave_fleets(session: Session, wave_id: str) -> list[WaveFleetRow]:
    """Return the trainings of a wave, in order of fleet."""
    query = select(WaveFleetRow).where(WaveFleetRow.wave_id == wave_id).order_by(WaveFleetRow.key)
    return list(session.scalars(query))


def wave_fleet_of_job(session: Session, job_id: str) -> WaveFleetRow | None:
    """Return the training of a wave that a job does, None when it belongs to none."""
    return session.scalar(select(WaveFleetRow).where(WaveFleetRow.job_id == job_id))


def lock_wave(session: Session, wave_id: str) -> WaveRow | None:
    """Return a wave and hold it until the transaction ends."""
    query = select(WaveRow).where(WaveRow.id == wave_id).with_for_update()
    return session.scalar(query.execution_options(populate_existing=True))


def version_of(row: VersionRow) -> ModelVersion:
    """Return the version that `row` keeps."""
    return ModelVersion(
        key=ModelKey.parse(row.key),
        number=row.number,
        stage=Stage(row.stage),
        algorithm=row.algorithm,
        hyperparameters=row.hyperparameters,
        metrics=row.metrics,
        series_count=row.series_count,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        run_id=row.run_id,
        job_id=row.job_id,
        created_at=from_us(row.created_at),
        promoted_at=None if row.promoted_at is None else from_us(row.promoted_at),
        archived_at=None if row.archived_at is None else from_us(row.archived_at),
        signature=row.signature,
        signed_by=row.signed_by,
        selection=row.learnt.get("selection"),
    )


def _deployment(model: ModelRow, version: VersionRow) -> Deployment:
    return Deployment(
        key=ModelKey.parse(model.key),
        number=version.number,
        algorithm=version.algorithm,
        sha256=version.sha256,
        size_bytes=version.size_bytes,
        run_id=version.run_id,
        revision=model.revision,
        stage=Stage(version.stage),
        job_id=version.job_id,
        created_at=version.created_at,
        signature=version.signature,
        signed_by=version.signed_by,
    )
