"""Artefacts of assets: hostile ones are refused, good ones speak of sensors by name."""

import json

import numpy as np
import pytest

from atalaia.algorithms.artifacts import pack, unpack
from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel, make_asset_detector
from atalaia.algorithms.assets.moments import Pace
from atalaia.algorithms.relations import Relations
from atalaia.core.errors import Broken, Invalid

NAMES = tuple(f"pump_{i}" for i in range(6))


@pytest.fixture(scope="module")
def data():
    return AssetModel.fit(Relations(), NAMES, plant(0)).to_bytes()


def rewritten(data, change):
    """Return the artefact after `change` of its header and arrays."""
    header, members = unpack(data)
    layout = Relations().layout(6)
    arrays = {name: members[name].array(c.dtype, c.shape).copy() for name, c in layout.items()}
    change(header, arrays)
    return pack(header, arrays)


def test_causes_are_named():
    model = AssetModel.fit(Relations(), NAMES, plant(0))
    after = plant(1, 40)
    after[-6:, 3] += 9.0
    assert model.explain() == ()
    assert (model.advance(after).score[-3:] > 1.0).all()
    assert [name for name, _ in model.explain()] == ["pump_3"]
    assert model.ready.all()
    assert model.nbytes < 10_000


def test_scoring_leaves_the_model_where_it_stands(data):
    model = AssetModel.from_bytes(data)
    model.score(plant(1, 40))
    assert model.to_bytes() == data


@pytest.mark.parametrize("names", [("a",) * 6, NAMES[:5], (*NAMES, "b")])
def test_each_sensor_needs_a_name_of_its_own(names):
    with pytest.raises(ValueError, match="name"):
        AssetModel.fit(Relations(), names, plant(0))


@pytest.mark.parametrize(("name", "given"), [("zscore", {}), ("relations", {"ridge": 0}), ("relations", {"x": 1})])
def test_unknown_detectors_and_wrong_hyperparameters_are_refused(name, given):
    with pytest.raises(Invalid):
        make_asset_detector(name, given)


def test_hyperparameters_are_read_as_json_has_them():
    detector = make_asset_detector("relations", json.loads('{"mean_points": 7.0, "memory": 2}'))
    assert detector == Relations(mean_points=7, memory=2.0)


HOSTILE = {
    "another format": lambda header, arrays: header.update(format="atalaia.fleet-model"),
    "a later version": lambda header, arrays: header.update(version=2),
    "no detector": lambda header, arrays: header.pop("detector"),
    "an unknown detector": lambda header, arrays: header.update(detector="pickle"),
    "wrong hyperparameters": lambda header, arrays: header.update(hyperparameters={"ridge": -1.0}),
    "hyperparameters that are a list": lambda header, arrays: header.update(hyperparameters=[]),
    "other shapes than the hyperparameters say": lambda header, arrays: header["hyperparameters"].update(
        hold_points=31
    ),
    "sensors that are numbers": lambda header, arrays: header.update(sensors=list(range(6))),
    "a sensor twice": lambda header, arrays: header.update(sensors=["a"] * 6),
    "too few sensors": lambda header, arrays: header.update(sensors=["a"]),
    "too many sensors": lambda header, arrays: header.update(sensors=[str(i) for i in range(10**5)]),
    "an array missing": lambda header, arrays: arrays.pop("limit"),
    "an array more": lambda header, arrays: arrays.update(extra=np.zeros(6)),
    "another type": lambda header, arrays: arrays.update(level=arrays["level"].astype(np.float32)),
    "an infinity": lambda header, arrays: arrays["mean"].__setitem__(0, np.inf),
    "a negative scale": lambda header, arrays: arrays["scale"].__setitem__(0, -1.0),
    "a scale of nothing": lambda header, arrays: arrays["scale"].__setitem__(0, np.nan),
    "no inverse of a covariance": lambda header, arrays: arrays["precision"].fill(np.nan),
}


PACE = Pace(60, 7, np.array([1, 0, 3, 1, 1, 1]), np.array([1, 1, 3, 1, 1, 1]), np.array([9, 9, 9, -1, 9, 9]))


def paced(change=lambda arrays: None):
    header, members = unpack(AssetModel.fit(Relations(), NAMES, plant(0), PACE).to_bytes())
    arrays = {name: member.array(member.dtype, member.shape).copy() for name, member in members.items()}
    change(arrays)
    return pack(header, arrays)


def test_how_often_sensors_are_read_is_in_the_artefact():
    model = AssetModel.from_bytes(paced())
    assert model.to_bytes() == paced()
    assert model.pace is not None
    assert (model.pace.step_us, model.pace.origin_us) == (60, 7)
    for name in ("spans", "holds", "last_us"):
        assert getattr(model.pace, name).tolist() == getattr(PACE, name).tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("pace_spans"),
        lambda arrays: arrays["pace_clock"].__setitem__(0, 0),
        lambda arrays: arrays["pace_holds"].__setitem__(0, 10**9),
        lambda arrays: arrays.update(pace_last=np.zeros(5, np.int64)),
        lambda arrays: arrays.update(pace_last=np.zeros(6)),
    ],
)
def test_an_impossible_pace_is_refused(change):
    with pytest.raises(Broken):
        AssetModel.from_bytes(paced(change))


def test_without_a_sensor_names_pace_and_counts_go_on():
    model = AssetModel.fit(Relations(), NAMES, plant(0), PACE)
    rest = model.without({"pump_2", "nobody"})
    assert rest.series_ids == ("pump_0", "pump_1", "pump_3", "pump_4", "pump_5")
    assert rest.pace is not None
    assert rest.pace.spans.tolist() == [1, 0, 1, 1, 1]
    assert (model.trained["series"], rest.trained["series"], rest.trained["points"]) == (6.0, 5.0, 3000.0)
    assert AssetModel.from_bytes(rest.to_bytes()).to_bytes() == rest.to_bytes()


def test_a_living_model_leaves_the_trained_one_alone():
    model = AssetModel.fit(Relations(), NAMES, plant(0))
    before = model.to_bytes()
    model.alive().advance(plant(1, 40))
    assert model.to_bytes() == before


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_an_artefact_that_no_training_gives_is_refused(data, change):
    with pytest.raises(Broken, match="cannot be used"):
        AssetModel.from_bytes(rewritten(data, change))


def test_a_cut_artefact_is_refused(data):
    for end in (0, 10, len(data) // 2, len(data) - 1):
        with pytest.raises(Broken):
            AssetModel.from_bytes(data[:end])


def test_a_changed_byte_is_refused(data):
    changed = bytearray(data)
    changed[data.index(AssetModel.from_bytes(data).state["precision"].tobytes()) + 7] ^= 1
    with pytest.raises(Broken):
        AssetModel.from_bytes(bytes(changed))
