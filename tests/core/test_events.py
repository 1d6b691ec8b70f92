import pytest

from atalaia.core.events import EventScope


@pytest.mark.parametrize(
    ("scope", "covers"),
    [
        (EventScope(everything=True), True),
        (EventScope(fleet_id="pumps"), True),
        (EventScope(fleet_id="fans"), False),
        (EventScope(numbers=(3, 7)), True),
        (EventScope(numbers=(3,)), False),
        (EventScope(), False),
        (EventScope(labels={"site": "north"}), True),
        (EventScope(labels={"site": "north", "hall": "2"}), True),
        (EventScope(labels={"site": "north", "hall": "3"}), False),
        (EventScope(labels={"floor": "1"}), False),
    ],
)
def test_a_scope_covers_its_series(scope, covers):
    assert scope.covers(7, "pumps", {"site": "north", "hall": "2"}) is covers


def test_a_series_without_a_fleet_is_in_none():
    assert not EventScope(fleet_id="pumps").covers(7, None, {})
