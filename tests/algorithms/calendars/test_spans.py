import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.calendars.spans import NOTHING, Spans

PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def covered(pairs):
    return {moment for start, end in pairs for moment in range(start, end)}


def pairs_of(spans):
    return list(zip(spans.starts.tolist(), spans.ends.tolist(), strict=True))


@given(PAIRS)
def test_stretches_cover_what_their_pairs_do_and_do_not_touch(pairs):
    found = Spans.of(pairs)
    assert covered(pairs_of(found)) == covered(pairs)
    assert all(found.starts < found.ends)
    assert all(found.starts[1:] > found.ends[:-1])


@given(PAIRS, st.lists(st.integers(-5, 45), max_size=20))
def test_a_moment_is_inside_when_a_pair_holds_it(pairs, moments):
    found = Spans.of(pairs)
    held = found.hold(np.array(moments, np.int64)).tolist()
    assert held == [moment in covered(pairs) for moment in moments]
    for moment in moments:
        around = found.around(moment)
        assert (around is not None) == (moment in covered(pairs))
        assert around is None or around[0] <= moment < around[1]


@given(PAIRS, st.integers(0, 40), st.integers(0, 40))
def test_a_part_of_time_has_the_stretches_that_touch_it(pairs, start, end):
    touching = [pair for pair in pairs_of(Spans.of(pairs)) if pair[0] < end and pair[1] > start]
    assert pairs_of(Spans.of(pairs).within(start, end)) == touching


@given(PAIRS, PAIRS)
def test_a_union_covers_both(first, second):
    both = Spans.union([Spans.of(first), Spans.of(second)])
    assert covered(pairs_of(both)) == covered(first) | covered(second)


def test_nothing_holds_nothing():
    assert not NOTHING.hold(np.arange(3)).any()
    assert (len(NOTHING), NOTHING.around(1), len(NOTHING.within(0, 9))) == (0, None, 0)


@pytest.mark.parametrize("pair", [(5, 5), (6, 5)])
def test_empty_stretches_count_for_nothing(pair):
    assert len(Spans.of([pair])) == 0
