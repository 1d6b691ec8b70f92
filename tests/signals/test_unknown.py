import numpy as np

from atalaia.signals.unknown import watch
from tests.signals.builders import ThresholdScorer, columns
from tests.signals.known_events import add, of_series
from tests.signals.scorers import School
from tests.signals.test_scoring import brief, run

POINTS = columns((1, 1, 5.0), (2, 1, 99.0), (1, 2, 99.0), (2, 2, 40.0))


def test_without_known_points_a_block_is_scored_as_it_is():
    scorer = ThresholdScorer()
    scored = watch(scorer, POINTS, None)
    assert scored.alarm.tolist() == [False, True, True, True]
    assert scorer.blocks == [[1, 2, 1, 2]]


def test_known_points_are_shown_to_nobody_and_the_others_keep_their_words():
    scorer = ThresholdScorer()
    scored = watch(scorer, POINTS, np.array([False, True, True, False]), replayed=True)
    assert (scorer.blocks, scorer.replayed) == ([], [[1, 2]])
    assert scored.alarm.tolist() == [False, False, False, True]
    assert np.isnan(scored.score).tolist() == [False, True, True, False]
    assert [scored.explain(index).text for index in (0, 3)] == ["5 is far from 0", "40 is far from 0"]
    assert scored.model(3).algorithm == "plain"


def test_a_block_may_be_known_as_a_whole():
    scored = watch(ThresholdScorer(), POINTS, np.ones(4, np.bool_))
    assert (np.isnan(scored.score).all(), scored.alarm.any()) == (True, False)


# in the follower


def test_inside_a_known_event_nothing_alarms_and_no_model_is_shown_the_points(place):
    add(place, 2, 5)
    place.send(*run("a", [0, 0, 99, 99, 99, 0, 99]))
    place.drain()
    assert [brief(one) for one in place.anomalies()] == [("a", "open", 6, 6, 1)]
    assert place.scorer.blocks == [[1] * 4]
    assert place.series("a").statistics.count == 7  # the running statistics go on
    assert b"points_known_total 3.0" in place.telemetry.render()


def test_an_anomaly_does_not_outlast_the_beginning_of_an_event(place):
    place.send(*run("a", [0, 99, 99]), *run("b", [0, 99, 99]))
    place.drain()
    add(place, 3, 10, scope=of_series("a"))
    place.send(*run("a", [99, 99], 3), *run("b", [99, 99], 3))
    place.drain()
    assert sorted(brief(one) for one in place.anomalies()) == [("a", "closed", 1, 2, 2), ("b", "open", 1, 4, 4)]
    place.send(*run("a", [99], 10))
    place.drain()
    assert [brief(one) for one in place.anomalies(series_id="a")] == [
        ("a", "open", 10, 10, 1),
        ("a", "closed", 1, 2, 2),
    ]


def test_an_event_of_the_past_leaves_the_anomalies_that_are_there(place):
    place.send(*run("a", [0, 99, 0]))
    place.drain()
    add(place, 0, 2)
    place.send(*run("a", [0], 3))
    place.drain()
    assert [brief(one) for one in place.anomalies()] == [("a", "open", 1, 1, 1)]


def test_known_events_hold_for_points_that_are_scored_again_and_for_those_that_are_taught(open_place):
    place = open_place(School())
    add(place, 1, 3)
    place.send(*run("a", [0, 99, 99, 0]))
    place.drain()
    place.store()
    place.send(*run("a", [0], 4))
    add(place, 4, 6)
    place.drain()
    school = School([1])
    place.begin_again(school)
    place.drain()
    assert school.replayed == [[]]
    assert school.taught == [1, 1]
    assert place.anomalies() == []


def test_points_that_an_asset_puts_before_the_block_keep_their_places():
    class Later(ThresholdScorer):
        def watch_block(self, numbers, timestamps, values, *, replayed=False):
            block = super().watch_block(numbers, timestamps, values, replayed=replayed)
            before = columns((3, 0, 77.0))
            block.points = type(before).concat([before, block.points])
            block.score, block.alarm = np.append(7.7, block.score), np.append(True, block.alarm)
            return block

    scored = watch(Later(), POINTS, np.array([False, True, True, False]))
    assert scored.points.series.tolist() == [3, 1, 2, 1, 2]
    assert np.isnan(scored.score).tolist() == [False, False, True, True, False]
    assert scored.alarm.tolist() == [True, False, False, False, True]
    assert [scored.explain(index).text for index in (0, 1, 4)] == [
        "77 is far from 0",
        "5 is far from 0",
        "40 is far from 0",
    ]
    assert np.isnan(scored.raw()).tolist() == [False, False, True, True, False]
