"""The laws that every detector obeys, as a battery of named checks.

What `check_estimator` is for scikit-learn: a new detector is correct, in what can be said of all detectors, when
none of its checks fails. The tests run it over the whole registry.
"""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from atalaia.algorithms.adoption_laws import ADOPTION_LAWS
from atalaia.algorithms.detectors.bands import judge
from atalaia.algorithms.detectors.protocol import Adopting, Detector, Streaming
from atalaia.algorithms.models import FleetModel
from atalaia.algorithms.probes import (
    DAY_STEPS,
    START_US,
    STEP_US,
    Probe,
    agree,
    fleet,
    history,
    probe_of,
    require,
    times,
)
from atalaia.algorithms.stream_laws import STREAMING_LAWS
from atalaia.core.points import FloatArray, Group, IntArray
from atalaia.core.scores import THRESHOLD, Scores

Check = tuple[str, Callable[[], None]]


def check_detector(detector: Detector) -> Iterator[Check]:
    """Yield the name and the run of each check; a run raises AssertionError, with the reason, when it fails."""
    for law in _LAWS:
        yield _name(law), partial(law, detector)
    if isinstance(detector, Streaming):
        for law in STREAMING_LAWS:
            yield _name(law), partial(law, detector)
    if isinstance(detector, Adopting):
        for law in ADOPTION_LAWS:
            yield _name(law), partial(law, detector)


def _name(law: Callable[..., None]) -> str:
    return law.__name__.removeprefix("_").replace("_", " ")


def _one(detector: Detector, timestamps: IntArray, values: FloatArray, seen: FloatArray) -> Scores:
    """Return the scores of `seen`, right behind the one history that is learnt."""
    state = detector.fit(Group.of([(timestamps, values)]))
    after = (timestamps[-1] if len(timestamps) else START_US) + STEP_US * np.arange(1, len(seen) + 1)
    return detector.score(state, np.zeros(len(seen), np.int64), after, seen)


def _the_state_has_its_layout(detector: Detector) -> None:
    state, layout = detector.fit(fleet()), detector.layout()
    require(set(state) == set(layout), f"arrays {sorted(state)}, layout {sorted(layout)}")
    for name, column in layout.items():
        require(state[name].dtype.str == column.dtype, f"{name} is {state[name].dtype.str}")
        require(state[name].shape == (5, *column.shape), f"{name} has the shape {state[name].shape}")
    require(state["points"].tolist() == [4 * DAY_STEPS] * 5, "points does not count the points learnt from")


def _scores_have_the_right_shape(detector: Detector) -> None:
    group = fleet()
    scores = probe_of(group, 123).score(detector, detector.fit(group))
    for name in ("score", "expected", "lower", "upper"):
        column = getattr(scores, name)
        require(column.shape == (123,) and column.dtype == np.float64, f"{name} is not float64[n]")
    require(scores.part.shape == (123,) and scores.part.dtype == np.int16, "part is not int16[n]")
    require(bool((scores.part >= 0).all()), "a part is negative")
    require(int(scores.part.max()) < len(detector.parts), "a part has no name")


def _scores_are_positive_and_finite(detector: Detector) -> None:
    largest = float(np.finfo(np.float64).max)
    values = np.array([0.0, -1e9, 1e9, 1e300, -largest, largest, np.inf, -np.inf])
    for known in (history(1)[1], np.zeros(300), np.full(300, 1e12)):
        score = _one(detector, times(len(known)), known, values).score
        require(bool(np.isfinite(score).all()), f"values {values.tolist()} have the scores {score.tolist()}")
        require(bool((score >= 0.0).all()), "a score is negative")


def _farther_is_stranger(detector: Detector) -> None:
    timestamps, known = history(2)
    state = detector.fit(Group.of([(timestamps, known)]))
    for moment in timestamps[-DAY_STEPS::48]:
        rows, at = np.zeros(60, np.int64), np.full(60, moment)
        middle = detector.score(state, rows[:1], at[:1], known[:1]).expected[0]
        for side in (-1.0, 1.0):
            score = detector.score(state, rows, at, middle + side * np.geomspace(1e-3, 1e6, 60)).score
            if detector.band_decides:
                require(bool((np.diff(score) >= 0.0).all()), "a value farther from the expected one scores lower")
                require(float(score[0]) < THRESHOLD, "the expected value scores high")
            require(float(score[-1]) > THRESHOLD, "a value far away scores low")
            require(float(score[-1]) >= float(score[0]), "a value far away scores lower than the expected one")


