"""The service without its threads, with a fleet of pumps whose points come in order: streaming models under the
follower, which other processes take over from.
"""

from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.app.build import Atalaia, build
from atalaia.app.settings import load_settings
from atalaia.core.clock import MICROS
from atalaia.core.errors import Unavailable
from atalaia.core.models import ModelKey, Scope, artefact_key
from atalaia.core.points import Group, Points
from atalaia.kit.blobs import sha256_of
from atalaia.lifecycle.store import ModelRow, VersionRow
from atalaia.signals.intake import Delivery
from tests.signals.builders import free_lease

NAMES = ("a", "b", "c")
KEY = ModelKey(Scope.FLEET, "pumps")
START_US = 1_700_000_000 * MICROS
STEP_US = 600 * MICROS
DAY = 144
"""Points of a day."""
TRAINED = 3 * DAY


def points(start: int, end: int) -> Points:
    """Return points number [start, end) of all series: a daily wave with noise, a shift and a gap."""
    at = np.arange(start, end)
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 0.3, (20 * DAY, len(NAMES)))[start:end]
    wave = 10 + 3 * np.sin(at / DAY * 2 * np.pi)
    shift = np.where((at > 5 * DAY) & (at < 5 * DAY + 30), 40.0, 0.0)
    values = wave[:, None] + noise + shift[:, None] * np.array([1.0, 0.0, 0.0])
    series = np.tile(np.arange(1, len(NAMES) + 1, dtype=np.int32), len(at))
    return Points(series, START_US + np.repeat(at, len(NAMES)) * STEP_US, values.ravel())


def trained(end: int = TRAINED, series: int = 3, **hyperparameters: Any) -> FleetModel:
    """Return a model that has learnt the points before number `end` of the first so many series."""
    whole = points(0, end)
    whole = whole.take(whole.series <= series)
    histories = [(whole.timestamps[whole.series == i], whole.values[whole.series == i]) for i in (1, 2, 3)]
    return FleetModel.fit(make_detector("streaming", hyperparameters), NAMES, Group.of(histories))


def taught(model: FleetModel, end: int) -> dict[str, Any]:
    """Return the state of a model that has seen all points before number `end` without a break."""
    living = model.alive()
    assert isinstance(living.detector, Streaming)
    every = points(0, end)
    living.detector.advance(living.state, every.series.astype(np.int64) - 1, every.timestamps, every.values)
    return dict(living.state)


class Nowhere:
    """A registry that is down; local copies answer."""

    def fetch(self, run_id: str) -> bytes:
        raise Unavailable("registry_unavailable", "it is down")


class Plant:
    """The service without its threads, in a folder; another one may take over."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.sent = 0
        self.open()

    def open(self) -> Atalaia:
        self.atalaia = build(load_settings({"data_dir": self.folder, "signals.store_memory_s": 3600}))
        self.stack.callback(self.atalaia.database.close)
        self.stack.callback(self.atalaia.signals.intake.stop)
        self.atalaia.serving.models._artefacts._registry = Nowhere()  # pyright: ignore[reportAttributeAccessIssue]
        self.atalaia.serving.warm()
        return self.atalaia

    def die(self) -> None:
        """Let another process take the place of this one, which had no time for anything."""
        self.atalaia.signals.intake.stop()
        self.atalaia.database.close()
        free_lease(self.atalaia.database)
        self.open()

    def stop(self) -> None:
        """Stop in order, and start again."""
        self.atalaia.close()
        self.open()

    def send(self, until: int, batch: int = 72) -> None:
        """Let the next points arrive, up to number `until`."""
        if not self.sent:
            with self.atalaia.database.write() as session:
                self.atalaia.signals.resolve(session, NAMES)
        while self.sent < until:
            self.deliver(points(self.sent, min(until, self.sent + batch)))
            self.sent = min(until, self.sent + batch)

    def deliver(self, part: Points) -> None:
        """Let some points arrive."""
        delivery = Delivery(lambda session: (part, {}), 1, can_fail=False)
        self.atalaia.signals.intake.submit(delivery).result(10)

    def drain(self) -> None:
        while self.atalaia.signals.scoring.drain():
            pass

    def run(self, until: int, batch: int = 72) -> None:
        """Let points arrive, and score them as they do."""
        while self.sent < until:
            self.send(min(until, self.sent + batch), batch)
            self.drain()

    def stage(self, number: int, model: FleetModel | AssetModel, key: ModelKey = KEY) -> None:
        data = model.to_bytes()
        self.atalaia.blobs.put(artefact_key(sha256_of(data)), data)
        with self.atalaia.database.write() as session:
            if session.get(ModelRow, str(key)) is None:
                session.add(ModelRow(key=str(key), latest=number, revision=0, created_at=1))
                session.flush()
            row = version(key, number, data)
            made = self.atalaia.signatures.sign(row.statement.encoded())
            row.signature, row.signed_by = made.text, made.key_id
            session.add(row)

    def promote(self, number: int, model: FleetModel | AssetModel, key: ModelKey = KEY) -> None:
        self.stage(number, model, key)
        with self.atalaia.database.write() as session:
            self.atalaia.lifecycle.promotion.promote(session, key, number, archive_previous=True)

    def challenge(self, number: int, model: FleetModel) -> None:
        self.stage(number, model)
        with self.atalaia.database.write() as session:
            self.atalaia.lifecycle.promotion.challenge(session, KEY, number)

    def state(self, number: int, name: str = "a") -> dict[str, Any]:
        """Return what the version in Production, or its challenger, knows."""
        models = self.atalaia.serving.models
        found = models.find(name)
        challenger = models.challenger(KEY)
        for loaded in (found[0] if found else None, challenger):
            if loaded is not None and loaded.deployment.number == number:
                return dict(loaded.model.state)
        raise AssertionError(f"v{number} is not loaded")

    def compact(self) -> None:
        swap = self.atalaia.signals.history.compaction()
        if swap is not None:
            with self.atalaia.database.write() as session:
                swap(session)

    def give_up(self, step: int) -> bool:
        """Stop when the follower comes to that step of what takes long; return False if there is none."""
        scoring, steps = self.atalaia.signals.scoring, count()
        go_on = scoring._go_on

        def go_on_or_not() -> None:
            if next(steps) == step:
                scoring.stop()
            go_on()

        scoring._go_on = go_on_or_not
        self.drain()
        if not scoring._stopping.is_set():
            return False
        self.stop()
        return True

    def alarms(self) -> list[Any]:
        with self.atalaia.database.read() as session:
            filters: dict[str, Any] = dict.fromkeys(("series_id", "from_us", "to_us", "state", "cursor"))
            seen, _ = self.atalaia.signals.anomalies.page(session, **filters, limit=100)
        return [(a.series_id, a.state, a.opened_at, a.last_at, a.points, a.seen, a.peak_score) for a in seen]

    def store(self) -> None:
        scoring = self.atalaia.signals.scoring
        self.atalaia.signals.memory.save(scoring._owner, self.atalaia.watching, lambda: None)


def version(key: ModelKey, number: int, data: bytes) -> VersionRow:
    return VersionRow(
        key=str(key),
        number=number,
        stage="Staging",
        algorithm="streaming",
        hyperparameters={},
        metrics={},
        series_count=len(NAMES),
        sha256=sha256_of(data),
        size_bytes=len(data),
        run_id=f"run-{key}-{number}",
        job_id=f"job-{key}-{number}"[:32],
        learnt={},
        created_at=1,
    )
