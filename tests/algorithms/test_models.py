import io
import json
import zipfile
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.artifacts import pack
from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.detectors.protocol import Streaming
from atalaia.algorithms.models import FORMAT, FleetModel
from atalaia.core.errors import Broken
from atalaia.core.points import Group
from atalaia.core.scores import Confidence

STEP = 300_000_000
NAMES = ("pump 1", "пункт/2", "short", "empty")


def history(points, level=10.0):
    return np.arange(points, dtype=np.int64) * STEP, np.random.default_rng(1).normal(level, 2.0, points)


def group():
    return Group.of([history(1000), history(50, -3.0), history(4), history(0)])


def model(name="statistical"):
    return FleetModel.fit(make_detector(name, {}), NAMES, group())


def contents(data):
    """Return the members of an artefact by name."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, compression=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def npy(array, pickled=False):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), version=(1, 0), allow_pickle=pickled)
    return out.getvalue()


def header(**changes):
    kept = json.loads(contents(model().to_bytes())["header.json"])
    return json.dumps({key: value for key, value in (kept | changes).items() if value is not ...})


def test_confidence_follows_the_number_of_points():
    trained = model()
    assert [trained.confidence(row) for row in range(4)] == [
        Confidence.HIGH,
        Confidence.MEDIUM,
        Confidence.LOW,
        Confidence.LOW,
    ]


def test_ten_times_the_least_number_of_points_is_enough():
    points = 100
    for count, confidence in ((points - 1, Confidence.MEDIUM), (points, Confidence.HIGH)):
        lone = FleetModel.fit(make_detector("statistical", {}), ["a"], Group.of([history(count)]))
        assert lone.confidence(0) is confidence


def test_a_series_is_found_by_its_name():
    assert model().row_of("пункт/2") == 1
    assert model().row_of("pump 2") is None


def test_a_negative_row_is_refused_instead_of_scored_as_another_series():
    one = np.zeros(1, np.int64)
    for row in (-1, 4):
        with pytest.raises(IndexError):
            model().score(one + row, one, np.ones(1))


def test_training_metrics_count_points_series_and_strange_points():
    times, values = history(1000)
    values[10], values[20], values[500] = np.nan, np.inf, 1000.0
    metrics = FleetModel.fit(
        make_detector("robust_zscore", {}), ["a", "b"], Group.of([(times, values), history(3)])
    ).metrics()
    assert metrics["points"] == 1001.0
    assert metrics["points_ignored"] == 2.0
    assert metrics["series"] == 2.0
    assert metrics["series_ready"] == 1.0
    assert metrics["series_level"] == 1.0
    assert 1 / 998 <= metrics["training_anomaly_share"] < 0.01
    assert 0.1 < metrics["training_error"] < 0.4


def test_a_model_of_nothing_has_metrics_and_bytes():
    nothing = FleetModel.fit(make_detector("seasonal_profile", {}), [], Group.of([]))
    assert nothing.metrics()["training_anomaly_share"] == 0.0
    assert FleetModel.from_bytes(nothing.to_bytes()).series_ids == ()


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a", "b", "c", "c"]])
def test_a_group_needs_one_name_for_each_series(names):
    with pytest.raises(ValueError, match="one name"):
        FleetModel.fit(make_detector("statistical", {}), names, group())


def test_an_explanation_holds_the_band_and_a_sentence():
    trained = model()
    scores = trained.score(np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([99.0]))
    explanation = trained.explain(scores, 0, 99.0)
    assert explanation.expected == pytest.approx(10.0, abs=0.3)
    assert explanation.lower == scores.lower[0] < scores.upper[0] == explanation.upper
    assert explanation.part == "level"
    assert explanation.text.startswith("99 is above the expected")


def test_without_an_opinion_the_explanation_has_no_band():
    trained = model()
    scores = trained.score(np.full(1, 3), np.zeros(1, np.int64), np.array([99.0]))
    explanation = trained.explain(scores, 0, 99.0)
    assert (explanation.expected, explanation.lower, explanation.upper) == (None, None, None)
    assert "too few points" in explanation.text


@pytest.mark.parametrize("name", DETECTORS)
def test_a_model_survives_bytes(name):
    trained = model(name)
    again = FleetModel.from_bytes(trained.to_bytes())
    assert again.detector == trained.detector
    assert again.series_ids == NAMES
    assert again.metrics() == trained.metrics()
    assert again.readiness.tolist() == trained.readiness.tolist()
    for key, array in trained.state.items():
        np.testing.assert_array_equal(array, again.state[key])
    assert again.nbytes == trained.nbytes > 0


def test_the_same_model_gives_the_same_bytes():
    assert model("seasonal_profile").to_bytes() == model("seasonal_profile").to_bytes()


def test_numpy_reads_the_arrays_of_an_artefact():
    with np.load(io.BytesIO(model().to_bytes()), allow_pickle=False) as arrays:
        assert arrays["level"].shape == (4,)


def test_members_of_an_artefact_carry_no_time_of_making():
    with zipfile.ZipFile(io.BytesIO(model().to_bytes())) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_artefact_that_was_cut_is_refused():
    data = model().to_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(Broken) as refusal:
            FleetModel.from_bytes(data[:length])
        assert refusal.value.code == "bad_artifact"


@settings(max_examples=200)
@given(st.data())
def test_an_artefact_with_a_changed_byte_is_refused_or_the_same(data):
    original = model().to_bytes()
    place = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[place] ^= data.draw(st.integers(1, 255))
    try:
        again = FleetModel.from_bytes(bytes(changed))
    except Broken:
        return
    # Fields of the zip that nobody reads, such as the times of its members.
    assert again.to_bytes() == original


@given(st.binary(max_size=300))
def test_noise_is_refused(noise):
    with pytest.raises(Broken):
        FleetModel.from_bytes(noise)


def replaced(**members: bytes | str | None) -> dict[str, bytes | str]:
    """Return the members of a good artefact with some replaced (``__`` for the dot), or left out (None)."""
    changed = {name.replace("__", "."): content for name, content in members.items()}
    kept = contents(model().to_bytes()) | changed
    return {name: content for name, content in kept.items() if content is not None}


FORGED_MEMBERS = {
    "objects": {"level__npy": npy(np.array([1, 2, 3, None], object), pickled=True)},
    "a missing array": {"level__npy": None},
    "an array too many": {"more__npy": npy(np.zeros(4))},
    "another type": {"level__npy": npy(np.zeros(4, np.float32))},
    "another byte order": {"level__npy": npy(np.zeros(4, ">f8"))},
    "another length": {"level__npy": npy(np.zeros(5))},
    "another shape": {"level__npy": npy(np.zeros((4, 1)))},
    "fields": {"level__npy": npy(np.zeros(4, [("a", "<f8")]))},
    "no header of an array": {"level__npy": b"hello"},
    "fewer elements than declared": {"level__npy": npy(np.zeros(4))[:-8]},
    "more elements than declared": {"level__npy": npy(np.zeros(4)) + b"12345678"},
    "an infinite level": {"level__npy": npy(np.full(4, np.inf))},
    "a scale of zero": {"scale__npy": npy(np.zeros(4))},
    "a readiness that is none": {"readiness__npy": npy(np.full(4, 7, np.int8))},
    "no readiness": {"readiness__npy": None},
    "no header": {"header__json": None},
    "a header that is not JSON": {"header__json": b"{"},
    "a header that is not UTF-8": {"header__json": b"\xff\xfe"},
    "a header that is a list": {"header__json": b"[]"},
    "a header without bottom": {"header__json": b"[" * 100_000},
    "a file that is no array": {"evil__py": b"print()"},
}


@pytest.mark.parametrize("members", FORGED_MEMBERS.values(), ids=FORGED_MEMBERS)
def test_an_artefact_with_forged_members_is_refused(members):
    with pytest.raises(Broken) as refusal:
        FleetModel.from_bytes(zipped(replaced(**members)))
    assert refusal.value.code == "bad_artifact"


FORGED_HEADERS = {
    "another format": {"format": "zip"},
    "a later version": {"version": 2},
    "no detector": {"detector": ...},
    "an unknown detector": {"detector": "os.system"},
    "another detector": {"detector": "seasonal_profile", "hyperparameters": {}},
    "a detector that is not a text": {"detector": ["statistical"]},
    "unknown hyperparameters": {"hyperparameters": {"sigma": 3}},
    "impossible hyperparameters": {"hyperparameters": {"threshold_sigma": -3}},
    "hyperparameters that are no object": {"hyperparameters": []},
    "no names": {"series_ids": ...},
    "names that are numbers": {"series_ids": [1, 2, 3, 4]},
    "a name twice": {"series_ids": ["a", "a", "b", "c"]},
    "fewer names than series": {"series_ids": ["a"]},
    "no metrics": {"metrics": ...},
    "a metric that is a text": {"metrics": {"points": "many"}},
    "a metric that is no number": {"metrics": {"points": float("nan")}},
    "a metric without end": {"metrics": {"points": 10**400}},
}


@pytest.mark.parametrize("changes", FORGED_HEADERS.values(), ids=FORGED_HEADERS)
def test_an_artefact_with_a_forged_header_is_refused(changes):
    with pytest.raises(Broken) as refusal:
        FleetModel.from_bytes(zipped(replaced(header__json=header(**changes))))
    assert refusal.value.code == "bad_artifact"


def test_a_streaming_model_from_before_there_were_views_can_still_be_used():
    fresh = model("streaming")
    before = contents(fresh.to_bytes())
    del before["views.npy"]
    older = FleetModel.from_bytes(zipped(before))
    assert not older.state["views"].any()
    assert FleetModel.from_bytes(older.to_bytes()).state.keys() == fresh.state.keys()
    rows, later = np.arange(len(NAMES)), np.full(len(NAMES), 2000 * STEP)
    told = older.score(rows, later, np.zeros(len(NAMES))).score
    assert np.isfinite(told).tolist() == [True, True, False, False]
    del before["gauges.npy"]
    with pytest.raises(Broken, match="arrays of its detector"):
        FleetModel.from_bytes(zipped(before))


def test_the_forgeries_differ_from_a_good_artefact_by_their_forgery_only():
    assert FleetModel.from_bytes(zipped(replaced(header__json=header()))).series_ids == NAMES


def test_a_bomb_is_refused_before_it_goes_off():
    bomb = npy(np.zeros(1))
    bomb = bomb.replace(b"'shape': (1,)", b"'shape': (" + b"9" * 12 + b",)")
    for shape_bomb in (zipped(replaced(level__npy=bomb)), zipped(replaced(level__npy=npy(np.zeros(9**6))), 8)):
        with pytest.raises(Broken):
            FleetModel.from_bytes(shape_bomb)


def test_compressed_members_are_refused():
    with pytest.raises(Broken, match="compressed"):
        FleetModel.from_bytes(zipped(replaced(), zipfile.ZIP_DEFLATED))


def test_a_member_that_occurs_twice_is_refused():
    out = io.BytesIO(model().to_bytes())
    with zipfile.ZipFile(out, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("level.npy", npy(np.zeros(4)))
    with pytest.raises(Broken, match="twice"):
        FleetModel.from_bytes(out.getvalue())


def test_the_header_says_what_the_artefact_is():
    kept = json.loads(contents(model("robust_zscore").to_bytes())["header.json"])
    assert kept["format"] == FORMAT
    assert kept["detector"] == "robust_zscore"
    assert kept["hyperparameters"] == {"threshold_sigma": 3.5}


def test_a_header_of_numbers_that_are_none_cannot_be_packed():
    with pytest.raises(ValueError, match="not JSON compliant"):
        pack({"metrics": float("nan")}, {})


@settings(max_examples=25)
@given(st.permutations(range(4)), st.integers(1, 4), st.sampled_from(sorted(DETECTORS)))
def test_a_model_learnt_in_parts_is_the_model_learnt_at_once(order, size, name):
    histories = [history(1000), history(50, -3.0), history(4), history(0)]
    parts = [
        (np.array(order[start : start + size]), Group.of([histories[i] for i in order[start : start + size]]))
        for start in range(0, 4, size)
    ]
    whole, built = model(name), FleetModel.fit_parts(make_detector(name, {}), NAMES, iter(parts))
    for key, array in whole.state.items():
        np.testing.assert_array_equal(built.state[key], array, err_msg=key)
    assert built.readiness.tolist() == whole.readiness.tolist()
    assert built.metrics() == pytest.approx(whole.metrics())


def test_a_series_that_no_part_brings_is_not_learnt():
    part = (np.array([2]), Group.of([history(1000)]))
    trained = FleetModel.fit_parts(make_detector("statistical", {}), NAMES, [part])
    assert trained.readiness.tolist() == [0, 0, 2, 0]
    assert (trained.metrics()["series"], trained.metrics()["series_ready"]) == (4.0, 1.0)
    assert np.isnan(trained.score(np.array([0]), np.zeros(1, np.int64), np.ones(1)).score[0])
    assert not FleetModel.fit_parts(make_detector("statistical", {}), NAMES, []).readiness.any()


def test_a_name_that_stands_there_twice_is_refused():
    with pytest.raises(ValueError, match="one name"):
        FleetModel.fit_parts(make_detector("statistical", {}), ["a", "a"], [])


VALUES = st.floats(-1e100, 1e100) | st.sampled_from([np.nan, np.inf, -np.inf, 10.0, -3.0])


@pytest.mark.parametrize("name", DETECTORS)
@given(row=st.integers(0, 3), timestamp=st.integers(0, 2**62), value=VALUES)
def test_one_point_is_scored_and_explained_as_in_a_block(name, row, timestamp, value):
    trained = kept(name)
    scores = trained.score(np.array([row]), np.array([timestamp]), np.array([value]))
    one = trained.score_one(row, timestamp, value)
    assert one == pytest.approx(
        [float(getattr(scores, field)[0]) for field in ("score", "expected", "lower", "upper", "part")], nan_ok=True
    )
    score, expected, lower, upper, part = one
    assert trained.explain_one(value, score, expected, lower, upper, part) == trained.explain(scores, 0, value)


@cache
def kept(name):
    return model(name)


def test_plain_models_have_bands_and_others_have_none():
    plain = kept("statistical")
    assert plain.bands is not None
    expected, allowed = plain.bands
    scores = plain.score(np.arange(4), np.zeros(4, np.int64), np.zeros(4))
    np.testing.assert_array_equal(expected, scores.expected)
    np.testing.assert_array_equal(expected + allowed, scores.upper)
    assert np.isnan(expected).tolist() == [False, False, True, True]
    assert kept("seasonal_profile").bands is None


def test_what_a_living_model_learns_leaves_the_trained_one_as_it_was():
    trained = FleetModel.from_bytes(kept("streaming").to_bytes())
    before = trained.to_bytes()
    living = trained.alive()
    at = 1000 * STEP + np.arange(20) * STEP
    assert isinstance(living.detector, Streaming)
    living.detector.advance(living.state, np.zeros(20, np.int64), at, np.full(20, 11.0))
    assert trained.to_bytes() == before != living.to_bytes()
    assert not trained.state["times"].flags.writeable
    assert FleetModel.from_bytes(living.to_bytes()).alive().to_bytes() == living.to_bytes()


@pytest.mark.parametrize("name", sorted(DETECTORS))
def test_a_model_without_some_series_scores_the_others_bit_for_bit(name):
    whole = model(name)
    rest = whole.without({"пункт/2", "nobody"})
    assert rest.series_ids == ("pump 1", "short", "empty")
    assert (rest.trained["series"], whole.trained["series"]) == (3.0, 4.0)
    stamps, values = history(30, 12.0)
    for series_id in rest.series_ids:
        rows = [np.full(30, one.row_of(series_id)) for one in (whole, rest)]
        before, after = (one.score(rows[i], stamps, values) for i, one in enumerate((whole, rest)))
        assert before.score.tobytes() == after.score.tobytes()
    restored = FleetModel.from_bytes(rest.to_bytes())
    assert "пункт".encode() not in rest.to_bytes()
    assert restored.to_bytes() == rest.to_bytes()
    assert FleetModel.from_bytes(whole.without(set(NAMES)).to_bytes()).series_ids == ()
