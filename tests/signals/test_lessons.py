import numpy as np
import pytest

from atalaia.core.errors import Missing
from atalaia.signals.events import AskedScope
from atalaia.signals.lessons import Lessons
from tests.signals.builders import us
from tests.signals.known_events import MINUTE, add, of_series

FOR_EVER = 1 << 62


@pytest.fixture
def lessons(place):
    place.send(*((name, i * MINUTE, float(i)) for name in ("a", "b") for i in range(10)))
    place.drain()
    return Lessons(place.signals)


def values(group):
    return [group.series(i)[1].tolist() for i in range(len(group))]


ALL = [float(i) for i in range(10)]


def test_without_events_everything_is_learnt(lessons):
    assert values(lessons.group(["b", "a", "nobody"], 0, FOR_EVER)) == [ALL, ALL, []]


def test_what_lies_inside_a_known_event_is_not_learnt(place, lessons):
    add(place, 2, 5, scope=of_series("a"))
    rest = [0.0, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    group = lessons.group(["b", "a", "nobody"], 0, FOR_EVER)
    assert values(group) == [ALL, rest, []]
    assert np.diff(group.indptr).tolist() == [10, 7, 0]
    parts = {int(place): one for places, part in lessons.groups(["a", "nobody", "b"], 0, FOR_EVER)
             for place, one in zip(places, values(part), strict=True)}  # fmt: skip
    assert parts == {0: rest, 2: ALL}


def test_a_series_may_have_nothing_to_learn(place, lessons):
    add(place, 0, 60, scope=AskedScope(everything=True))
    assert values(lessons.group(["a", "b"], 0, FOR_EVER)) == [[], []]


def test_the_rest_is_as_signals_says(place, lessons):
    add(place)
    assert lessons.newest(["a"]) == us(9 * MINUTE)
    assert lessons.gather_fleets() == ["numbers-0000000"]
    assert lessons.members("numbers-0000000") == ["a", "b"]
    with place.database.read() as session:
        lessons.check(session, "a")
        with pytest.raises(Missing):
            lessons.check(session, "nobody")
