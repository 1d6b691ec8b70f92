"""The laws of detectors of assets: every registered one obeys them, and bad ones are caught."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from atalaia.algorithms.asset_laws import check_asset_detector
from atalaia.algorithms.asset_models import ASSET_DETECTORS, make_asset_detector
from atalaia.algorithms.relations import Relations
from atalaia.core.errors import Broken

CHEAP = {"relations": {}, "isolation_forest": {"trees": 25}}

REGISTERED = [
    pytest.param(run, id=f"{name}: {check}")
    for name in ASSET_DETECTORS
    for check, run in check_asset_detector(make_asset_detector(name, CHEAP[name]))
]


@pytest.mark.parametrize("run", REGISTERED)
def test_every_registered_detector_obeys_the_laws(run):
    run()


def failures(detector):
    failed = set()
    for name, run in check_asset_detector(detector):
        try:
            run()
        except (AssertionError, Broken):
            failed.add(name)
    return failed


def test_the_laws_hold_for_other_hyperparameters_too():
    assert not failures(Relations(mean_points=1, hold_points=1, blocks=5, ridge=1.0))
    assert not failures(Relations(mean_points=20, rarity_points=1e4, memory=0.3, distrust=1.0))


def test_every_check_has_a_name_of_its_own():
    names = [name for name, _ in check_asset_detector(Relations())]
    assert len(set(names)) == len(names) >= 15


@dataclass(frozen=True)
class Growing(Relations):
    """Keeps the whole history."""

    def fit(self, values):
        return {**super().fit(values), "history": values}


@dataclass(frozen=True)
class Drunk(Relations):
    """Depends on chance."""

    def fit(self, values):
        return super().fit(values + np.random.default_rng().normal(size=values.shape))


@dataclass(frozen=True)
class Foresighted(Relations):
    """Looks at what comes."""

    def advance(self, state, values):
        found = super().advance(state, values)
        return replace(found, score=found.score * (1.0 + (values > 1e4).sum()))


@dataclass(frozen=True)
class Forgetful(Relations):
    """Begins anew with each batch."""

    def advance(self, state, values):
        state["powers"][:] = 0.0
        return super().advance(state, values)


@dataclass(frozen=True)
class Careless(Relations):
    """Works in the arrays that it is given."""

    def fit(self, values):
        np.nan_to_num(values, copy=False)
        return super().fit(values)

    def score(self, state, values):
        return self.advance(state, values)


@dataclass(frozen=True)
class Asleep(Relations):
    """Finds nothing strange, and blames the first sensor."""

    def advance(self, state, values):
        found = super().advance(state, values)
        return replace(found, score=np.minimum(found.score, 0.9))

    def explain(self, state):
        return tuple(replace(deviation, sensor=0) for deviation in super().explain(state))


@dataclass(frozen=True)
class Opinionated(Relations):
    """Takes gaps for zeros."""

    def advance(self, state, values):
        return super().advance(state, np.nan_to_num(values, nan=0.0))


@dataclass(frozen=True)
class Clinging(Relations):
    """Goes on as if a sensor that is left out had been the last one."""

    def without(self, state, kept):
        return super().without(state, np.arange(len(kept)))


@pytest.mark.parametrize(
    ("detector", "law"),
    [
        (Growing(), "memory is bounded"),
        (Growing(), "the state has its layout"),
        (Drunk(), "fitting twice gives the same"),
        (Foresighted(), "the future does not matter"),
        (Forgetful(), "a stream may be cut anywhere"),
        (Careless(), "inputs are left alone"),
        (Asleep(), "far readings are strange"),
        (Asleep(), "what is strange is explained"),
        (Opinionated(), "missing readings are no evidence"),
        (Clinging(), "a sensor that is left out counts as missing"),
    ],
)
def test_a_detector_that_breaks_a_law_is_caught(detector, law):
    assert law in failures(detector)
