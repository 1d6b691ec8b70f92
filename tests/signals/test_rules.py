import math
import time
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atalaia.signals.rules import (
    WIDE,
    Interval,
    Shape,
    advance,
    bucket_for,
    fleet_of,
    pick_merge,
    pick_merges,
    pick_split,
)
from atalaia.signals.settings import FleetRule

NAN = math.nan


def by_pattern(match, fleet="{}"):
    return FleetRule(match=match, fleet=fleet)


# which fleet


@pytest.mark.parametrize(
    ("series_id", "match", "fleet", "expected"),
    [
        ("pump-7", "pump-*", "pumps", "pumps"),
        ("pump-7", "pump-*", "{}", "7"),
        ("pump-7", "fan-*", "fans", None),
        ("hall 2/pump/7", "*/pump/*", "{} pumps", "hall 2 pumps"),
        ("a/b/c", "*/*", "{}", "a/b"),
        ("pump_07_x", "pump_??_*", "{}", "x"),
        ("pump_07_x", "pump_[0-9][!a]_*", "{}", "x"),
        ("bomba/日本/7", "bomba/*/7", "{}", "日本"),
        ("a*b", "a[*]*", "{}", "b"),
        ("a[]b", "a[]*", "{}", "b"),
        ("a[b", "a[*", "{}", "b"),
        ("exact", "exact", "{}", "exact"),
        ("Pump", "pump", "{}", None),
        ("a\nb", "a*", "all", "all"),
        ("pump", "pump*", "{}", None),
        ("pump-x", "pump*", "   ", None),
        ("x-fleets", "x-*", "{}", None),
        ("a{}b", "a*", "f-{}", "f-{}b"),
    ],
)
def test_a_pattern_names_the_fleet(series_id, match, fleet, expected):
    assert fleet_of(series_id, {}, [by_pattern(match, fleet)]) == expected


def test_a_label_names_the_fleet():
    rule = FleetRule(label="asset", fleet="asset {}")
    assert fleet_of("s", {"asset": "7"}, [rule]) == "asset 7"
    assert fleet_of("s", {"other": "7"}, [rule]) is None


def test_the_first_rule_that_applies_decides():
    rules = [FleetRule(label="asset"), by_pattern("pump*", "pumps"), by_pattern("*", "rest")]
    assert fleet_of("pump 1", {"asset": "a"}, rules) == "a"
    assert fleet_of("pump 1", {}, rules) == "pumps"
    assert fleet_of("fan 1", {}, rules) == "rest"
    assert fleet_of("fan 1", {}, []) is None


@pytest.mark.parametrize("value", ["", " ", "batch", "a\x00b", "x" * 249, "x" * 100_000])
def test_a_label_that_cannot_name_a_fleet_names_none(value):
    assert fleet_of("s", {"asset": value}, [FleetRule(label="asset")]) is None


def test_an_id_that_would_make_the_fleet_too_long_names_none():
    assert fleet_of("s" * 256, {}, [by_pattern("*", "fleet of {}")]) is None


@pytest.mark.parametrize(
    ("series_id", "match"),
    [
        ("a" * 256, "*a" * 60 + "b"),
        ("a" * 255 + "b", "*a" * 60 + "[b]"),
        ("a" * 255 + "b", "*?" * 60 + "[b]"),
        ("[" * 256, "[" * 100 + "*"),
        ("a" * 256, "*" * 200 + "a"),
    ],
)
def test_a_hostile_pattern_costs_little(series_id, match):
    started = time.perf_counter()
    fleet_of(series_id, {}, [by_pattern(match)])
    assert time.perf_counter() - started < 1.0


@given(st.text("ab*?[]!-", max_size=12), st.text("ab*[]", min_size=1, max_size=12))
def test_a_rule_applies_exactly_where_the_shell_pattern_matches(match, series_id):
    found = fleet_of(series_id, {}, [by_pattern(match, "fleet")])
    assert (found == "fleet") == fnmatchcase(series_id, match)


