import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atalaia.algorithms.selection.injecting import KINDS, SLOT_POINTS, Nature, inject, nature_of, room
from tests.algorithms.selection.histories import daily, noise

hostile = st.floats(allow_nan=True, allow_infinity=True, width=64)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(
    values=arrays(np.float64, st.integers(0, 400), elements=hostile),
    period=st.integers(0, 300),
    seed=st.integers(0, 2**32),
    kinds=st.permutations(KINDS),
)
@settings(max_examples=200, deadline=None)
def test_nothing_is_touched_outside_the_labels_and_a_seed_repeats_itself(values, period, seed, kinds):
    nature = nature_of(values, period)
    before = values.copy()
    made = inject(values, kinds, nature, rng(seed))
    again = inject(values, kinds, nature, rng(seed))
    assert values.tobytes() == before.tobytes()
    labels = made.labels
    assert made.values[~labels].tobytes() == values[~labels].tobytes()
    assert made.values.tobytes() == again.values.tobytes()
    assert made.events == again.events
    for event in made.events:  # and each changes its first and its last point
        assert made.values[event.first] != values[event.first]
        assert made.values[event.last] != values[event.last]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_put_in_and_found_by_who_knows_the_original(kind):
    values = daily(600)
    made = inject(values, [kind], nature_of(values, 288), rng(3))
    (event,) = made.events
    assert event.kind == kind
    oracle = np.abs(made.values - values) > 0
    assert oracle[event.first]
    assert oracle[event.last]
    assert (oracle & ~made.labels).sum() == 0


def test_sizes_stand_out_of_the_noise_and_are_not_absurd():
    values = noise(4_000)
    nature = nature_of(values)
    assert nature.unit == pytest.approx(2.0, rel=0.1)
    sizes = [
        abs(made.values[made.events[0].first] - values[made.events[0].first])
        for seed in range(50)
        for made in [inject(values, ["spike_up"], nature, rng(seed))]
    ]
    assert min(sizes) >= 4 * nature.unit - 1e-9
    assert max(sizes) <= 16 * nature.unit + 1e-9
    assert max(sizes) > 2 * min(sizes)


def test_a_season_counts_for_the_size_but_does_not_hide_everything():
    values = daily()
    assert 1.0 < nature_of(values, 288).unit < 14.0  # noise 1, spread about 20


def test_events_leave_calm_between_them():
    values = noise(6 * SLOT_POINTS)
    for seed in range(50):
        events = inject(values, KINDS[:5], nature_of(values), rng(seed)).events
        assert len(events) == 5
        assert all(b.first - a.last > 1 for a, b in zip(events, events[1:], strict=False))


def test_there_is_no_more_put_in_than_there_is_room_for():
    assert [room(n) for n in (0, 39, 40, 80, 10_000)] == [0, 0, 1, 2, len(KINDS)]
    assert inject(noise(39), KINDS, Nature(2.0, 0), rng()).events == ()
    assert len(inject(noise(85), KINDS, Nature(2.0, 0), rng()).events) <= 2


def test_what_would_change_nothing_is_no_event():
    constant = np.full(400, 7.0)
    assert nature_of(constant).unit == 0.0
    assert inject(constant, KINDS, nature_of(constant), rng()).events == ()
    assert inject(noise(400), ["season"], nature_of(noise(400)), rng()).events == ()


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="not a kind"):
        inject(noise(100), ["colour"], Nature(1.0, 0), rng())
