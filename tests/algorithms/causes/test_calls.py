"""Who calls whom: paths, circles, and what callees leave of a score."""

import pytest

from atalaia.algorithms.causes.calls import LONGEST_PATH, Calls, path_to

SHOP = [("web", "orders"), ("web", "search"), ("orders", "db"), ("search", "db")]


def paths(edges: list[tuple[str, str]], start: str) -> dict[str, tuple[str, ...]]:
    reached = Calls(edges).reached(start)
    return {name: path_to(name, reached, start) for name in reached}


def test_the_shortest_path_to_what_can_be_reached() -> None:
    assert paths([*SHOP, ("web", "db")], "web") == {
        "web": ("web",),
        "orders": ("web", "orders"),
        "search": ("web", "search"),
        "db": ("web", "db"),
    }
    assert paths(SHOP, "db") == {"db": ("db",)}


def test_from_what_is_not_there_nothing_is_reached() -> None:
    assert paths(SHOP, "nowhere") == {}
    assert paths([], "web") == {}
    assert path_to("web", {}, "web") == ()
    assert Calls(SHOP).callees("nowhere") == ()


def test_a_callee_takes_what_it_has_from_its_callers() -> None:
    left = Calls(SHOP).left_by_callees({"web": 1.0, "orders": 0.9, "search": 0.1, "db": 0.8})
    assert left == pytest.approx({"web": 0.1, "orders": 0.1, "search": 0.0, "db": 0.8})


def test_what_is_not_in_the_graph_keeps_all() -> None:
    assert Calls(SHOP).left_by_callees({"cron": 0.5, "web": 0.2}) == {"cron": 0.5, "web": 0.2}


def test_nodes_without_a_score_take_nothing() -> None:
    assert Calls(SHOP).left_by_callees({"web": 1.0}) == {"web": 1.0}


def test_nodes_without_a_score_let_through_what_their_callees_have() -> None:
    left = Calls(SHOP).left_by_callees({"web": 1.0, "db": 0.9})
    assert left == pytest.approx({"web": 0.1, "db": 0.9})


def test_entries_are_those_that_nobody_depends_on() -> None:
    assert Calls([*SHOP, ("cron", "db"), ("web", "web")]).entries == {"web", "cron"}
    assert Calls([("a", "b"), ("b", "a")]).entries == frozenset()


def test_a_circle_does_not_take_from_itself() -> None:
    calls = Calls([("web", "a"), ("a", "b"), ("b", "a"), ("b", "db")])
    left = calls.left_by_callees({"web": 1.0, "a": 0.9, "b": 0.7, "db": 0.5})
    assert left == pytest.approx({"web": 0.1, "a": 0.4, "b": 0.2, "db": 0.5})


def test_whoever_calls_itself_is_no_callee_of_its_own() -> None:
    calls = Calls([("a", "a")])
    assert calls.callees("a") == ()
    assert calls.left_by_callees({"a": 1.0}) == {"a": 1.0}
    assert "a" in calls
    assert calls.names == ("a",)


def test_two_circles_that_hang_together_are_two() -> None:
    calls = Calls([("a", "b"), ("b", "a"), ("b", "c"), ("c", "d"), ("d", "c")])
    left = calls.left_by_callees({"a": 1.0, "b": 1.0, "c": 0.6, "d": 0.6})
    assert left == pytest.approx({"a": 0.4, "b": 0.4, "c": 0.6, "d": 0.6})


def test_a_chain_of_a_hundred_thousand_needs_no_recursion() -> None:
    calls = Calls((str(i), str(i + 1)) for i in range(100_000))
    reached = calls.reached("0")
    assert path_to("20", reached, "0") == tuple(str(i) for i in range(21))
    longest = path_to("99999", reached, "0")
    assert (len(longest), longest[0], longest[1], longest[-1]) == (LONGEST_PATH, "0", "99969", "99999")
    assert calls.left_by_callees({"0": 1.0, "1": 0.25})["0"] == 0.75


def test_a_large_circle_is_one() -> None:
    count = 20_000
    calls = Calls((str(i), str((i + 1) % count)) for i in range(count))
    assert calls.left_by_callees({"7": 1.0, "8": 1.0}) == {"7": 1.0, "8": 1.0}
