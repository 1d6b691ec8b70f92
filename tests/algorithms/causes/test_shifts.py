"""How far a metric moved: against its noise, its level and its peers, and for how long."""

import numpy as np
import pytest

from atalaia.algorithms.causes.shifts import Shifts, furthest, measure, usual
from atalaia.core.points import FloatArray, Group
from tests.algorithms.causes.evidence import before, quiet

NAN = np.nan


def of(
    history: Group, window: list[list[float]], metrics: list[int] | None = None, success: bool = False
) -> Shifts:
    rows = len(window)
    metric = np.arange(rows) if metrics is None else np.array(metrics, np.int64)
    return measure(history, np.array(window, np.float64).reshape(rows, -1), metric, np.full(rows, success))


def test_a_sustained_shift_is_found_with_its_beginning() -> None:
    found = of(before(quiet(10.0)), [[10.0, 10.0, 30.0, 30.0, 30.0, 10.0]])
    assert found.expected[0] == pytest.approx(10.0, rel=0.01)
    assert found.seen[0] == pytest.approx(30.0)
    assert found.since[0] == 2
    assert found.scales[0] == pytest.approx(4.0, rel=0.02)  # 20 more, where a scale is half of 10


def test_a_fall_is_negative() -> None:
    assert of(before(quiet(10.0)), [[2.0] * 6]).scales[0] == pytest.approx(-1.6, rel=0.02)


def test_one_wild_point_counts_less_than_three_in_a_row() -> None:
    spike, shift = of(before(quiet(10.0), quiet(10.0)), [[10, 10, 40, 10, 10], [10, 10, 25, 25, 25]], [0, 0]).scales
    assert 0 < spike < shift


def test_noise_is_the_scale_where_it_is_more_than_the_level() -> None:
    wild = np.array([-30.0, 30.0] * 30)
    found = of(before(wild), [[60.0] * 4])
    assert found.noise[0] == pytest.approx(30 / 0.6745)
    assert found.scales[0] == pytest.approx(60 / found.noise[0])


def test_what_was_constant_has_the_floor_of_its_level() -> None:
    assert of(before(np.full(50, 4.0)), [[8.0] * 4]).scales[0] == pytest.approx(2.0)


def test_what_was_nothing_has_the_floor_of_its_peers() -> None:
    history = before(np.zeros(50), np.full(50, 100.0), np.full(50, 100.0))
    found = of(history, [[1.0] * 4, [100.0] * 4, [100.0] * 4], [0, 0, 0])
    assert found.scales.tolist() == pytest.approx([0.2, 0.0, 0.0])  # a twentieth of a hundred is one scale


def test_no_move_counts_more_than_a_million_scales() -> None:
    found = of(before(np.full(50, 1e-300), np.full(50, -1e100)), [[1e100] * 4, [1e100] * 4])
    assert found.scales.tolist() == pytest.approx([1e6, 4.0])
    assert bool(np.isfinite(found.seen).all())


def test_what_was_nothing_everywhere_counts_by_its_size_and_is_bounded() -> None:
    found = of(before(np.zeros(50), np.zeros(50), np.zeros(50)), [[4.0] * 4, [8.0] * 4, [0.0] * 4], [0, 0, 0])
    assert found.scales.tolist() == pytest.approx([10.0, 20.0, 0.0])


@pytest.mark.parametrize("whole", [1.0, 100.0])
def test_of_a_share_of_success_what_is_missing_counts(whole: float) -> None:
    history = before(np.full(50, whole), np.full(50, 0.5 * whole))
    found = of(history, [[0.98 * whole] * 4, [0.48 * whole] * 4], [0, 0], success=True)
    assert found.scales[0] == pytest.approx(-1.6)  # the floor is a twentieth of what is usual among peers: 1.25 %
    assert abs(found.scales[1]) < 0.1
    alone = of(before(np.full(50, whole)), [[0.98 * whole] * 4], success=True)
    assert alone.scales[0] == pytest.approx(-2.0)  # a percent of the whole is one scale


def test_a_count_of_successes_is_no_share() -> None:
    assert of(before(np.full(50, 5_000.0)), [[2_500.0] * 4], success=True).scales[0] == pytest.approx(-1.0)


def test_missing_values_do_not_count() -> None:
    history = before(np.array([NAN, 5.0, 5.0, np.inf, 5.0, NAN, 5.0]))
    found = of(history, [[NAN, 10.0, NAN, 10.0, NAN]])
    assert (found.expected[0], found.seen[0], found.scales[0]) == (5.0, 10.0, 2.0)


@pytest.mark.parametrize(
    ("past", "window"),
    [([], [1.0, 1.0]), ([1.0, 1.0], [9.0, 9.0]), ([NAN] * 9, [1.0, 1.0]), ([1.0] * 9, [NAN, NAN]), ([1.0] * 9, [])],
)
def test_too_little_is_not_known(past: list[float], window: list[float]) -> None:
    found = of(before(np.array(past)), [window])
    assert not found.is_known[0]
    assert found.scales[0] == 0.0


def test_nothing_is_nothing() -> None:
    found = measure(before(), np.empty((0, 5)), np.empty(0, np.int64), np.empty(0, bool))
    assert len(found.scales) == 0


def test_a_window_shorter_than_a_run_is_looked_at_whole() -> None:
    seen, since = furthest(np.array([[6.0, 8.0]]), np.array([1.0]))
    assert (seen[0], since[0]) == (7.0, 0)


def test_the_usual_value_is_not_moved_by_an_outage_before() -> None:
    values: FloatArray = np.concatenate([np.full(90, 10.0), np.full(10, 1e9)])
    assert usual(before(values))[0][0] == 10.0


def test_ten_thousand_metrics_are_measured() -> None:
    rows = 10_000
    values = np.random.default_rng(0).standard_normal((rows, 60))
    history = Group(np.tile(np.arange(60), rows), values.ravel(), np.arange(rows + 1) * 60)
    window = np.zeros((rows, 30))
    window[77] = 50.0
    found = measure(history, window, np.arange(rows) % 500, np.zeros(rows, bool))
    assert int(np.abs(found.scales).argmax()) == 77
    assert bool(found.is_known.all())
