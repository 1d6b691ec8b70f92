"""Points that look like somebody plays with a model are flagged, counted, and answered all the same."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from atalaia.kit.telemetry import Telemetry
from atalaia.serving.inputs import FLOODING, OUT_OF_ENVELOPE, REPLAYED, Inputs, names_of
from atalaia.serving.schemas import prediction
from atalaia.serving.service import PointToScore
from atalaia.serving.settings import ServingSettings
from tests.serving.builders import MEAN, START_US, STD, Place, series

A = series("a")


def inputs(**settings: Any) -> tuple[Inputs, Callable[[str], float]]:
    telemetry = Telemetry()

    def counted(flag: str) -> float:
        lines = telemetry.render().decode().splitlines()
        wanted = f'prediction_inputs_flagged_total{{flag="{flag}"}}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))

    return Inputs(ServingSettings(**settings), telemetry), counted


def test_an_ordinary_point_has_no_flags() -> None:
    looked, counted = inputs()
    assert looked.look(3, 17, 1.5, 0.5) == 0
    assert looked.look(3, 18, 1.5, 1.5) == 0  # an anomaly is nothing odd
    assert [counted(name) for name in names_of(7)] == [0, 0, 0]


def test_a_point_that_was_asked_a_moment_ago_is_replayed() -> None:
    looked, counted = inputs()
    for ts in range(6):
        assert looked.look(3, ts, 1.5, 0.5) == 0
    assert [looked.look(3, ts, 1.5, 0.5) for ts in range(6)] == [REPLAYED] * 6
    assert looked.look(4, 0, 1.5, 0.5) == 0  # another series
    assert looked.look(3, 0, 1.25, 0.5) == 0  # another value
    assert counted("replayed") == 6


def test_a_point_is_forgotten_after_a_few_others() -> None:
    looked, _ = inputs()
    for ts in range(7):
        looked.look(3, ts, 1.5, 0.5)
    assert looked.look(3, 0, 1.5, 0.5) == 0


def test_time_that_goes_back_is_nothing_odd() -> None:
    looked, _ = inputs()
    assert [looked.look(3, ts, 1.0, 0.5) for ts in (9, 8, 7, 3)] == [0, 0, 0, 0]


@pytest.mark.parametrize("value", [1e308, -1e308, 5e-324, -0.0, 0.0])
def test_any_number_can_be_remembered(value: float) -> None:
    looked, _ = inputs()
    assert looked.look(3, 17, value, 0.5) == 0
    assert looked.look(3, 17, value, 0.5) == REPLAYED


def test_more_than_the_budget_in_a_second_is_flooding(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, counted = inputs(max_asks_per_s=3)
    now = [100.25]
    monkeypatch.setattr("atalaia.serving.inputs.time.monotonic", lambda: now[0])
    assert [looked.look(3, ts, 1.0, 0.5) for ts in range(5)] == [0, 0, 0, FLOODING, FLOODING]
    assert looked.look(4, 0, 1.0, 0.5) == 0
    now[0] += 1
    assert looked.look(3, 9, 1.0, 0.5) == 0
    assert counted("flooding") == 2


def test_flags_of_many_points_are_those_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atalaia.serving.inputs.time.monotonic", lambda: 100.0)
    alone, _ = inputs(max_asks_per_s=3)
    together, counted = inputs(max_asks_per_s=3)
    rng = np.random.default_rng(1)
    indexes, stamps = rng.integers(0, 5_000, 2_000, dtype=np.int32), rng.integers(0, 2, 2_000)
    indexes[:200] = 7
    values, scores = rng.integers(0, 2, 2_000).astype(np.float64), rng.choice([0.5, 2.0, 11.0, np.nan], 2_000)
    columns = zip(indexes.tolist(), stamps.tolist(), values.tolist(), scores.tolist(), strict=True)
    one_by_one = [alone.look(*point) for point in columns]
    assert together.look_at_all(indexes, stamps, values, scores).tolist() == one_by_one
    assert {OUT_OF_ENVELOPE, REPLAYED, FLOODING} <= {
        bit for bits in one_by_one for bit in (bits & 1, bits & 2, bits & 4)
    }
    assert counted("replayed") == sum(bits & REPLAYED > 0 for bits in one_by_one)


def test_series_without_an_index_are_not_remembered() -> None:
    looked, _ = inputs()
    none = np.full(2, -1, np.int32)
    same = np.zeros(2, np.int64), np.zeros(2)
    assert looked.look_at_all(none, *same, np.array([0.5, 99.0])).tolist() == [0, OUT_OF_ENVELOPE]


def test_no_points_have_no_flags() -> None:
    looked, _ = inputs()
    assert len(looked.look_at_all(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0))) == 0


# in answers


def ask(place: Place, value: float, minute: int = 0) -> Any:
    (answer,) = place.serving.predict([PointToScore("a", START_US + minute * 60_000_000, value)])
    return answer


@pytest.mark.parametrize(
    ("deviations", "flags"),
    [(0.0, []), (3.1, []), (29.0, []), (31.0, ["out_of_envelope"]), (1e300, ["out_of_envelope"])],
)
def test_what_is_far_outside_is_flagged(place: Place, deviations: float, flags: list[str]) -> None:
    place.promote(A)
    assert names_of(ask(place, MEAN + deviations * STD).flags) == flags


def test_an_answer_tells_its_flags_and_only_then(place: Place) -> None:
    place.promote(A)
    first, again = (msgspec.to_builtins(prediction(ask(place, MEAN))) for _ in range(2))
    assert "flags" not in first
    assert again["flags"] == ["replayed"]
    assert {**first, "flags": ["replayed"]} == again