@given(st.text("ab/", max_size=4), st.text("ab/", min_size=1, max_size=6), st.text("ab/", max_size=4))
def test_what_the_star_stood_for_can_be_put_back(before, middle, behind):
    found = fleet_of(f"{before}{middle}{behind}", {}, [by_pattern(f"{before}*{behind}", "-{}")])
    assert found == f"-{middle}"


@pytest.mark.parametrize("rule", [{}, {"match": "a", "label": "b"}, {"match": "a", "flet": "b"}])
def test_a_rule_needs_one_condition(rule):
    with pytest.raises(ValidationError):
        FleetRule(**rule)


# when an anomaly opens and closes


def read(scores, *, open_after=1, close_after=2, current=None, start=0):
    times = list(range(start + 1, start + len(scores) + 1))
    alarms = [score > 1.0 for score in scores]
    places = range(start, start + len(scores))
    return advance(current, times, scores, alarms, places, open_after=open_after, close_after=close_after)


def peak(interval):
    assert interval is not None
    return interval.peak_at, interval.peak_score, interval.peak


def brief(interval):
    return interval and (interval.opened_at, interval.last_at, interval.strange, interval.quiet, interval.is_open)


@pytest.mark.parametrize(
    ("scores", "open_after", "close_after", "closed", "current"),
    [
        ([], 1, 2, [], None),
        ([0.5, 1.0], 1, 2, [], None),
        ([1.01], 1, 2, [], (1, 1, 1, 0, True)),
        ([2, 2, 0], 1, 2, [], (1, 2, 2, 1, True)),
        ([2, 2, 0, 0], 1, 2, [(1, 2, 2, 2, True)], None),
        ([2, 0, 2, 0, 0], 1, 2, [(1, 3, 2, 2, True)], None),
        ([2, 0, 0, 2], 1, 2, [(1, 1, 1, 2, True)], (4, 4, 1, 0, True)),
        ([2, 0, 2, 0], 1, 1, [(1, 1, 1, 1, True), (3, 3, 1, 1, True)], None),
        ([2], 2, 2, [], (1, 1, 1, 0, False)),
        ([2, 2], 2, 2, [], (1, 2, 2, 0, True)),
        ([2, 0, 2], 2, 2, [], (3, 3, 1, 0, False)),
        ([2, 0], 2, 2, [], None),
        ([2, 2, 0, 2, 0, 0], 2, 2, [(1, 4, 3, 2, True)], None),
        ([NAN, NAN], 1, 1, [], None),
        ([2, NAN, 2], 3, 1, [], (1, 3, 2, 0, False)),
        ([2, 0, NAN, 0], 1, 2, [(1, 1, 1, 2, True)], None),
        ([2, NAN], 1, 1, [], (1, 1, 1, 0, True)),
    ],
)
def test_an_anomaly_opens_grows_and_closes(scores, open_after, close_after, closed, current):
    ended, going = read(scores, open_after=open_after, close_after=close_after)
    assert [brief(one) for one in ended] == closed
    assert brief(going) == current


def test_the_peak_is_the_first_of_the_highest_scores():
    _, going = read([2.0, 5.0, 3.0, 5.0])
    assert peak(going) == (2, 5.0, 1)


def test_a_peak_in_an_earlier_block_has_no_position_in_this_one():
    earlier = Interval(1, 1, 1, 9.0, 1, 0, True)
    _, going = read([2.0], current=earlier, start=7)
    assert peak(going) == (1, 9.0, None)
    _, going = read([10.0], current=earlier, start=7)
    assert peak(going) == (8, 10.0, 7)


def test_what_is_strange_is_what_is_in_alarm_whatever_its_score():
    ended, going = advance(
        None, [1, 2, 3], [5.0, 0.5, 0.7], [False, True, True], [4, 9, 7], open_after=1, close_after=9
    )
    assert ended == []
    assert (brief(going), peak(going)) == ((2, 3, 2, 0, True), (3, 0.7, 7))


def plain(interval):
    return interval and (*brief(interval), interval.peak_at, interval.peak_score)


SCORES = st.lists(st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, NAN]), max_size=40)


