"""The protocol of causes: places, ties, and what is told of each contestant."""

from itertools import count

import numpy as np
import pytest

from atalaia.algorithms.evaluation.cause import Case, hits, run_cause
from atalaia.algorithms.evaluation.outcomes import Outcome
from tests.algorithms.causes.evidence import WINDOW, Shape, evidence

SCORES = {"a": 5.0, "b": 4.0, "c": 3.0, "d": 2.0, "e": 1.0, "f": 0.0}
EDGES = [("web", "orders"), ("orders", "db")]


@pytest.mark.parametrize(
    ("causes", "found"),
    [
        ({"a"}, [1, 1, 1, 1, 1]),
        ({"c"}, [0, 0, 1, 1, 1]),
        ({"e"}, [0, 0, 0, 0, 1]),
        ({"f"}, [0, 0, 0, 0, 0]),
        ({"f", "b"}, [0, 1, 1, 1, 1]),
        ({"nobody"}, [0, 0, 0, 0, 0]),
        (set(), [0, 0, 0, 0, 0]),
    ],
)
def test_a_cause_counts_from_its_place_on(causes: set[str], found: list[int]) -> None:
    assert hits(SCORES, frozenset(causes)).tolist() == found


def test_a_tie_is_shared() -> None:
    assert hits({"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0}, frozenset({"b"})).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert hits({"a": 9.0, "b": 0.0, "c": 0.0}, frozenset({"c"})).tolist() == [0.0, 0.5, 1.0, 1.0, 1.0]
    assert hits({}, frozenset({"a"})).tolist() == [0.0] * 5


def case(name: str, cause: str, **more: object) -> Case:
    """Return a case in which the alarm is at the web, the cause has 0.4 s more, and a disk elsewhere is wilder."""
    shape: Shape = {
        ("web", "latency"): (0.4, [0.4, 0.4, 0.8, 0.8, 0.8, 0.8]),
        ("orders", "latency"): (0.2, [0.2, 0.2, *[0.6 if cause != "web" else 0.2] * 4]),
        ("db", "latency"): (0.05, [0.05, 0.05, *[0.45 if cause == "db" else 0.05] * 4]),
        ("cron", "latency"): (0.01, [0.01, 9.0, 0.01, 0.01, 0.01, 0.01]),
        ("cron", "disk"): (1.0, [90.0] * WINDOW),
    }
    return Case(
        name,
        evidence(shape, EDGES, **{"alarmed_service": "web", "alarmed_metric": "latency", **more}),
        frozenset({cause}),
    )


def by_name(outcomes: list[Outcome]) -> dict[str, Outcome]:
    return {outcome.name: outcome for outcome in outcomes}


def test_each_contestant_is_told_over_all_cases_and_by_case() -> None:
    ticks = count()
    found = by_name(run_cause([case("one", "db"), case("two", "orders")], lambda: 0.5 * next(ticks)))
    assert list(found) == ["cause", "peer:baro", "peer:nsigma"]
    ours = found["cause"]
    assert ours.figures == {"ac1": 1.0, "ac3": 1.0, "ac5": 1.0, "avg5": 1.0, "seconds_per_case": 0.5}
    assert list(ours.per_series) == ["one", "two"]
    assert ours.per_series["two"]["avg5"] == 1.0
    for peer in ("peer:baro", "peer:nsigma"):
        assert found[peer].figures["ac1"] == 0.0  # one wild point of a job that nobody calls


def test_peers_look_at_the_alarmed_metric_alone_where_there_is_one() -> None:
    told = by_name(run_cause([case("one", "cron")], lambda: 0.0))
    all_metrics = by_name(run_cause([case("one", "cron", alarmed_service=None, alarmed_metric=None)], lambda: 0.0))
    assert told["peer:baro"].figures["ac1"] == 1.0
    assert all_metrics["peer:baro"].figures["ac1"] == 1.0
    quiet = case("one", "cron")
    quiet.evidence.window[3] = 0.01
    assert by_name(run_cause([quiet], lambda: 0.0))["peer:baro"].figures["ac1"] == 0.0


def test_without_cases_nothing_is_known() -> None:
    for outcome in run_cause([], lambda: 0.0):
        assert set(outcome.figures.values()) == {None}
        assert outcome.per_series == {}


def test_cases_of_nothing_score_nothing() -> None:
    empty = Case("empty", evidence({("a", "m"): (1.0, [np.nan] * WINDOW)}), frozenset({"b"}))
    for outcome in run_cause([empty], lambda: 0.0):
        assert outcome.figures["avg5"] == 0.0
