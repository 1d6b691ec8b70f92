"""The laws that every detector of assets obeys, as a battery of named checks."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from atalaia.algorithms.asset_models import AssetModel
from atalaia.algorithms.assets.protocol import AssetDetector, AssetScores
from atalaia.algorithms.checks import Check
from atalaia.algorithms.detectors.protocol import State
from atalaia.algorithms.probes import require
from atalaia.core.points import FloatArray
from atalaia.core.scores import THRESHOLD

SENSORS = 6
_FAR = 1e6


def check_asset_detector(detector: AssetDetector) -> Iterator[Check]:
    """Yield the name and the run of each check; a run raises AssertionError, with the reason, when it fails."""
    for law in _LAWS:
        yield law.__name__.removeprefix("_").replace("_", " "), partial(law, detector)


def plant(seed: int, moments: int = 600, sensors: int = SENSORS) -> FloatArray:
    """Return readings of sensors that hang on two hidden quantities, with noise of their own."""
    rng, drawn = np.random.default_rng(seed), max(moments, 2)
    hidden = rng.normal(size=(drawn, 2)).cumsum(axis=0)
    hidden -= np.linspace(0.0, 1.0, drawn)[:, np.newaxis] * hidden[-1]
    weights = np.random.default_rng(99).normal(size=(2, sensors))
    own = rng.normal(size=(drawn, sensors)) * 0.3
    readings = 10.0 * np.arange(sensors) + (hidden / hidden.std(axis=0)) @ weights + own
    return readings[:moments]


def probe(moments: int = 120) -> FloatArray:
    """Return moments after a history: usual ones, gaps, one sensor off, and what no sensor says."""
    values = plant(1, moments)
    values[20:30, 2] = np.nan
    values[40] = np.nan
    values[50:60, 1] += 30.0
    values[70, :3] = np.inf, -1e300, 1e9
    values[90:, 4] = np.nan
    return values


def _copied(state: State) -> State:
    return {name: array.copy() for name, array in state.items()}


def _same(one: AssetScores, other: AssetScores) -> bool:
    names = ("score", "sensor", "parts")
    return all(getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in names)


def _same_states(one: State, other: State) -> bool:
    return all(array.tobytes() == other[name].tobytes() for name, array in one.items())


def _the_state_has_its_layout(detector: AssetDetector) -> None:
    for sensors in (1, SENSORS):
        state, layout = detector.fit(plant(0, sensors=sensors)), detector.layout(sensors)
        require(set(state) == set(layout), f"arrays {sorted(state)}, layout {sorted(layout)}")
        for name, column in layout.items():
            array = state[name]
            require(array.dtype.str == column.dtype, f"{name} is {array.dtype.str}")
            require(array.shape == column.shape, f"{name} has the shape {array.shape}, not {column.shape}")
            outside = (array.astype(np.float64) < column.low) | (array.astype(np.float64) > column.high)
            require(not outside.any(), f"{name} leaves its range")
        require(state["points"].tolist() == [600] * sensors, "points does not count the values learnt from")
        detector.check(state)


def _scores_have_the_right_shape(detector: AssetDetector) -> None:
    found = detector.score(detector.fit(plant(0)), probe())
    require(found.score.shape == (120,) and found.score.dtype == np.float64, "score is not float64[n]")
    require(found.sensor.shape == (120,) and found.sensor.dtype == np.int32, "sensor is not int32[n]")
    require(found.parts.shape == (120, SENSORS) and found.parts.dtype == np.float64, "parts is not float64[n, k]")
    require(bool(((found.sensor >= -1) & (found.sensor < SENSORS)).all()), "a sensor is none of the asset")


def _scores_are_positive_and_finite(detector: AssetDetector) -> None:
    largest = float(np.finfo(np.float64).max)
    for known in (
        plant(0),
        np.zeros((300, SENSORS)),
        np.full((300, SENSORS), 1e12),
        1e100 * plant(0),
        plant(0, 50, 90),
    ):
        moments = np.array([[0.0], [-1e9], [1e300], [largest], [-largest], [np.inf], [-np.inf]])
        found = detector.score(detector.fit(known), np.tile(moments, known.shape[1]))
        require(bool(np.isfinite(found.score).all()), f"absurd readings have the scores {found.score.tolist()}")
        require(bool((found.score >= 0.0).all()) and not bool((found.parts < 0.0).any()), "a score is negative")
        require(bool(np.isfinite(found.parts).all()), "a part is not finite")


def _missing_readings_are_no_evidence(detector: AssetDetector) -> None:
    state, moments = detector.fit(plant(0)), probe()
    moments[70] = plant(1)[70]
    found = detector.score(state, moments)
    nothing = np.isnan(moments).all(axis=1)
    require(
        bool((np.isnan(found.score) == nothing).all()), "a moment has a score without a reading, or none with one"
    )
    require(
        bool((np.isnan(found.parts) == np.isnan(moments)).all()), "a missing sensor is strange, or one read is not"
    )
    without = detector.score(state, moments[~nothing])
    require(without.score.tobytes() == found.score[~nothing].tobytes(), "a moment without readings changes others")


def _far_readings_are_strange(detector: AssetDetector) -> None:
    history = plant(0)
    state = detector.fit(history)
    usual = detector.score(state, history[-50:]).score
    far = detector.score(state, np.vstack([history[-50:], history[-1:] + _FAR])).score[-1]
    require(float(far) > THRESHOLD, "readings far from all that was learnt are usual")
    require(bool((far >= usual).all()), "readings far from all that was learnt are less strange than usual ones")


def _a_short_history_gives_no_opinion(detector: AssetDetector) -> None:
    for moments in (0, 1, detector.min_points - 1):
        found = detector.score(detector.fit(plant(0, moments)), plant(1, 5))
        require(
            bool(np.isnan(found.score).all()), f"{moments} moments gave a score, {detector.min_points} are needed"
        )
        require(bool((found.sensor == -1).all()), "a sensor is strange and nothing was learnt")
    found = detector.score(detector.fit(plant(0, detector.min_points)), plant(1, 5))
    require(bool(np.isfinite(found.score).all()), f"{detector.min_points} moments gave no score")


def _odd_assets_are_learnt_or_not(detector: AssetDetector) -> None:
    odd = plant(0)
    odd[:, 0] = np.nan
    odd[:, 1] = 5.0
    odd[:, 3] = odd[:, 2]
    odd[np.random.default_rng(0).random(600) < 0.99, 4] = np.nan
    found = detector.score(detector.fit(odd), plant(1, 50))
    require(bool(np.isfinite(found.score).all()), "one odd sensor silences the others")
    require(bool(np.isnan(found.parts[:, 0]).all()), "a sensor that was never read has an opinion")
    for sensors in (0, 1):
        found = detector.score(detector.fit(plant(0, sensors=sensors)), plant(1, 5, sensors))
        require(bool((np.isnan(found.score) == (sensors == 0)).all()), f"{sensors} sensors are judged wrongly")
    require(len(detector.score(detector.fit(plant(0)), plant(1, 0))) == 0, "no moments gave scores")


def _fitting_twice_gives_the_same(detector: AssetDetector) -> None:
    require(_same_states(detector.fit(plant(0)), detector.fit(plant(0))), "one fit differs from the next")


def _the_state_survives_bytes(detector: AssetDetector) -> None:
    model = AssetModel.fit(detector, [f"sensor {i}" for i in range(SENSORS)], plant(0))
    model.advance(probe()[:60])
    data = model.to_bytes()
    again = AssetModel.from_bytes(data, {detector.name: type(detector)})
    require(again.detector == detector and again.sensors == model.sensors, "names changed on the way")
    require(again.to_bytes() == data, "the same model gives other bytes")
    require(again.explain() == model.explain(), "the model explains otherwise after bytes and back")
    require(
        _same(again.advance(probe()[60:]), model.advance(probe()[60:])), "it scores otherwise after bytes and back"
    )


def _a_stream_may_be_cut_anywhere(detector: AssetDetector) -> None:
    fitted, moments = detector.fit(plant(0)), probe()
    whole, cut, alone = _copied(fitted), _copied(fitted), _copied(fitted)
    at_once = detector.advance(whole, moments)
    edges = [0, 1, 20, 41, 55, 120]
    parts = [detector.advance(cut, moments[a:b]) for a, b in zip(edges, edges[1:], strict=False)]
    singly = [detector.advance(alone, moments[i : i + 1]) for i in range(len(moments))]
    for pieces, state in ((parts, cut), (singly, alone)):
        require(_same_states(whole, state), "the state depends on how the stream is cut")
        for name in ("score", "sensor", "parts"):
            joined = np.concatenate([getattr(piece, name) for piece in pieces])
            require(
                joined.tobytes() == getattr(at_once, name).tobytes(), f"{name} depends on how the stream is cut"
            )
    require(_same(detector.score(fitted, moments), at_once), "score and advance differ")


def _the_future_does_not_matter(detector: AssetDetector) -> None:
    state, moments = detector.fit(plant(0)), probe()
    other = moments.copy()
    other[60:] = 1e5
    one, two = (detector.score(state, values).score[:60] for values in (moments, other))
    require(one.tobytes() == two.tobytes(), "a score depends on what comes after it")


def _sensors_may_stand_in_any_order(detector: AssetDetector) -> None:
    order = np.array([3, 0, 5, 4, 1, 2])
    straight = detector.score(detector.fit(plant(0)), plant(1, 60))
    mixed = detector.score(detector.fit(plant(0)[:, order]), plant(1, 60)[:, order])
    if detector.draws:
        alike = np.corrcoef(straight.score, mixed.score)[0, 1]
        require(alike > 0.7, f"in another order of sensors the scores are others (correlation {alike:.2f})")
        return
    require(
        np.allclose(straight.score, mixed.score, rtol=1e-6), "in another order of sensors the scores are others"
    )
    same = np.allclose(straight.parts[:, order], mixed.parts, rtol=1e-6)
    require(same, "in another order of sensors other sensors are strange")


def _inputs_are_left_alone(detector: AssetDetector) -> None:
    history, moments = plant(0), probe()
    kept = history.copy(), moments.copy()
    state = detector.fit(history)
    before = _copied(state)
    detector.score(state, moments)
    require(_same_states(before, state), "score changes the state")
    detector.advance(state, moments)
    held = _copied(state)
    detector.explain(state)
    require(_same_states(held, state), "explain changes the state")
    for old, new in zip(kept, (history, moments), strict=True):
        require(np.array_equal(old, new, equal_nan=True), "readings are changed")


def _memory_is_bounded(detector: AssetDetector) -> None:
    short, long = detector.fit(plant(0, 500)), detector.fit(plant(0, 3000))
    sizes = [sum(array.nbytes for array in state.values()) for state in (short, long)]
    require(sizes[0] == sizes[1], f"the state grows with the history: {sizes}")
    detector.advance(long, plant(1, 1000))
    require(sum(array.nbytes for array in long.values()) == sizes[1], "the state grows with the stream")


def _what_is_strange_is_explained(detector: AssetDetector) -> None:
    history = plant(0)
    state = detector.fit(history)
    require(detector.explain(state) == (), "what was never seen is explained")
    off = plant(1, 40)
    off[-8:, 2] += 60.0
    detector.advance(state, off)
    found = detector.explain(state)
    places = [deviation.sensor for deviation in found]
    require(places[:1] == [2], f"sensor 2 is off, {places} are named")
    require(len(set(places)) == len(places), "a sensor is named twice")
    for deviation in found:
        require(deviation.score > THRESHOLD, "a sensor is named that is not strange")
        require(deviation.lower <= deviation.expected <= deviation.upper, "the band does not hold what is expected")
    require(not found[0].lower <= found[0].seen <= found[0].upper, "what is strange lies inside its band")


def _a_sensor_that_is_left_out_counts_as_missing(detector: AssetDetector) -> None:
    history, moments = plant(0), probe()
    kept = np.delete(np.arange(SENSORS), 2)
    state = detector.fit(history)
    before = _copied(state)
    rest = detector.without(state, kept)
    require(_same_states(before, state), "leaving a sensor out changes the state that it is left out of")
    detector.check(rest)
    require(_same_states(rest, AssetModel.from_bytes(_bytes_of(detector, rest)).state), "what is left is no state")
    found = detector.score(rest, moments[:, kept])
    moments[:, 2] = np.nan
    missing = detector.score(state, moments)
    require(bool((np.isnan(found.score) == np.isnan(missing.score)).all()), "there are opinions of other moments")
    calm, strange = missing.score < 0.5 * THRESHOLD, missing.score > 2.0 * THRESHOLD
    require(not bool((found.score[calm] > THRESHOLD).any()), "moments are strange that were calm")
    require(bool((found.score[strange] > THRESHOLD).all()), "moments are calm that were strange")
    nobody = detector.without(state, np.empty(0, np.intp))
    require(len(nobody["points"]) == 0, "something is left of no sensor")


def _bytes_of(detector: AssetDetector, state: State) -> bytes:
    names = tuple(f"s{i}" for i in range(len(state["points"])))
    return AssetModel(detector, names, state).to_bytes()


_LAWS: tuple[Callable[[AssetDetector], None], ...] = (
    _the_state_has_its_layout,
    _scores_have_the_right_shape,
    _scores_are_positive_and_finite,
    _missing_readings_are_no_evidence,
    _far_readings_are_strange,
    _a_short_history_gives_no_opinion,
    _odd_assets_are_learnt_or_not,
    _fitting_twice_gives_the_same,
    _the_state_survives_bytes,
    _a_stream_may_be_cut_anywhere,
    _the_future_does_not_matter,
    _sensors_may_stand_in_any_order,
    _inputs_are_left_alone,
    _memory_is_bounded,
    _what_is_strange_is_explained,
    _a_sensor_that_is_left_out_counts_as_missing,
)