def _the_band_agrees_with_the_score(detector: Detector) -> None:
    group = fleet()
    state, probe = detector.fit(group), probe_of(group)
    band = probe.score(detector, state)
    require(bool((band.lower <= band.expected).all()), "the expected value is below the band")
    require(bool((band.expected <= band.upper).all()), "the expected value is above the band")
    if not detector.band_decides:
        return
    for edge in (band.lower, band.upper):
        for values in (np.nextafter(edge, -np.inf), edge, np.nextafter(edge, np.inf), probe.values):
            score = detector.score(state, probe.rows, probe.timestamps, values).score
            outside = (values < band.lower) | (values > band.upper)
            require(bool(((score > THRESHOLD) == outside).all()), "score over 1 and outside of the band differ")


def _gaps_and_missing_values_are_no_evidence(detector: Detector) -> None:
    timestamps, values = history(3)
    keep = np.ones(len(values), np.bool_)
    keep[100:180] = keep[300:301] = False
    clean = detector.fit(Group.of([(timestamps[keep], values[keep])]))
    holed = values.copy()
    holed[~keep] = np.nan
    holed[300] = np.inf
    state = detector.fit(Group.of([(timestamps, holed)]))
    for name, array in clean.items():
        same = np.array_equal(array, state[name], equal_nan=True)
        require(same, f"{name} depends on values that are missing or infinite")
    scores = detector.score(state, np.zeros(3, np.int64), timestamps[:3], np.array([np.nan, values[1], np.nan]))
    require(bool((np.isnan(scores.score) == [True, False, True]).all()), "NaN has a score, or a number has none")


def _a_history_of_nothing_gives_no_opinion(detector: Detector) -> None:
    for values in (np.empty(0), np.full(50, np.nan), np.full(50, np.inf)):
        scores = _one(detector, times(len(values)), values, np.array([0.0, 1.0]))
        for name in ("score", "expected", "lower", "upper"):
            require(bool(np.isnan(getattr(scores, name)).all()), f"{name} is a number, nothing was learnt")


def _a_short_history_gives_no_opinion(detector: Detector) -> None:
    least = detector.min_points
    for points in (1, 2, least - 1):
        scores = _one(detector, *history(1, points), np.array([0.0]))
        require(bool(np.isnan(scores.score).all()), f"{points} points gave a score, {least} are needed")
    require(
        bool(np.isfinite(_one(detector, *history(1, least), np.array([0.0])).score).all()),
        f"{least} points gave no score",
    )


def _no_series_and_no_points_are_fine(detector: Detector) -> None:
    nothing = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    for group in (Group.of([]), fleet(2)):
        state = detector.fit(group)
        require(len(state["points"]) == len(group), "the state is not as long as the fleet")
        require(len(detector.score(state, *nothing)) == 0, "no points gave scores")


def _one_point_scores_as_in_a_batch(detector: Detector) -> None:
    group = fleet()
    state, probe = detector.fit(group), probe_of(group, 40)
    batch = probe.score(detector, state).score
    for i in range(40):
        alone = Probe(probe.rows[i : i + 1], probe.timestamps[i : i + 1], probe.values[i : i + 1])
        require(float(alone.score(detector, state).score[0]) == float(batch[i]), "a point alone scores otherwise")


def _a_series_alone_learns_as_in_a_fleet(detector: Detector) -> None:
    group = fleet()
    together = detector.fit(group)
    for row in range(len(group)):
        for name, array in detector.fit(Group.of([group.series(row)])).items():
            same = np.allclose(array[0], together[name][row], rtol=1e-12, atol=0.0, equal_nan=True)
            require(same, f"{name} of a series depends on its neighbours")


def _the_order_of_series_does_not_matter(detector: Detector) -> None:
    group, order = fleet(), np.array([3, 0, 4, 1, 2])
    probe = probe_of(group)
    moved = Probe(np.argsort(order)[probe.rows], probe.timestamps, probe.values)
    mixed = detector.fit(Group.of(group.series(int(row)) for row in order))
    require(
        agree(probe.score(detector, detector.fit(group)), moved.score(detector, mixed)),
        "the same series in another order score otherwise",
    )


def _fitting_twice_gives_the_same(detector: Detector) -> None:
    group = fleet()
    first, second = detector.fit(group), detector.fit(group)
    for name, array in first.items():
        require(np.array_equal(array, second[name], equal_nan=True), f"{name} differs from one fit to the next")
    probe = probe_of(group)
    require(agree(probe.score(detector, first), probe.score(detector, second)), "scores differ from call to call")


