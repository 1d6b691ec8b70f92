"""A series joins a fleet that has a streaming model: within an hour it is watched, whatever happens meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.detectors import make_detector
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.readiness import ReadinessState
from atalaia.core.clock import MICROS
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import Group, Points
from atalaia.kit.erasures import Subject
from atalaia.signals.intake import Delivery
from atalaia.signals.known import KnownSeries
from tests.signals.plants import KEY, START_US, Plant

pytestmark = pytest.mark.slow

MEMBERS = ("p1", "p2", "p3", "p4")
NEW = "p9"
MINUTE_US = 60 * MICROS
DAYS = 5
JOINED_US = START_US + (DAYS * 1440 + 200) * MINUTE_US
STRANGE = 45
"""Minutes after which the new series does what none does."""


def wave(at: Any, level: Any) -> Any:
    noise = np.sin(at / 7.7e7) + np.sin(at / 3.1e8)
    return level * (1.0 + 0.5 * np.sin(at / (1440 * MINUTE_US) * 2 * np.pi) + 0.01 * noise)


def trained() -> FleetModel:
    at = START_US + np.arange(DAYS * 288, dtype=np.int64) * 5 * MINUTE_US
    return FleetModel.fit(
        make_detector("streaming", {}), MEMBERS, Group.of((at, wave(at, 10.0 + i)) for i in range(len(MEMBERS)))
    )


class Site(Plant):
    """A plant whose pumps send a point a minute, one of them since a while only."""

    def begin(self, *known: str) -> None:
        """Train and promote the fleet; other series may be known, and in no fleet."""
        with self.atalaia.database.write() as session:
            self.atalaia.signals.resolve(session, [*MEMBERS, *known])
        with self.atalaia.database.write() as session:
            self.atalaia.signals.catalogue.set_fleet(session, KEY.name, MEMBERS)
        self.promote(1, trained())
        self.drain()

    def join(self) -> None:
        """Let the new series come into the fleet."""
        with self.atalaia.database.write() as session:
            self.atalaia.signals.resolve(session, [NEW])
        with self.atalaia.database.write() as session:
            self.atalaia.signals.catalogue.set_fleet(session, KEY.name, [*MEMBERS, NEW])

    def minutes(self, first: int, end: int) -> None:
        """Let the points of these minutes arrive and be scored, some minutes at a time."""
        for start in range(first, end, 10):
            minutes = np.arange(start, min(start + 10, end))
            at, levels = JOINED_US + minutes * MINUTE_US, np.array([10.0, 11.0, 12.0, 13.0, 25.0])
            values = wave(at[:, None], levels)
            values[(minutes >= STRANGE) & (minutes < STRANGE + 5), -1] *= 3.0
            numbers = np.tile(np.arange(1, len(levels) + 1, dtype=np.int32), len(at))
            part = Points(numbers, np.repeat(at, len(levels)), values.ravel())
            delivery = Delivery(lambda session, part=part: (part, {}), 1, can_fail=False)
            self.atalaia.signals.intake.submit(delivery).result(10)
            self.drain()

    def row(self) -> dict[str, Any]:
        found = self.atalaia.serving.models.find(NEW)
        assert found is not None
        return {name: array[found[1]].copy() for name, array in found[0].model.state.items()}


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    with ExitStack() as stack:
        yield lambda name: Site(tmp_path / name, stack)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_within_an_hour_an_anomaly_opens_on_a_series_that_has_just_joined(open_site: Callable[[str], Site]) -> None:
    site = open_site("one")
    site.begin()
    site.join()
    site.minutes(0, 60)
    ((name, _, opened_at, *_),) = site.alarms()
    assert name == NEW
    assert int(opened_at.timestamp()) == (JOINED_US + STRANGE * MINUTE_US) // MICROS
    version, ready = site.atalaia.lifecycle.readiness(KEY, NEW)
    assert (version.key, ready.peers, ready.points) == (str(KEY), 4, 60)
    assert ready.state is ReadinessState.SEASONAL
    assert 0.0 < ready.days < 0.1
    (anomaly,) = anomalies(site)
    assert anomaly.model.model_id == "fleet:pumps"
    assert site.atalaia.lifecycle.deployed_key(NEW, KEY.name) == ModelKey(Scope.FLEET, "pumps")
    assert site.atalaia.explaining.anomaly(anomaly.anomaly_id).rarity_basis == "model"
    point = site.atalaia.explaining.point(NEW, JOINED_US + (STRANGE + 1) * MINUTE_US)
    assert point.score is not None
    assert point.score > 1.0
    buckets = site.atalaia.lifecycle.plot(KEY, NEW, JOINED_US, JOINED_US + 60 * MINUTE_US, 6)
    assert buckets[-1]["lower"] is not None
    expected = wave(JOINED_US + STRANGE * MINUTE_US, 25.0)
    assert anomaly.explanation.expected == pytest.approx(expected, rel=0.1)


def anomalies(site: Site) -> list[Any]:
    with site.atalaia.database.read() as session:
        filters: dict[str, Any] = dict.fromkeys(("series_id", "from_us", "to_us", "state", "cursor"))
        seen, _ = site.atalaia.signals.anomalies.page(session, **filters, limit=100)
    return list(seen)


INTERRUPTIONS: dict[str, Callable[[Site], object]] = {
    "a crash": Plant.die,
    "a crash right after storing": lambda site: (site.store(), site.die()),
}


@pytest.mark.parametrize("what", INTERRUPTIONS)
def test_an_interruption_in_the_first_hour_changes_nothing(open_site: Callable[[str], Site], what: str) -> None:
    calm, site = open_site("calm"), open_site("interrupted")
    for one in (calm, site):
        one.begin(NEW)
        one.minutes(0, 3)  # before anybody knows in which fleet the series is
        one.join()
        one.atalaia.serving.models.adoption._look_at = 0.0
    calm.minutes(3, 60)
    site.minutes(3, 20)
    INTERRUPTIONS[what](site)
    site.minutes(20, 40)
    site.store()
    site.minutes(40, 47)  # in the middle of the anomaly
    INTERRUPTIONS[what](site)
    site.minutes(47, 60)
    assert int(site.row()["points"]) == 60
    assert_same(site.row(), calm.row())
    assert site.alarms() == calm.alarms()
    assert len(site.alarms()) == 1


def test_an_erasure_takes_an_adopted_series_out_of_the_model_and_its_state(
    open_site: Callable[[str], Site],
) -> None:
    site = open_site("one")
    site.begin()
    site.join()
    site.minutes(0, 30)
    site.store()
    atalaia = site.atalaia
    kept = KnownSeries(atalaia.database, atalaia.signals.memory).states()
    assert FleetModel.from_bytes(kept["fleet:pumps/v1"]()).series_ids == (*MEMBERS, NEW)
    with atalaia.database.write() as session:
        atalaia.erasures.ask(session, Subject("series_id", NEW))
    while atalaia.worker.work_once():
        site.drain()
    found = atalaia.serving.models.find("p1")
    assert found is not None
    assert found[0].model.series_ids == MEMBERS
    assert atalaia.serving.adopted(NEW, "fleet:pumps/v1") is None
    atalaia.signals.memory.forget()  # as whoever follows does at the next round
    site.drain()
    site.store()
    assert not [blob for blob in atalaia.blobs.list("memory") if NEW.encode() in atalaia.blobs.get(blob.key)]
    site.die()
    site.drain()
    assert not site.atalaia.serving.models.is_deployed(NEW)
