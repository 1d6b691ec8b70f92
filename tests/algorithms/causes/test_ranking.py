"""Which service comes first, and why."""

from dataclasses import replace

import numpy as np
import pytest

from atalaia.algorithms.causes.calls import Calls
from atalaia.algorithms.causes.meanings import Meaning
from atalaia.algorithms.causes.ranking import Evidence, Ranking, rank
from tests.algorithms.causes.evidence import WINDOW, Shape, before, evidence, quiet

EDGES = [("web", "orders"), ("web", "search"), ("orders", "db")]
CALM = [1.0] * WINDOW


def latency(
    web: float, orders: float, search: float, db: float
) -> dict[tuple[str, str], tuple[float, list[float]]]:
    """Latencies that are so many times as usual in the last four of six minutes."""
    levels = {"web": 0.4, "orders": 0.2, "search": 0.1, "db": 0.05}
    times = {"web": web, "orders": orders, "search": search, "db": db}
    return {
        (name, "latency"): (level, [level, level, *[level * times[name]] * 4]) for name, level in levels.items()
    }


def names(found: Ranking) -> list[str]:
    return [suspect.service for suspect in found.suspects]


def test_the_deepest_service_that_explains_the_alarm_comes_first() -> None:
    shape = latency(web=2.0, orders=3.0, search=1.0, db=9.0)  # each 0.4 more
    found = rank(evidence(shape, EDGES, alarmed_service="web", alarmed_metric="latency"))
    first = found.suspects[0]
    assert names(found)[:3] == ["db", "orders", "web"]
    assert names(found)[3] == "search"
    assert (first.explains, first.own) == (pytest.approx(1.0, abs=0.02), pytest.approx(1.0, abs=0.02))
    assert first.path == ("web", "orders", "db")
    assert found.alarmed_metric == "latency"
    (why,) = first.reasons
    assert (why.metric, why.direction, why.is_bad, why.since) == ("latency", "up", True, 2)
    assert (why.expected, why.seen) == (pytest.approx(0.05, rel=0.02), pytest.approx(0.45))
    assert why.scales == pytest.approx(16.0, rel=0.02)


def test_a_callee_that_explains_little_of_it_is_not_blamed_however_strange_it_is() -> None:
    shape = latency(web=2.0, orders=3.0, search=1.0, db=1.4)  # 0.02 of 0.4
    found = rank(evidence(shape, EDGES, alarmed_service="web"))
    assert names(found)[0] == "orders"
    assert found.suspects[0].own == pytest.approx(1.0, abs=0.07)


def test_calls_weigh_an_average_over_calls() -> None:
    shape: Shape = {
        **latency(web=2.0, orders=2.0, search=20.0, db=1.0),
        ("web", "requests"): (100.0, [100.0] * WINDOW),
        ("orders", "requests"): (200.0, [200.0] * WINDOW),  # 0.2 more of 200 calls: all of it
        ("search", "requests"): (2.0, [2.0] * WINDOW),  # 1.9 more of 2 calls: a tenth
    }
    weighed = rank(evidence(shape, EDGES, alarmed_service="web", alarmed_metric="latency"))
    assert names(weighed)[0] == "orders"
    explains = {suspect.service: suspect.explains for suspect in weighed.suspects}
    assert explains["search"] == pytest.approx(0.095, abs=0.01)
    unweighed = {pair: values for pair, values in shape.items() if pair[1] != "requests"}
    assert names(rank(evidence(unweighed, EDGES, alarmed_service="web")))[0] == "search"


def test_what_was_as_strange_all_the_time_is_no_cause() -> None:
    shape = latency(web=2.0, orders=3.0, search=1.0, db=1.0)
    shape["search", "latency"] = (0.1, [0.8] * WINDOW)  # since before the incident
    found = rank(evidence(shape, EDGES, alarmed_service="web"))
    assert names(found)[0] == "orders"


def test_less_availability_is_an_extra_too() -> None:
    shape: Shape = {
        ("web", "availability"): (100.0, [100, 100, 96, 95, 96, 100]),
        ("orders", "availability"): (100.0, [100, 100, 95, 94, 95, 100]),
        ("search", "availability"): (100.0, [100, 100, 100, 99, 100, 100]),
    }
    given = evidence(shape, EDGES, alarmed_service="web", alarmed_metric="availability")
    given = replace(given, history=before(*[np.full(60, 100.0)] * 3))
    found = rank(given)
    assert names(found)[0] == "orders"
    assert found.suspects[0].reasons[0].direction == "down"