def _the_state_survives_bytes(detector: Detector) -> None:
    group = fleet()
    model = FleetModel.fit(detector, [f"series {row}" for row in range(len(group))], group)
    data = model.to_bytes()
    again = FleetModel.from_bytes(data, {detector.name: type(detector)})
    probe = probe_of(group)
    scores = [m.score(probe.rows, probe.timestamps, probe.values) for m in (model, again)]
    require(agree(*scores), "the model scores otherwise after bytes and back")
    require(again.detector == detector, "the hyperparameters changed on the way")
    require(again.to_bytes() == data, "the same model gives other bytes")


def _memory_per_series_is_bounded(detector: Detector) -> None:
    sizes = [
        sum(array.nbytes for array in detector.fit(Group.of([history(1, points)])).values())
        for points in (500, 5000)
    ]
    require(sizes[0] == sizes[1], f"the state grows with the history: {sizes}")
    allowed = detector.max_bytes_per_series
    require(sizes[1] <= allowed, f"{sizes[1]} bytes a series, {allowed} are allowed")


def _a_constant_series_alarms_when_it_moves(detector: Detector) -> None:
    for level in (0.0, 100.0, -1e9, 0.1):
        moved = level + 0.01 * abs(level) + 1e-3
        score = _one(detector, times(1000), np.full(1000, level), np.array([level, moved])).score
        require(float(score[0]) <= THRESHOLD, f"a series that always was {level} alarms at {level}")
        require(float(score[1]) > THRESHOLD, f"a series that always was {level} is silent at {moved}")


def _a_level_jump_stays_strange(detector: Detector) -> None:
    timestamps, values = history(1)
    score = _one(detector, timestamps, values, np.full(2 * DAY_STEPS, values.mean() + 1000.0)).score
    require(bool((score > THRESHOLD).all()), "a level jump is forgotten without a training")


def _irregular_steps_are_fine(detector: Detector) -> None:
    timestamps, values = history(4)
    keep = np.random.default_rng(1).random(len(values)) < 0.5
    jitter = np.random.default_rng(2).integers(0, STEP_US, len(values))
    score = _one(detector, (timestamps + jitter)[keep], values[keep], values[:50] + 1e4).score
    require(bool((score > THRESHOLD).all()), "values far off pass after a history with irregular steps")


def _inputs_are_left_alone(detector: Detector) -> None:
    group = fleet()
    before = [array.copy() for array in (group.timestamps, group.values, group.indptr)]
    state, probe = detector.fit(group), probe_of(group)
    kept = {name: array.copy() for name, array in state.items()}
    columns = [probe.rows.copy(), probe.timestamps.copy(), probe.values.copy()]
    probe.score(detector, state)
    for old, new in zip(before, (group.timestamps, group.values, group.indptr), strict=True):
        require(np.array_equal(old, new), "fit changes the group")
    for name, array in kept.items():
        require(np.array_equal(array, state[name], equal_nan=True), f"score changes {name} of the state")
    for old, new in zip(columns, (probe.rows, probe.timestamps, probe.values), strict=True):
        require(np.array_equal(old, new, equal_nan=True), "score changes the points")


def _bands_say_what_scores_say(detector: Detector) -> None:
    group = fleet()
    state = detector.fit(group)
    bands = detector.bands(state)
    if bands is None:
        return
    expected, allowed = bands
    for column in bands:
        require(column.shape == (len(group),) and column.dtype == np.float64, "a band is not float64[m]")
    probe = probe_of(group)
    scores = probe.score(detector, state)
    again = judge(probe.values, expected[probe.rows], allowed[probe.rows], scores.part)
    for name in ("score", "expected", "lower", "upper"):
        same = np.array_equal(getattr(scores, name), getattr(again, name), equal_nan=True)
        require(same, f"{name} is not what the bands make it")


_LAWS: tuple[Callable[[Detector], None], ...] = (
    _the_state_has_its_layout,
    _scores_have_the_right_shape,
    _scores_are_positive_and_finite,
    _farther_is_stranger,
    _the_band_agrees_with_the_score,
    _gaps_and_missing_values_are_no_evidence,
    _a_history_of_nothing_gives_no_opinion,
    _a_short_history_gives_no_opinion,
    _no_series_and_no_points_are_fine,
    _one_point_scores_as_in_a_batch,
    _a_series_alone_learns_as_in_a_fleet,
    _the_order_of_series_does_not_matter,
    _fitting_twice_gives_the_same,
    _the_state_survives_bytes,
    _memory_per_series_is_bounded,
    _a_constant_series_alarms_when_it_moves,
    _a_level_jump_stays_strange,
    _irregular_steps_are_fine,
    _inputs_are_left_alone,
    _bands_say_what_scores_say,
)