@given(SCORES, st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(0, 40), max_size=6))
def test_however_a_stream_is_cut_the_intervals_are_the_same(scores, open_after, close_after, cuts):
    limits = {"open_after": open_after, "close_after": close_after}
    whole, last = read(scores, **limits)
    edges = sorted({0, len(scores), *(min(cut, len(scores)) for cut in cuts)})
    ended, going = [], None
    for low, high in zip(edges, edges[1:], strict=False):
        more, going = read(scores[low:high], **limits, current=going, start=low)
        ended += more
    assert [plain(one) for one in ended] == [plain(one) for one in whole]
    assert plain(going) == plain(last)


@given(SCORES, st.integers(1, 4), st.integers(1, 4))
def test_every_interval_is_long_enough_and_apart_from_the_next(scores, open_after, close_after):
    ended, going = read(scores, open_after=open_after, close_after=close_after)
    for one in ended:
        assert one.is_open
        assert one.strange >= open_after
        assert one.quiet == close_after
        assert one.opened_at <= one.peak_at <= one.last_at
        assert one.peak_score == scores[one.peak] > 1.0
    every = [*ended, *([going] if going else [])]
    assert all(one.last_at < other.opened_at for one, other in zip(every, every[1:], strict=False))


# which blocks to merge


@pytest.mark.parametrize(
    ("rows", "fan_in", "max_rows", "expected"),
    [
        ([], 2, 100, None),
        ([5], 2, 100, None),
        ([1, 1], 2, 100, slice(0, 2)),
        ([1, 1, 1], 4, 100, None),
        ([1, 1, 1, 1], 4, 100, slice(0, 4)),
        ([1, 1, 1, 1, 1], 4, 100, slice(0, 5)),
        ([1, 2, 3, 3], 4, 100, slice(0, 4)),
        ([64, 1, 1, 1, 1], 4, 100, slice(1, 5)),
        ([64, 1, 1, 1], 4, 100, None),
        ([1, 4, 4, 4, 4], 4, 100, slice(0, 5)),
        ([4, 1, 4, 1, 4, 1, 4], 4, 100, slice(0, 7)),
        ([4, 4, 16, 4, 4], 4, 100, None),
        ([60, 60], 2, 100, None),
        ([60, 60, 1, 1], 2, 100, slice(2, 4)),
        ([32, 32, 32, 32], 2, 100, slice(0, 3)),
        ([40, 33, 32], 2, 100, slice(0, 2)),
    ],
)
def test_neighbours_of_like_size_are_merged(rows, fan_in, max_rows, expected):
    assert pick_merge(rows, fan_in=fan_in, max_rows=max_rows) == expected


BLOCKS = st.lists(st.integers(1, 3000), max_size=40)


@given(BLOCKS, st.integers(2, 8), st.integers(100, 5000))
def test_a_merge_takes_enough_neighbours_and_not_too_many_points(rows, fan_in, max_rows):
    run = pick_merge(rows, fan_in=fan_in, max_rows=max_rows)
    if run is not None:
        assert 0 <= run.start < run.stop <= len(rows)
        assert run.step is None
        assert run.stop - run.start >= fan_in
        assert sum(rows[run]) <= max_rows


@given(BLOCKS, st.integers(2, 8), st.integers(100, 5000))
def test_merging_again_and_again_comes_to_an_end(rows, fan_in, max_rows):
    total, most = sum(rows), len(rows)
    for _ in range(most):
        run = pick_merge(rows, fan_in=fan_in, max_rows=max_rows)
        if run is None:
            break
        rows = [*rows[: run.start], sum(rows[run]), *rows[run.stop :]]
    assert pick_merge(rows, fan_in=fan_in, max_rows=max_rows) is None
    assert sum(rows) == total


def grown(sizes, fan_in, max_rows):
    """Add blocks one by one, merging whenever it is worth it; return the blocks and the points written anew."""
    blocks, rewritten = [], 0
    for size in sizes:
        blocks.append(size)
        while (run := pick_merge(blocks, fan_in=fan_in, max_rows=max_rows)) is not None:
            rewritten += sum(blocks[run])
            blocks[run] = [sum(blocks[run])]
    return blocks, rewritten


