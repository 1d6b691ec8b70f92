"""Models of assets under the follower: a process killed at any moment neither loses nor doubles anything."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.moments import Pace, moments
from atalaia.algorithms.relations import Relations
from atalaia.core.models import ModelKey, Scope
from atalaia.core.points import Group
from atalaia.signals.memory import FOLDER
from tests.signals.plants import DAY, NAMES, Plant, points

pytestmark = pytest.mark.slow
KEY = ModelKey(Scope.ASSET, "pumps")
Interruption = Callable[[Plant], Any]
TAUGHT, END = 3 * DAY, 5 * DAY + 60
"""The level of the first pump shifts after the fifth day, and the others stay: their relation breaks."""


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with ExitStack() as stack:
        yield Plant(tmp_path / "data", stack)


def trained() -> AssetModel:
    whole = points(0, TAUGHT)
    group = Group.of(
        (whole.timestamps[whole.series == number], whole.values[whole.series == number]) for number in (1, 2, 3)
    )
    pace = Pace.of(group)
    return AssetModel.fit(Relations(), NAMES, moments(group, pace, 10_000)[1], pace)


def stand(plant: Plant) -> bytes:
    """Return all that the model knows by now."""
    (asset,) = plant.atalaia.watching._order
    assert asset.is_taught
    return asset.following.to_bytes("")


def lived(plant: Plant, *interruptions: Interruption) -> tuple[list[Any], bytes]:
    """Let all points come, with up to three interruptions: before, at the beginning of and inside the alarm."""
    steps = [*interruptions, *([lambda plant: None] * 3)]
    plant.run(TAUGHT)
    plant.promote(1, trained(), KEY)
    plant.run(4 * DAY)
    steps[0](plant)
    plant.run(5 * DAY + 5, batch=7)
    steps[1](plant)
    plant.run(5 * DAY + 20, batch=1)
    steps[2](plant)
    plant.run(END, batch=5)
    return plant.alarms(), stand(plant)


def lose_memory(plant: Plant) -> None:
    for blob in list(plant.atalaia.blobs.list(FOLDER)):
        plant.atalaia.blobs.path(blob.key).write_bytes(b"rubbish")
    plant.die()


def fail_once(plant: Plant) -> None:
    plant.send(plant.sent + 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plant.atalaia.outbox, "publish", lambda session, *facts: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            plant.atalaia.signals.scoring.drain()


def store_and_more(plant: Plant) -> None:
    plant.store()
    plant.run(plant.sent + 3)
    plant.die()


def store_and_compact(plant: Plant) -> None:
    plant.store()
    plant.compact()
    plant.die()


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], bytes]:
    """Return what comes of it when nothing happens."""
    with ExitStack() as stack:
        return lived(Plant(tmp_path_factory.mktemp("plant") / "data", stack))


def test_killed_at_any_moment_it_raises_the_same_alarm_and_knows_the_same(plant: Plant, wanted: Any) -> None:
    assert [alarm[0] for alarm in wanted[0]] == ["a"]
    assert lived(plant, store_and_more, fail_once, store_and_compact) == wanted


def test_without_any_memory_it_catches_up_from_the_history(plant: Plant, wanted: Any) -> None:
    assert lived(plant, lose_memory, Plant.die, Plant.stop)[0] == wanted[0]


def test_of_sensors_whose_points_come_in_batches_of_their_own_the_alarm_is_the_same(
    plant: Plant, wanted: tuple[list[Any], bytes]
) -> None:
    plant.run(TAUGHT)
    plant.promote(1, trained(), KEY)
    part = np.array_split(np.arange(TAUGHT, END), (END - TAUGHT) // 3)
    for some in part:
        for number in (3, 1, 2):
            plant.sent = int(some[-1]) + 1
            sent = points(int(some[0]), plant.sent)
            plant.deliver(sent.take(sent.series == number))
            plant.drain()
    assert plant.alarms() == wanted[0]
