"""The laws that streaming detectors obey whose new series begin with what their peers have in common."""

from collections.abc import Callable

import numpy as np

from atalaia.algorithms.detectors.protocol import Adopting, State
from atalaia.algorithms.probes import DAY_STEPS, STEP_US, fleet, history, require
from atalaia.core.points import FloatArray, Group, IntArray


def _adopted(detector: Adopting, peers: State) -> State:
    state = detector.empty(1)
    detector.adopt(state, 0, peers)
    return state


def _newcomer(points: int = DAY_STEPS) -> tuple[IntArray, FloatArray]:
    """Return what comes of a series that is like the others, with an outage in it."""
    timestamps, values = history(7)
    values = values[:points].copy()
    values[points // 2 : points // 2 + 5] += 1e4
    return timestamps[-1] + STEP_US * np.arange(1, points + 1), values


def _same(one: State, other: State) -> bool:
    return all(array.tobytes() == other[name].tobytes() for name, array in one.items())


def _who_adopts_changes_one_row_only(detector: Adopting) -> None:
    peers, state = detector.fit(fleet()), detector.fit(fleet(3))
    for array in state.values():
        array[1] = 0
    before, given = ({name: array.copy() for name, array in one.items()} for one in (state, peers))
    require(detector.adopt(state, 1, peers) == 5, "not every peer gives something")
    require(_same(given, peers), "adopting changes the peers")
    others = [0, 2]
    for name, array in state.items():
        require(np.array_equal(array[others], before[name][others]), f"{name} of other series changes")
    require(int(state["points"][1]) == 0, "what peers give counts as points")


def _the_order_of_peers_does_not_matter(detector: Adopting) -> None:
    peers, order = detector.fit(fleet()), np.array([3, 0, 4, 1, 2])
    mixed = {name: array[order] for name, array in peers.items()}
    require(_same(_adopted(detector, peers), _adopted(detector, mixed)), "it depends on the order of the peers")


def _peers_that_know_nothing_give_nothing(detector: Adopting) -> None:
    young = detector.fit(Group.of([history(1, 2 * detector.min_points)]))
    for peers in (detector.empty(4), detector.empty(0), young):
        state = detector.empty(1)
        require(detector.adopt(state, 0, peers) == 0, "peers that know nothing give something")
        require(_same(state, detector.empty(1)), "peers that know nothing change a row")


def _a_series_with_points_is_not_adopted(detector: Adopting) -> None:
    state = detector.empty(1)
    timestamps, values = history(2, 3)
    detector.advance(state, np.zeros(3, np.int64), timestamps, values)
    before = {name: array.copy() for name, array in state.items()}
    require(detector.adopt(state, 0, detector.fit(fleet())) == 0, "a series with points is adopted")
    require(_same(before, state), "what a series has learnt is lost")


def _an_adopted_stream_may_be_cut_anywhere(detector: Adopting) -> None:
    peers = detector.fit(fleet())
    timestamps, values = _newcomer()
    whole, cut, rows = _adopted(detector, peers), _adopted(detector, peers), np.zeros(len(values), np.int64)
    at_once = detector.advance(whole, rows, timestamps, values).scores.score
    least = detector.min_points
    edges = [0, 1, least // 2, least, least + 1, len(values)]
    parts: list[FloatArray] = []
    for first, end in zip(edges, edges[1:], strict=False):
        parts.append(detector.advance(cut, rows[first:end], timestamps[first:end], values[first:end]).scores.score)
    require(_same(whole, cut), "the states depend on how the stream is cut")
    require(np.concatenate(parts).tobytes() == at_once.tobytes(), "scores depend on how the stream is cut")


def _an_adopted_series_has_an_opinion_after_its_first_points(detector: Adopting) -> None:
    state = _adopted(detector, detector.fit(fleet()))
    timestamps, values = _newcomer()
    told = detector.advance(state, np.zeros(len(values), np.int64), timestamps, values)
    least = detector.min_points
    require(bool(np.isnan(told.scores.score[:least]).all()), "it has an opinion before it knows its level")
    require(bool(np.isfinite(told.scores.score[least:]).all()), "it has no opinion once it knows its level")
    require(bool(told.alarm[len(values) // 2 :][:5].any()), "an outage on its first day is missed")


def _an_adopted_constant_is_fine(detector: Adopting) -> None:
    peers = detector.fit(fleet())
    for level in (0.0, 100.0, -1e9, 1e139):
        state, rows = _adopted(detector, peers), np.zeros(300, np.int64)
        told = detector.advance(state, rows, _newcomer(300)[0], np.full(300, level))
        least = detector.min_points
        require(bool(np.isfinite(told.scores.score[least:]).all()), f"a constant {level} has no score")
        require(
            all(np.isfinite(array).all() for array in state.values() if array.dtype.kind == "f"),
            f"a constant {level} leaves numbers that are none",
        )


ADOPTION_LAWS: tuple[Callable[[Adopting], None], ...] = (
    _who_adopts_changes_one_row_only,
    _the_order_of_peers_does_not_matter,
    _peers_that_know_nothing_give_nothing,
    _a_series_with_points_is_not_adopted,
    _an_adopted_stream_may_be_cut_anywhere,
    _an_adopted_series_has_an_opinion_after_its_first_points,
    _an_adopted_constant_is_fine,
)
"""What `check_detector` looks at beside the laws of all streaming detectors."""
