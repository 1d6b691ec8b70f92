"""How rare a number is among those before it."""

import numpy as np
import pytest

from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.memory.columns import Columns
from atalaia.algorithms.memory.rarity import FEW, MOST_EVIDENCE, evidence, measure_tail, reach, remember
from atalaia.core.points import FloatArray


def _columns(past: FloatArray) -> Columns:
    state = MemoryBank(windows=125).empty(1)
    columns = Columns(*(state[name] for name in Columns._fields))
    for i, x in enumerate(past):
        remember(columns, 0, 0, x)
        if i % 50 == 49:
            measure_tail(columns, 0, 0)
    return columns


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_it_follows_the_tail_of_what_was(scale: float) -> None:
    rng = np.random.default_rng(1)
    columns = _columns(rng.exponential(size=10_000) * scale)
    for x in (0.1, 1.0, 3.0, 6.0, 10.0):
        assert evidence(columns, 0, 0, x * scale) == pytest.approx(x, rel=0.25, abs=0.1)


def test_more_is_never_less_rare_but_where_the_tail_begins() -> None:
    columns = _columns(np.abs(np.random.default_rng(2).normal(size=5000)))
    told = np.array([evidence(columns, 0, 0, x) for x in np.geomspace(1e-6, 1e6, 400)])
    assert (np.diff(told) > -0.2).all()
    assert told[0] < 0.1
    assert told[-1] == MOST_EVIDENCE


def test_few_points_say_nothing() -> None:
    assert evidence(_columns(np.ones(int(FEW) - 1)), 0, 0, 1e9) == 0.0
    assert evidence(_columns(np.ones(int(FEW))), 0, 0, 1e9) > 3.0


def test_what_was_always_zero_is_surprised_by_more() -> None:
    columns = _columns(np.zeros(500))
    assert evidence(columns, 0, 0, 0.0) == 0.0
    assert evidence(columns, 0, 0, 1e-12) == pytest.approx(np.log(2 * 501))


def test_an_outage_in_the_past_does_not_make_everything_usual() -> None:
    rng = np.random.default_rng(3)
    past = rng.exponential(size=5000)
    past[2000:2050] = 1e6
    assert evidence(_columns(past), 0, 0, 15.0) > 8.0


def test_the_histogram_forgets_by_halves() -> None:
    columns = _columns(np.ones(40_000))
    assert columns.tails[0, 0, 3] <= 15_000
    assert columns.counts.sum() == pytest.approx(columns.tails[0, 0, 3])


def test_numbers_of_a_hostile_artefact_do_not_lead_out_of_the_histogram() -> None:
    columns = _columns(np.ones(100))
    columns.tails[0, 0, 0] = np.nan
    before = columns.counts.copy()
    remember(columns, 0, 0, 1.0)
    before[0, 0, 0] += 1.0
    assert np.array_equal(columns.counts, before)


def test_the_number_with_so_much_evidence_is_the_inverse_of_evidence() -> None:
    columns = _columns(np.random.default_rng(4).exponential(size=10_000))
    for said in (4.0, 8.0, 20.0):
        assert evidence(columns, 0, 0, reach(columns, 0, 0, said)) == pytest.approx(said)
    assert reach(columns, 0, 0, 0.0) == reach(columns, 0, 0, 2.9)
    assert np.isnan(reach(_columns(np.ones(int(FEW) - 1)), 0, 0, 4.0))
    assert reach(_columns(np.zeros(500)), 0, 0, 4.0) == 0.0
