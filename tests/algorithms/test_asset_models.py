"""Artefacts of assets: hostile ones are refused, good ones speak of sensors by name."""

import json

import numpy as np
import pytest

from atalaia.algorithms.artifacts import pack, unpack
from atalaia.algorithms.asset_laws import plant
from atalaia.algorithms.asset_models import AssetModel, make_asset_detector
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
