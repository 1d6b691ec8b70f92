"""The laws that detectors obey whose states learn from a stream."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from atalaia.algorithms.detectors.protocol import Advanced, State, Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.probes import DAY_STEPS, START_US, STEP_US, agree, fleet, history, require
from atalaia.core.points import FloatArray, Group, IntArray


@dataclass(frozen=True)
class _Stream:
    """What comes after the histories of a fleet: a day in order of time, with a jump, a gap and late points."""

    rows: IntArray
    timestamps: IntArray
    values: FloatArray

    @staticmethod
    def after(group: Group, points: int = 1500) -> "_Stream":
        rng = np.random.default_rng(11)
        rows = rng.integers(0, len(group), points)
        timestamps = group.timestamps[-1] + (1 + np.arange(points)) * (STEP_US // len(group))
        values = 50.0 * rows + rng.normal(size=points) * 5.0
        values[points // 2 : points // 2 + 40] += 1e3
        timestamps[points // 4 :] += 50 * STEP_US
        timestamps[::97] -= 300 * STEP_US
        values[::101] = np.nan
        return _Stream(rows, timestamps, values)

    def advance(self, detector: Streaming, state: State, places: IntArray) -> Advanced:
        return detector.advance(state, self.rows[places], self.timestamps[places], self.values[places])


def _same_states(one: State, other: State) -> bool:
    return all(array.tobytes() == other[name].tobytes() for name, array in one.items())


def _copied(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def _a_stream_may_be_cut_anywhere(detector: Streaming) -> None:
    group = fleet()
    stream, fitted = _Stream.after(group), detector.fit(group)
    whole, cut = _copied(fitted), _copied(fitted)
    at_once = stream.advance(detector, whole, np.arange(len(stream.rows)))
    edges = [0, 1, 2, 700, 760, len(stream.rows)]
    parts = [stream.advance(detector, cut, np.arange(*edge)) for edge in zip(edges, edges[1:], strict=False)]
    require(_same_states(whole, cut), "the states depend on how the stream is cut")
    for name in ("onset", "alarm"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        require(np.array_equal(joined, getattr(at_once, name)), f"{name} depends on how the stream is cut")
    score = np.concatenate([part.scores.score for part in parts])
    require(score.tobytes() == at_once.scores.score.tobytes(), "scores depend on how the stream is cut")


def _series_may_be_mixed_in_a_batch(detector: Streaming) -> None:
    group = fleet()
    stream, fitted = _Stream.after(group), detector.fit(group)
    mixed, sorted_ = _copied(fitted), _copied(fitted)
    order = np.argsort(stream.rows, kind="stable")
    answers = stream.advance(detector, mixed, np.arange(len(stream.rows))), stream.advance(detector, sorted_, order)
    require(_same_states(mixed, sorted_), "the states depend on how the series are mixed")
    require(np.array_equal(answers[0].scores.score[order], answers[1].scores.score, equal_nan=True), "so do scores")


def _advance_scores_as_score_does(detector: Streaming) -> None:
    group = fleet()
    stream, state = _Stream.after(group), detector.fit(group)
    for place in range(0, 600, 20):
        places = np.unique(stream.rows[place : place + 20], return_index=True)[1] + place
        read = detector.score(state, stream.rows[places], stream.timestamps[places], stream.values[places])
        require(agree(read, stream.advance(detector, state, places).scores), "score and advance differ")


def _late_and_missing_points_teach_nothing(detector: Streaming) -> None:
    group = fleet()
    state = detector.fit(group)
    kept, rows = _copied(state), np.arange(len(group))
    for moment, value in ((START_US, 1e6), (int(group.timestamps[-1]), 1e6), (2 * START_US, np.nan)):
        detector.advance(state, rows, np.full(len(rows), moment), np.full(len(rows), value))
    require(_same_states(kept, state), "a point that is late, repeated or missing changes the state")


def _a_stream_goes_on_after_bytes(detector: Streaming) -> None:
    group = fleet()
    model = FleetModel.fit(detector, [f"series {row}" for row in range(len(group))], group)
    again = FleetModel.from_bytes(model.to_bytes(), {detector.name: type(detector)})
    states = _copied(model.state), _copied(again.state)
    stream = _Stream.after(group)
    for state in states:
        stream.advance(detector, state, np.arange(len(stream.rows)))
    require(_same_states(*states), "the states go on otherwise after bytes and back")


def _an_outage_alarms_once_and_teaches_nothing(detector: Streaming) -> None:
    timestamps, values = history(1)
    state = detector.fit(Group.of([(timestamps, values)]))
    rows, after = np.zeros(12, np.int64), timestamps[-1] + STEP_US * np.arange(1, 13)
    day_later = after + DAY_STEPS * STEP_US
    before = detector.score(state, rows, day_later, values[:12])
    outage = detector.advance(state, rows, after, np.full(12, values.mean() + 1e4))
    require(outage.onset.sum() == 1, f"an outage has {outage.onset.sum()} onsets")
    require(bool(outage.alarm[outage.onset.argmax() :].all()), "the alarm does not last as long as the outage")
    moved = np.abs(detector.score(state, rows, day_later, values[:12]).expected - before.expected)
    require(bool((moved <= 0.1 * (before.upper - before.expected)).all()), "an outage moves what is expected")


def _a_lasting_level_is_accepted_at_last(detector: Streaming) -> None:
    timestamps, values = history(1)
    state = detector.fit(Group.of([(timestamps, values)]))
    later, moved = timestamps + timestamps[-1] - timestamps[0] + STEP_US, values + 1e3
    advanced = detector.advance(state, np.zeros(len(later), np.int64), later, moved)
    require(bool(advanced.alarm[:20].any()), "a new level does not alarm")
    require(not advanced.alarm[-1], "a new level alarms for ever")


def _a_series_never_seen_gets_an_opinion_by_and_by(detector: Streaming) -> None:
    timestamps, values = history(2, detector.min_points + 1)
    state, rows = detector.empty(1), np.zeros(len(values), np.int64)
    score = detector.advance(state, rows, timestamps, values).scores.score
    require(bool((np.isnan(score) == ([True] * detector.min_points + [False])).all()), f"its scores are {score}")


STREAMING_LAWS: tuple[Callable[[Streaming], None], ...] = (
    _a_stream_may_be_cut_anywhere,
    _series_may_be_mixed_in_a_batch,
    _advance_scores_as_score_does,
    _late_and_missing_points_teach_nothing,
    _a_stream_goes_on_after_bytes,
    _an_outage_alarms_once_and_teaches_nothing,
    _a_lasting_level_is_accepted_at_last,
    _a_series_never_seen_gets_an_opinion_by_and_by,
)
