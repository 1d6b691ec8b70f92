"""Streaming models under the follower: whatever happens, they know what they would know had nothing happened."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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
from atalaia.signals.memory import FOLDER
from tests.signals.builders import free_lease

pytestmark = pytest.mark.slow
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


def trained(end: int = TRAINED, **hyperparameters: Any) -> FleetModel:
    """Return a model that has learnt the points before number `end`."""
    whole = points(0, end)
    histories = [(whole.timestamps[i::3], whole.values[i::3]) for i in range(3)]
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
        self.atalaia.serving.models._registry = Nowhere()  # pyright: ignore[reportAttributeAccessIssue]
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

    def send(self, until: int, batch: int = 20) -> None:
        """Let the next points arrive, up to number `until`."""
        if not self.sent:
            with self.atalaia.database.write() as session:
                self.atalaia.signals.resolve(session, NAMES)
        while self.sent < until:
            part = points(self.sent, min(until, self.sent + batch))
            delivery = Delivery(lambda session, part=part: (part, {}), 1, can_fail=False)
            self.atalaia.signals.intake.submit(delivery).result(10)
            self.sent = min(until, self.sent + batch)

    def drain(self) -> None:
        while self.atalaia.signals.scoring.drain():
            pass

    def run(self, until: int, batch: int = 20) -> None:
        """Let points arrive, and score them as they do."""
        while self.sent < until:
            self.send(min(until, self.sent + batch), batch)
            self.drain()

    def stage(self, number: int, model: FleetModel, key: ModelKey = KEY) -> None:
        data = model.to_bytes()
        self.atalaia.blobs.put(artefact_key(sha256_of(data)), data)
        with self.atalaia.database.write() as session:
            if session.get(ModelRow, str(key)) is None:
                session.add(ModelRow(key=str(key), latest=number, revision=0, created_at=1))
                session.flush()
            session.add(version(key, number, data))

    def promote(self, number: int, model: FleetModel, key: ModelKey = KEY) -> None:
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

    def store(self) -> None:
        scoring = self.atalaia.signals.scoring
        self.atalaia.signals.memory.save(scoring._owner, self.atalaia.serving)


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


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(tmp_path / "data", stack)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


MODEL = trained()
END = TRAINED + 4 * DAY


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_a_model_promoted_while_points_flow_catches_up(plant: Plant, batch: int) -> None:
    plant.run(TRAINED + DAY, batch=50)
    plant.send(TRAINED + DAY + 30)
    plant.promote(1, MODEL)
    plant.run(END, batch)
    assert_same(plant.state(1), taught(MODEL, END))


def test_a_model_catches_up_from_blocks_and_tail_alike(plant: Plant) -> None:
    plant.run(TRAINED + DAY, batch=50)
    plant.store()
    plant.compact()
    plant.run(TRAINED + 2 * DAY, batch=50)
    plant.promote(1, MODEL)
    plant.run(END)
    assert_same(plant.state(1), taught(MODEL, END))


Act = Callable[[Plant], None]


def harm_statistics(plant: Plant) -> None:
    for blob in list(plant.atalaia.blobs.list(FOLDER)):
        plant.atalaia.blobs.path(blob.key).write_bytes(b"rubbish")
    plant.die()


def fail_once(plant: Plant) -> None:
    plant.send(plant.sent + 10)
    scoring = plant.atalaia.signals.scoring
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plant.atalaia.outbox, "publish", lambda session, *facts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scoring.drain()


INTERRUPTIONS: dict[str, Act] = {
    "a stop": Plant.stop,
    "a crash": Plant.die,
    "a crash right after storing": lambda plant: (plant.store(), plant.die()) and None,
    "a crash after storing and more": lambda plant: (
        (plant.store(), plant.run(plant.sent + 33), plant.die()) and None
    ),
    "a crash after a compaction": lambda plant: (plant.store(), plant.compact(), plant.die()) and None,
    "damaged memory": harm_statistics,
    "damaged memory and a compaction": lambda plant: (
        (plant.store(), plant.compact(), harm_statistics(plant)) and None
    ),
    "a round that fails": fail_once,
}


@pytest.mark.parametrize("what", INTERRUPTIONS)
@pytest.mark.parametrize("is_stored", [True, False])
def test_a_model_knows_what_it_would_know_without(plant: Plant, what: str, is_stored: bool) -> None:
    plant.run(TRAINED)
    plant.promote(1, MODEL)
    plant.run(TRAINED + DAY)
    if is_stored:
        plant.store()
    INTERRUPTIONS[what](plant)
    plant.run(TRAINED + 2 * DAY)
    INTERRUPTIONS[what](plant)
    plant.run(END)
    assert_same(plant.state(1), taught(MODEL, END))


def test_a_model_that_stopped_comes_back_to_the_last_bit(plant: Plant) -> None:
    plant.run(TRAINED)
    plant.promote(1, MODEL)
    plant.run(END)
    before = {name: array.copy() for name, array in plant.state(1).items()}
    plant.stop()
    plant.drain()
    assert_same(plant.state(1), before)


@pytest.mark.parametrize("batch", [20, 500])
def test_a_model_promoted_before_its_series_have_points_misses_none(plant: Plant, batch: int) -> None:
    plant.promote(1, MODEL)
    plant.run(TRAINED + DAY, batch)
    plant.atalaia.serving.models.learn_numbers()  # as the service does every second
    plant.run(END, batch)
    assert_same(plant.state(1), taught(MODEL, END))


def test_a_model_promoted_long_after_its_training_has_no_gap_after_a_crash(plant: Plant) -> None:
    plant.run(TRAINED + 2 * DAY)
    plant.store()
    plant.compact()
    plant.run(TRAINED + 3 * DAY)
    plant.promote(1, MODEL)
    plant.die()  # before the follower looked
    plant.run(END)
    assert_same(plant.state(1), taught(MODEL, END))


def test_a_promotion_in_the_middle_of_a_round_leaves_no_gap(plant: Plant) -> None:
    plant.run(TRAINED + DAY)
    scoring = plant.atalaia.signals.scoring
    teach = scoring._teach

    def teach_and_promote() -> None:
        teach()
        scoring._teach = teach
        plant.promote(1, MODEL)

    scoring._teach = teach_and_promote
    plant.run(END)
    assert_same(plant.state(1), taught(MODEL, END))


def test_a_challenger_that_streams_learns_beside_the_champion_and_goes_on_in_its_place(plant: Plant) -> None:
    other = trained(2 * DAY, level_hours=6.0)
    plant.run(TRAINED)
    plant.promote(1, MODEL)
    plant.run(TRAINED + DAY)
    plant.challenge(2, other)
    plant.run(TRAINED + 2 * DAY)
    assert_same(plant.state(1), taught(MODEL, plant.sent))
    assert_same(plant.state(2), taught(other, plant.sent))
    plant.stop()
    plant.run(TRAINED + 3 * DAY)
    assert_same(plant.state(2), taught(other, plant.sent))
    with plant.atalaia.database.write() as session:
        plant.atalaia.lifecycle.promotion.promote(session, KEY, 2, archive_previous=True)
    plant.run(END)
    assert_same(plant.state(2), taught(other, END))
    plant.die()
    plant.drain()
    assert_same(plant.state(2), taught(other, END))


def test_alarms_are_those_of_an_uninterrupted_run(plant: Plant, tmp_path: Path) -> None:
    found: list[Any] = []
    with ExitStack() as stack:
        steady = Plant(tmp_path / "steady", stack)
        for one in (plant, steady):
            one.run(TRAINED)
            one.promote(1, MODEL)
            for until in range(TRAINED + 20, END, 20):
                one.run(until)
                if one is plant and until % 3 == 0:
                    one.die()
                if one is plant and until % 5 == 0:
                    one.stop()
            with one.atalaia.database.read() as session:
                filters: dict[str, Any] = dict.fromkeys(("series_id", "from_us", "to_us", "state", "cursor"))
                seen, _ = one.atalaia.signals.list_anomalies(session, **filters, limit=100)
            found.append(
                [(a.series_id, a.state, a.opened_at, a.last_at, a.points, a.seen, a.peak_score) for a in seen]
            )
    assert found[0] == found[1]
    assert any(series == "a" and points > 20 for series, _, _, _, points, *_ in found[0])
