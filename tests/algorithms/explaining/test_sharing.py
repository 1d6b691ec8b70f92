from hypothesis import given
from hypothesis import strategies as st

from atalaia.algorithms.explaining.sharing import contributing

OWN = {"hall": "2", "kind": "pump", "env": "production"}
COUNTS = {("hall", "2"): 5, ("kind", "pump"): 50, ("env", "production"): 100}


def told(others, own=OWN, counts=COUNTS, total=100):
    return [(one.label[1], one.strange, round(one.lift, 6)) for one in contributing(own, others, counts, total)]


def test_the_label_that_is_rare_among_all_comes_first():
    others = [{"hall": "2", "kind": "pump", "env": "production"}, {"hall": "2", "env": "production"}]
    assert told(others) == [("2", 3, 20.0), ("pump", 2, 1.333333)]


def test_what_all_series_have_contributes_nothing():
    assert told([{"env": "production"}] * 9) == []


def test_alone_nothing_is_shared():
    assert told([]) == []
    assert told([{"hall": "3"}, {}]) == []


def test_labels_that_were_not_counted_are_left_out():
    assert told([{"hall": "2"}], counts={}) == []


def test_series_that_came_since_they_were_counted_do_no_harm():
    assert told([{"hall": "2"}] * 9, counts={("hall", "2"): 1}, total=3) == []
    assert told([{"hall": "2"}], own={"hall": "2"}, counts={("hall", "2"): 0}, total=4) == [("2", 2, 2.0)]


LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)


@given(LABELS, st.lists(LABELS, max_size=20), st.integers(0, 30), st.integers(0, 30))
def test_what_is_told_is_shared_and_over_represented(own, others, count, total):
    counts = dict(zip(own.items(), [count] * len(own), strict=True))
    for one in contributing(own, others, counts, total):
        assert 1 < one.strange <= one.strange_total == len(others) + 1
        assert one.strange <= one.series <= one.series_total
        assert one.lift > 1.0
