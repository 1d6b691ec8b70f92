import numpy as np
import pytest

from atalaia.serving.peers import LEAST_PEERS, MOST_PEERS, peers_of


def peers(own, *members, points=None):
    return peers_of(own, members, np.array(points or [100] * len(members), np.int64))


WEB = {"job": "web", "zone": "a"}


@pytest.mark.parametrize(
    ("own", "members", "expected"),
    [
        (WEB, [WEB, {"job": "db"}, WEB, WEB], [0, 2, 3]),
        ({}, [WEB, {}, {"job": "db"}], [0, 1, 2]),
        (WEB, [{"job": "db"}, {"job": "db"}], [0, 1]),
        ({"host": "h9"}, [{"host": "h1"}, {"host": "h2"}, {"host": "h3"}], [0, 1, 2]),
        (WEB, [], []),
    ],
    ids=["the same labels", "none has labels", "none in common", "labels of one series only", "an empty fleet"],
)
def test_peers_share_labels_else_all_are_peers(own, members, expected):
    assert peers(own, *members) == expected


def test_too_few_that_share_most_are_joined_by_those_that_share_less():
    one, other = {"job": "web", "zone": "a"}, {"job": "web", "zone": "b"}
    assert peers(WEB, one, other, other, other, {"job": "db"}) == [0, 1, 2, 3]
    assert peers(WEB, *[one] * LEAST_PEERS, other) == list(range(LEAST_PEERS))
    assert peers(WEB, one, {"job": "db"}, {"job": "x"}) == [0, 1, 2]


def test_what_is_measured_says_more_than_where():
    own = {"__name__": "cpu", "host": "h1", "zone": "a", "rack": "r"}
    same, there = {"__name__": "cpu", "host": "h2"}, {"__name__": "disk", "host": "h1", "zone": "a", "rack": "r"}
    assert peers(own, *[there] * 5, *[same] * 3) == [5, 6, 7]


def test_of_too_many_those_that_are_known_best_are_taken():
    points = [*range(50), *range(50)]
    assert peers({}, *[{}] * 100, points=points) == [*range(34, 50), *range(84, 100)]
    assert len(peers(WEB, *[WEB] * 1_000)) == MOST_PEERS