def test_an_alarm_about_a_service_takes_its_worst_metric() -> None:
    shape: Shape = {
        ("web", "latency"): (0.4, [0.4] * WINDOW),
        ("web", "error_ratio"): (0.01, [0.01, 0.3, 0.3, 0.3, 0.3, 0.3]),
        ("orders", "error_ratio"): (0.01, [0.01, 0.3, 0.3, 0.3, 0.3, 0.3]),
        ("orders", "pressure"): (1.0, [90.0] * WINDOW),
    }
    found = rank(evidence(shape, EDGES, alarmed_service="web"))
    assert (names(found)[0], found.alarmed_metric) == ("orders", "error_ratio")


def test_what_cannot_be_reached_from_the_alarm_comes_behind_what_explains_it() -> None:
    shape = {**latency(2.0, 3.0, 1.0, 1.0), ("cron", "latency"): (0.1, [0.1, 0.1, 2, 2, 2, 2])}
    found = rank(evidence(shape, EDGES, alarmed_service="web"))
    assert names(found)[:3] == ["orders", "web", "cron"]
    assert found.suspects[2].path == ()


def test_without_an_alarm_metrics_vote() -> None:
    shape: Shape = {
        (service, metric): (level, [level * (6 if service == "orders" else 1.2)] * WINDOW)
        for service in ("web", "orders", "search", "db")
        for metric, level in (("cpu", 10.0), ("memory", 50.0), ("disk", 3.0))
    }
    found = rank(evidence(shape))
    assert names(found)[0] == "orders"
    assert found.alarmed_metric is None
    assert found.suspects[0].explains is None
    assert {reason.service for reason in found.metrics[:3]} == {"orders"}
    assert found.suspects[0].score > 3 * found.suspects[1].score


def test_without_a_graph_the_alarm_does_not_explain_itself() -> None:
    found = rank(evidence(latency(2.0, 1.0, 1.0, 9.0), alarmed_service="web", alarmed_metric="latency"))
    assert names(found)[:2] == ["db", "web"]
    assert found.suspects[0].path == ()
    alone = rank(evidence(latency(2.0, 1.0, 1.0, 1.0), alarmed_service="web", alarmed_metric="latency"))
    assert names(alone)[0] == "web"


def test_without_an_alarm_the_worst_entry_of_the_graph_stands_for_it() -> None:
    shape = {**latency(2.0, 3.0, 1.0, 9.0), ("cron", "latency"): (0.1, [0.1, 0.1, 0.11, 0.11, 0.11, 0.11])}
    found = rank(evidence(shape, [*EDGES, ("cron", "db")]))
    assert (found.alarmed_service, found.alarmed_metric) == ("web", "latency")
    assert names(found)[0] == "db"
    calm = rank(evidence(latency(1.0, 1.0, 1.0, 1.0), EDGES))
    assert (calm.alarmed_service, calm.alarmed_metric) == (None, None)


def test_a_graph_without_an_alarm_blames_the_callee() -> None:
    shape: Shape = {
        (service, metric): (10.0, [10.0 * times] * WINDOW)
        for service, times in (("web", 5.0), ("orders", 5.2), ("search", 1.0), ("db", 1.0))
        for metric in ("latency", "cpu")
    }
    assert names(rank(evidence(shape, EDGES)))[0] == "orders"


def test_an_alarm_that_shows_nothing_leaves_it_to_votes() -> None:
    shape = {**latency(1.0, 1.0, 1.0, 1.0), ("orders", "cpu"): (5.0, [50.0] * WINDOW)}
    found = rank(evidence(shape, EDGES, alarmed_service="db", alarmed_metric="nothing like it"))
    assert found.alarmed_metric is None
    assert len(found.suspects) == 4


def test_an_alarm_about_a_metric_that_nobody_else_has_leaves_it_to_votes_below_it() -> None:
    shape: Shape = {
        ("web", "conversion errors"): (0.1, [0.1, 0.1, 0.9, 0.9, 0.9, 0.9]),
        **{(name, "cpu"): (10.0, [10.0] * WINDOW) for name in ("web", "orders", "search")},
        ("db", "cpu"): (10.0, [10.0, 10.0, 90.0, 90.0, 90.0, 90.0]),
        ("cron", "cpu"): (10.0, [99.0] * WINDOW),
    }
    found = rank(evidence(shape, EDGES, alarmed_service="web", alarmed_metric="conversion errors"))
    assert names(found)[0] == "db"
    assert found.alarmed_metric is None
    assert found.suspects[0].path == ("web", "orders", "db")


