"""Streaming models under the follower: whatever happens, they know what they would know had nothing happened."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atalaia.signals import scoring as scoring_module
from atalaia.signals.memory import FOLDER
from tests.signals.plants import DAY, KEY, START_US, STEP_US, TRAINED, Plant, taught, trained

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("begin", [Plant.stop, Plant.die, harm_statistics])
def test_whatever_is_given_up_at_a_stop_is_done_by_the_next(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begin: Act
) -> None:
    monkeypatch.setattr(scoring_module, "_REPLAY_POINTS", 200)
    with ExitStack() as stack:
        steady = Plant(tmp_path / "steady", stack)
        for one in (plant, steady):
            one.run(TRAINED + 20)
            one.store()
            one.compact()
            one.run(TRAINED + DAY)
            one.promote(1, MODEL)
        begin(plant)
        steps = 0
        while plant.give_up(steps):
            steps += 1
            plant.send(plant.sent + 3)
        for one in (plant, steady):
            one.run(END)
        assert steps > 10
        assert_same(plant.state(1), taught(MODEL, END))
        assert plant.alarms() == steady.alarms() != []


def test_a_version_that_came_back_right_before_a_stop_has_no_gap(plant: Plant) -> None:
    plant.run(TRAINED)
    plant.promote(1, MODEL)
    plant.run(TRAINED + DAY)
    plant.store()
    plant.stage(2, trained(2 * DAY, level_hours=6.0))
    promotion = plant.atalaia.lifecycle.promotion
    with plant.atalaia.database.write() as session:
        promotion.promote(session, KEY, 2, archive_previous=False)
    plant.run(TRAINED + 2 * DAY)
    with plant.atalaia.database.write() as session:
        promotion.promote(session, KEY, 1, archive_previous=False)
    plant.stop()  # before the follower looked
    plant.run(END)
    assert_same(plant.state(1), taught(MODEL, END))


def test_for_a_series_without_a_trained_point_nobody_reads_the_history_of_the_others(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(series=2)
    plant.run(TRAINED + DAY)
    read: list[tuple[list[int], int]] = []
    past = plant.atalaia.signals.scoring._past
    parts = past.parts

    def noted(numbers: Any, start_us: int, *rest: Any) -> Any:
        read.append((numbers, start_us))
        return parts(numbers, start_us, *rest)

    monkeypatch.setattr(past, "parts", noted)
    plant.promote(1, model)
    plant.run(END)
    assert read == [([1, 2], START_US + (TRAINED - 1) * STEP_US + 1), ([3], 0)]
    assert_same(plant.state(1), taught(model, END))


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
            found.append(one.alarms())
    assert found[0] == found[1]
    assert any(series == "a" and points > 20 for series, _, _, _, points, *_ in found[0])
