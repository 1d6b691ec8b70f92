"""The door of causes: what it answers, and what it refuses with its place."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from atalaia.core.clock import isoformat
from tests.incidents.shop import BEGIN_S, END_S, ask, door, incidents_of, open_shop, question
from tests.kit.asgi import Answer
from tests.signals.builders import Place


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with open_shop(tmp_path_factory.mktemp("shop")) as place:
        yield place


@pytest.fixture(scope="module")
def app(shop: Place) -> ASGIApp:
    return door(incidents_of(shop), shop)


def refused(answer: Answer, status: int, code: str) -> list[str]:
    problem = answer.json()
    assert (answer.status, problem["code"]) == (status, code), problem
    return [fault["pointer"] for fault in problem["errors"]]


def test_the_deepest_cause_is_named_with_its_reasons(app: ASGIApp) -> None:
    answer = ask(app, question())
    assert answer.status == 200
    told = answer.json()
    first = told["services"][0]
    assert {one["service"] for one in told["services"]} == {"web", "orders", "search", "db"}
    assert (first["service"], first["rank"], first["path"], first["changes"]) == (
        "db",
        1,
        ["web", "orders", "db"],
        [],
    )
    assert first["explains"] == pytest.approx(1.0, abs=0.1)
    assert first["own"] == pytest.approx(first["explains"])
    (why,) = (one for one in first["metrics"] if one["metric"] == "latency")
    assert (why["series_id"], why["direction"], why["is_bad"]) == ("db/latency", "up", True)
    assert why["expected"] == pytest.approx(0.05, rel=0.05)
    assert why["seen"] == pytest.approx(0.45, rel=0.05)
    assert why["since"] >= isoformat((BEGIN_S + 120) * 1_000_000)
    assert "explains" in first["text"]
    assert "web > orders > db" in first["text"]
    assert "latency went up from 0.0" in first["text"]
    assert (told["alarmed_service"], told["alarmed_metric"], told["has_graph"]) == ("web", "latency", True)
    assert (told["series"], told["points"], told["step_s"]) == (8, 800, 60.0)
    assert (told["from"], told["to"]) == (isoformat(BEGIN_S * 10**6), isoformat(END_S * 10**6))
    assert told["history_from"] == isoformat((BEGIN_S - 5_400) * 10**6)
    assert (told["left_out"], told["left_out_count"]) == ([], 0)
    assert told["metrics"][0]["series_id"] == "db/latency"


def test_the_alarmed_series_says_service_and_metric(app: ASGIApp) -> None:
    told = ask(app, question(alarmed_service=None, alarmed_metric=None, alarmed_series="web/latency")).json()
    assert (told["alarmed_service"], told["alarmed_metric"]) == ("web", "latency")
    assert told["services"][0]["service"] == "db"


def test_without_an_alarm_the_entry_of_the_graph_stands_for_it(app: ASGIApp) -> None:
    told = ask(app, question(alarmed_service=None, alarmed_metric=None)).json()
    assert (told["alarmed_service"], told["alarmed_metric"]) == ("web", "latency")
    assert told["services"][0]["service"] == "db"


def test_without_graph_and_alarm_metrics_vote(app: ASGIApp) -> None:
    told = ask(app, question(alarmed_service=None, alarmed_metric=None, edges=None)).json()
    assert (told["alarmed_metric"], told["has_graph"]) == (None, False)
    assert told["services"][0]["service"] == "db"
    assert told["services"][0]["explains"] is None


def test_series_are_chosen_by_id_and_by_fleet(app: ASGIApp, shop: Place) -> None:
    by_id = ask(app, question(labels=None, series_ids=["web/latency", "db/latency", "db/latency"])).json()
    assert (by_id["series"], [one["service"] for one in by_id["services"]]) == (2, ["db", "web"])
    with shop.database.write() as session:
        shop.signals.catalogue.set_fleet(session, "backs", ["orders/latency", "db/latency"])
    by_fleet = ask(app, question(labels=None, fleet_id="backs", alarmed_service="orders")).json()
    assert [one["service"] for one in by_fleet["services"]] == ["db", "orders"]
    both = ask(app, question(fleet_id="backs", labels=["service:db"], alarmed_service="db")).json()
    assert both["series"] == 1


def test_a_limit_bounds_what_is_named(app: ASGIApp) -> None:
    told = ask(app, question(limit=1)).json()
    assert (len(told["services"]), len(told["metrics"])) == (1, 1)


def test_times_may_be_written(app: ASGIApp) -> None:
    told = ask(app, question(**{"from": isoformat(BEGIN_S * 10**6), "to": isoformat(END_S * 10**6)}))
    assert told.status == 200


def test_what_cannot_be_judged_is_left_out_with_the_reason(app: ASGIApp, shop: Place) -> None:
    shop.send(("new/latency", 60.0 * 95, 1.0), ("nobody's", 60.0, 1.0))
    with shop.database.write() as session:
        shop.signals.label(session, "new/latency", {"service": "new", "metric": "latency"})
    told = ask(app, question(series_ids=["new/latency", "nobody's"])).json()
    assert told["left_out_count"] == 2
    assert {one["series_id"]: one["reason"] for one in told["left_out"]} == {
        "nobody's": "its labels do not say of which service or asset it is",
        "new/latency": "too few points before the incident: 0",
    }


def test_what_people_say_of_metrics_is_taken(app: ASGIApp) -> None:
    told = ask(app, question(directions={"latency": "down"}, traffic_metric="requests")).json()
    latency = next(one for one in told["metrics"] if one["metric"] == "latency")
    assert latency["is_bad"] is False


@pytest.mark.parametrize(
    ("change", "code", "pointers"),
    [
        ({"from": END_S, "to": BEGIN_S}, "invalid_time", ["/from"]),
        ({"from": BEGIN_S, "to": BEGIN_S}, "invalid_time", ["/from"]),
        ({"from": "yesterday"}, "invalid_time", ["/from"]),
        ({"to": 1e15}, "invalid_time", ["/to"]),
        ({"from": None}, "invalid_request", ["/from"]),
        ({"labels": None}, "invalid_request", ["/series_ids"]),
        ({"labels": ["env"]}, "invalid_request", ["/label"]),
        ({"alarmed_series": "web/latency"}, "invalid_request", ["/alarmed_service"]),
        ({"alarmed_service": None}, "invalid_request", ["/alarmed_metric"]),
        ({"alarmed_service": "nobody", "alarmed_metric": None}, "invalid_request", ["/alarmed_service"]),
        ({"alarmed_metric": "colour"}, "invalid_request", ["/alarmed_metric"]),
        ({"service_label": "asset"}, "invalid_request", ["/service_label"]),
        ({"history_hours": 0}, "invalid_request", ["/history_hours"]),
        ({"directions": {"latency": "sideways"}}, "invalid_request", ["/directions/latency"]),
        ({"edges": [{"from": "web"}]}, "invalid_request", ["/edges/0/to"]),
        ({"edges": [{"from": "", "to": "db"}]}, "invalid_request", ["/edges/0/from"]),
        ({"limit": 0}, "invalid_request", ["/limit"]),
        ({"colour": "red"}, "invalid_request", ["/colour"]),
    ],
)
def test_a_bad_question_is_refused_with_its_place(
    app: ASGIApp, change: dict[str, Any], code: str, pointers: list[str]
) -> None:
    assert refused(ask(app, question(**change)), 422, code) == pointers


def test_what_is_not_there_is_said(app: ASGIApp) -> None:
    assert refused(ask(app, question(series_ids=["nothing"])), 404, "unknown_series") == ["/series_ids/0"]
    unknown = question(alarmed_service=None, alarmed_metric=None, alarmed_series="nothing")
    assert refused(ask(app, unknown), 404, "unknown_series") == ["/alarmed_series"]
    assert refused(ask(app, question(labels=["env:moon"])), 404, "unknown_series") == []
    assert refused(ask(app, question(fleet_id="fans")), 404, "unknown_fleet") == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"from": 1}', b"\xff"])
def test_what_is_no_question_is_refused(app: ASGIApp, body: bytes) -> None:
    assert ask(app, body).status == 422


def test_more_than_is_allowed_is_refused(shop: Place) -> None:
    few = door(incidents_of(shop, rootcause_max_series=7), shop)
    assert refused(ask(few, question()), 413, "too_many_series") == [""]
    assert refused(ask(few, question(labels=None, series_ids=[f"s{i}" for i in range(8)])), 413, "too_many_series")
    little = door(incidents_of(shop, rootcause_max_points=1_000), shop)
    assert ask(little, question()).status == 200
    shop.send(*((f"web/{i}", 60.0 * minute, 1.0) for i in range(3) for minute in range(80)))
    with shop.database.write() as session:
        for i in range(3):
            shop.signals.label(session, f"web/{i}", {"service": "web", "env": "production"})
    assert refused(ask(little, question()), 413, "too_many_points") == [""]


def test_huge_graphs_and_long_names_are_borne_or_refused(app: ASGIApp) -> None:
    chain = [{"from": f"n{i}", "to": f"n{i + 1}"} for i in range(49_990)]
    assert ask(app, question(edges=[*chain, {"from": "n49990", "to": "web"}])).status == 200
    many = [{"from": "web", "to": "db"}] * 50_001
    assert refused(ask(app, question(edges=many)), 422, "invalid_request") == ["/edges"]
    assert ask(app, question(alarmed_service="x" * 257)).status == 422
    assert ask(app, question(edges=[{"from": "\u0000", "to": "db'; DROP TABLE series;--"}])).status == 200


def test_a_window_of_years_is_borne(app: ASGIApp) -> None:
    told = ask(app, question(**{"from": BEGIN_S, "to": BEGIN_S + 86_400 * 3_650}))
    assert told.status == 200
    assert told.json()["series"] >= 8


def test_the_largest_and_smallest_numbers_are_borne(tmp_path: Path) -> None:
    with open_shop(tmp_path) as place:
        for name, before, after in (("tiny", 5e-324, 1e100), ("huge", -1e100, 1e100), ("none", 0.0, 5e-324)):
            values = [before] * 90 + [after] * 10
            place.send(*((f"{name}/latency", 60.0 * i, value) for i, value in enumerate(values)))
            with place.database.write() as session:
                labels = {"service": name, "metric": "latency", "env": "production"}
                place.signals.label(session, f"{name}/latency", labels)
        for more in ({}, {"alarmed_service": "none"}, {"alarmed_service": "tiny"}, {"edges": None}):
            told = ask(door(incidents_of(place), place), question(**more))
            assert told.status == 200
            assert all(abs(one["scales"]) <= 1e6 for one in told.json()["metrics"])


def test_an_incident_of_one_second_is_borne(app: ASGIApp) -> None:
    told = ask(app, question(**{"from": BEGIN_S + 300, "to": BEGIN_S + 301})).json()
    assert told["services"][0]["service"] == "db"


def test_ids_and_labels_that_are_hidden_are_found_by_those_who_know_them(tmp_path: Path) -> None:
    rules = (
        {"where": "labels", "match": "service", "action": "hash"},
        {"where": "series_id", "match": "web/*", "action": "hash"},
    )
    with open_shop(tmp_path, rules) as place:
        app = door(incidents_of(place), place)
        hidden = place.signals.privacy.pseudonym
        told = ask(app, question()).json()
        assert told["services"][0]["path"] == [hidden(name) for name in ("web", "orders", "db")]
        assert told["alarmed_service"] == hidden("web")
        by_id = question(alarmed_service=None, alarmed_metric=None, alarmed_series="web/latency")
        assert ask(app, by_id).json()["services"][0]["service"] == hidden("db")
        named = question(labels=None, series_ids=["web/latency", "db/latency"])
        assert ask(app, named).json()["series"] == 2
        assert ask(app, question(labels=["service:web"])).json()["series"] == 2
        assert b'"web"' not in ask(app, question()).body