def test_a_change_shortly_before_weighs() -> None:
    shape = latency(web=2.0, orders=2.2, search=3.4, db=1.0)  # 0.24 each
    given = evidence(shape, EDGES, alarmed_service="web")
    assert names(rank(given))[0] == "search"
    changed = rank(replace(given, changed=frozenset({"orders"})))
    assert names(changed)[0] == "orders"
    assert changed.suspects[0].is_changed


def test_what_people_say_of_a_metric_counts_more_than_its_name() -> None:
    shape: Shape = {("web", "tank"): (10.0, [1.0] * WINDOW), ("pump", "tank"): (10.0, [1.0] * WINDOW)}
    edges = [("web", "pump")]
    down = evidence(shape, edges, alarmed_service="web", meanings={"tank": Meaning(-1)})
    assert rank(down).suspects[0].reasons[0].is_bad is True
    up = rank(replace(down, meanings={"tank": Meaning(1)}))
    assert up.suspects[0].reasons[0].is_bad is False
    assert up.alarmed_metric is None


def test_a_circle_in_the_graph_is_borne() -> None:
    edges = [*EDGES, ("db", "web"), ("orders", "orders")]
    found = rank(evidence(latency(2.0, 3.0, 1.0, 9.0), edges, alarmed_service="web"))
    assert set(names(found)[:3]) == {"web", "orders", "db"}


def test_an_alarmed_service_that_the_graph_does_not_know_hides_nobody() -> None:
    found = rank(evidence(latency(2.0, 3.0, 1.0, 9.0), [("a", "b")], alarmed_service="web"))
    assert len(found.suspects) == 4
    assert found.suspects[0].score > 0.1


def test_one_service_alone_is_its_own_cause() -> None:
    found = rank(evidence({("web", "latency"): (1.0, [3.0] * WINDOW)}, alarmed_service="web"))
    assert names(found) == ["web"]


def test_series_of_which_nothing_can_be_said_are_named() -> None:
    history = before(quiet(1.0), np.empty(0), np.full(9, np.nan), quiet(1.0))
    window = np.array([CALM, CALM, CALM, [np.nan] * WINDOW])
    found = rank(Evidence(list("abcd"), ["m"] * 4, history, window))
    assert found.left_out == {
        1: "too few points before the incident: 0",
        2: "too few points before the incident: 9",
        3: "no points in the incident",
    }
    assert len(found.suspects) == 4


def test_nothing_at_all_is_an_empty_ranking() -> None:
    found = rank(Evidence([], [], before(), np.empty((0, 3))))
    assert (found.suspects, found.metrics, found.left_out) == ((), (), {})


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="the same series"):
        rank(Evidence(["a"], [], before(quiet(1.0)), np.ones((1, 3))))


def test_a_ranking_does_not_depend_on_the_order_of_the_series() -> None:
    given = evidence(latency(2.0, 3.0, 1.0, 9.0), EDGES, alarmed_service="web", alarmed_metric="latency")
    turned = [3, 1, 0, 2]
    groups = [given.history.series(i) for i in turned]
    other = Evidence(
        [given.services[i] for i in turned],
        [given.metrics[i] for i in turned],
        type(given.history).of(groups),
        given.window[turned],
        Calls(reversed(EDGES)),
        "web",
        "latency",
    )
    assert names(rank(other)) == names(rank(given))
    scores = [suspect.score for suspect in rank(given).suspects]
    assert [suspect.score for suspect in rank(other).suspects] == pytest.approx(scores)


def test_ten_thousand_metrics_are_ranked() -> None:
    rows, services = 10_000, 400
    rng = np.random.default_rng(1)
    history = type(before()).of((np.arange(60, dtype=np.int64), 10 + rng.standard_normal(60)) for _ in range(rows))
    window = 10 + rng.standard_normal((rows, 30))
    owners = [f"s{i % services}" for i in range(rows)]
    window[[i for i in range(rows) if owners[i] == "s7"]] += 15.0
    edges = Calls((f"s{i}", f"s{i + 1}") for i in range(services - 1))
    found = rank(Evidence(owners, [f"m{i // services}" for i in range(rows)], history, window, edges))
    assert names(found)[0] == "s7"
    assert len(found.metrics) == rows
