"""Which assets there are, what their models have learnt, and what is missing."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.protocol import MAX_SENSORS
from atalaia.core.clock import MICROS
from atalaia.core.errors import Missing
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.cursors import decode_cursor, encode_cursor, page_of
from atalaia.lifecycle import store
from atalaia.lifecycle.service import Lifecycle


@dataclass(frozen=True, slots=True)
class AssetKnown:
    """An asset, of how many series it is now, its version in Production and its newest one (0 for none)."""

    asset_id: str
    sensors: int
    production: int | None
    latest: int


@dataclass(frozen=True, slots=True)
class SensorKnown:
    """A sensor, and what the version in Production knows of it."""

    series_id: str
    is_member: bool
    is_learnt: bool
    points: int
    missing: str | None


@dataclass(frozen=True, slots=True)
class AssetShown:
    """An asset with its sensors."""

    known: AssetKnown
    model_id: str
    algorithm: str | None
    step_s: float | None
    sensors: tuple[SensorKnown, ...]


class AssetViews:
    """Shows assets."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def page(self, session: Session, cursor: str | None, limit: int) -> tuple[list[AssetKnown], str | None]:
        """Return assets in order of name."""
        keys = decode_cursor(cursor, str)
        named = self._lifecycle.assets.assets(keys[0] if keys else None, limit + 1)
        found = [self._known(session, asset, count) for asset, count in named]
        return page_of(found, limit, lambda asset: encode_cursor(asset.asset_id))

    def one(self, session: Session, asset: str) -> AssetShown:
        """Return an asset with its sensors: those it has now, and those that its version in Production knows.

        Raises
        ------
        Missing, Conflict
            When no series has it for a label and nothing was trained of it, or its version cannot be trusted.
        """
        members = self._lifecycle.assets.sensors(asset, MAX_SENSORS)
        known = self._known(session, asset, len(members))
        if not members and not known.latest:
            detail = f"no series is of the asset {asset[:80]!r}; `atalaia assets list` shows what there is"
            raise Missing("unknown_asset", detail)
        key = ModelKey(Scope.ASSET, asset)
        if known.production is None:
            sensors = tuple(SensorKnown(name, True, False, 0, _UNTRAINED) for name in members)
            return AssetShown(known, str(key), None, None, sensors)
        version = self._lifecycle.deployment(session, key)
        self._lifecycle.trust.check(version)
        model = AssetModel.from_bytes(self._lifecycle.trust.read(version))
        step_s = None if model.pace is None else model.pace.step_us / MICROS
        return AssetShown(known, str(key), version.algorithm, step_s, _sensors(model, members))

    def _known(self, session: Session, asset: str, count: int) -> AssetKnown:
        row = session.get(store.ModelRow, str(ModelKey(Scope.ASSET, asset)))
        return AssetKnown(asset, count, None if row is None else row.production, 0 if row is None else row.latest)


_UNTRAINED = "no version of the asset is in Production"


def _sensors(model: AssetModel, members: list[str]) -> tuple[SensorKnown, ...]:
    found: list[SensorKnown] = []
    now = set(members)
    for name, points, is_ready in zip(model.sensors, model.state["points"], model.ready, strict=True):
        few = f"{model.detector.min_points} moments are needed, {int(points)} are known"
        gone = None if name in now else "it is no sensor of the asset any more; the next training leaves it out"
        found.append(SensorKnown(name, name in now, bool(is_ready), int(points), gone if is_ready else few))
    new = "it was no sensor of the asset when the version was trained; train it again"
    found += [SensorKnown(name, True, False, 0, new) for name in members if name not in model.sensors]
    return tuple(sorted(found, key=lambda sensor: sensor.series_id))