@given(st.lists(st.integers(1, 50), min_size=1, max_size=300), st.integers(2, 8))
def test_a_point_is_rewritten_no_more_often_than_the_logarithm_of_the_history(sizes, fan_in):
    _, rewritten = grown(sizes, fan_in, 10**9)
    assert rewritten <= sum(sizes) * (math.log(sum(sizes), fan_in) + 1)


def test_a_steady_stream_leaves_few_blocks_and_a_large_one_is_left_in_peace():
    blocks, rewritten = grown([100] * 5_000, 8, 4_000_000)
    assert len(blocks) <= 7 * 5
    assert rewritten <= 500_000 * 5


def test_a_history_of_full_blocks_stays_as_it_is():
    blocks, _ = grown([100] * 5_000, 8, 10_000)
    assert len(blocks) <= 2 * 500_000 / 10_000 + 7 * 3
    assert max(blocks) <= 10_000


# blocks of several buckets


@pytest.mark.parametrize(("first", "last", "bucket"), [(1, 4_095, 0), (4_096, 8_191, 1), (4_095, 4_096, WIDE)])
def test_points_of_one_bucket_belong_to_it_and_others_to_none(first, last, bucket):
    assert bucket_for(first, last) == bucket


def runs(*blocks, fan_in=2, max_rows=100, enough_rows=1_000):
    return pick_merges(
        [Shape(*block) for block in blocks], fan_in=fan_in, max_rows=max_rows, enough_rows=enough_rows
    )


def test_blocks_are_merged_inside_their_bucket():
    assert runs((0, 1, 9), (1, 1, 9), (2, 1, 9), (0, 2, 9), (1, 2, 9)) == [[0, 3], [1, 4]]
    assert runs((0, 1, 9), (1, 1, 9), (0, 2, 9), (1, 2, 9), enough_rows=18) == [[0, 2]]


def test_what_arrived_in_between_keeps_blocks_apart():
    assert runs((0, 1, 9), (WIDE, 2, 9), (0, 3, 9)) == []
    assert runs((WIDE, 1, 9), (0, 2, 9), (WIDE, 3, 9)) == []
    assert runs((0, 1, 9), (0, 2, 9), (WIDE, 3, 9), (0, 4, 9), (WIDE, 5, 9)) == [[0, 1]]


def split(*blocks, at_rows):
    return pick_split([Shape(*block) for block in blocks], at_rows=at_rows)


def test_the_oldest_wide_blocks_are_divided_when_all_hold_enough():
    wide = [(WIDE, 2, 5), (WIDE, 3, 5), (WIDE, 4, 5)]
    assert split((0, 1, 99), *wide, at_rows=16) == []
    assert split((0, 1, 99), *wide, at_rows=15) == [1, 2, 3]
    assert split((0, 1, 99), *wide, at_rows=6) == [1, 2]
    assert split(at_rows=1) == []


def test_a_division_stops_before_what_arrived_in_between():
    assert split((WIDE, 1, 5), (0, 2, 5), (WIDE, 3, 5), at_rows=10) == [0]


SHAPES = st.lists(st.tuples(st.integers(WIDE, 2), st.integers(1, 200)), max_size=40).map(
    lambda pairs: [Shape(bucket, place, rows) for place, (bucket, rows) in enumerate(pairs)]
)


@given(SHAPES, st.integers(2, 4))
def test_no_merge_and_no_division_takes_a_block_past_one_that_it_may_share_points_with(blocks, fan_in):
    chosen = pick_merges(blocks, fan_in=fan_in, max_rows=1_000, enough_rows=5_000)
    for run in [*chosen, pick_split(blocks, at_rows=300)]:
        between = blocks[run[0] : run[-1] + 1] if run else []
        lanes = {blocks[position].bucket for position in run}
        others = [block for place, block in enumerate(blocks) if place not in run and block in between]
        assert len(lanes) <= 1
        assert not any(block.bucket in lanes or WIDE in (block.bucket, *lanes) for block in others)
