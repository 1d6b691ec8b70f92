"""``atalaia series label`` and ``resolve``."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_labels_are_set_and_taken_away(service: "Service") -> None:
    service.answers["PATCH /series/a"] = {"series_id": "a"}
    assert service.run("series", "label", "a", "site=north", "old=").exit_code == 0
    assert service.sent("PATCH") == [{"labels": {"site": "north", "old": None}}]
    assert service.run("series", "label", "a", "north").exit_code == 2


def test_numbers_are_learnt_in_the_order_of_the_names(service: "Service") -> None:
    service.answers["POST /series/resolve"] = {"series": [7, 3], "created": 1}
    result = service.run("series", "resolve", "b", "a", "-o", "csv")
    assert result.stdout == "series_id,number\nb,7\na,3\n"
    assert result.stderr == "New: 1.\n"
    assert service.sent("POST") == [{"series_ids": ["b", "a"]}]
    assert service.run("series", "resolve", "b", "a", "-o", "json").stdout == '{"series":[7,3],"created":1}\n'


def test_a_series_is_shown_with_how_ready_it_is(service: "Service") -> None:
    service.answers["GET /series/a"] = {"series_id": "a", "received": 432}
    service.answers["GET /models/a/readiness"] = {"series_id": "a", "state": "learnt", "points": 400, "days": 1.5}
    table = service.run("series", "show", "a").stdout
    assert "learnt" in table
    assert "400" in table
    shown = service.run("series", "show", "a", "-o", "json").stdout
    assert shown == '{"series_id":"a","received":432}\n'  # as the API says it


def test_a_series_without_a_model_is_not_learnt_and_one_may_be_kept_from_seeing_models(service: "Service") -> None:
    service.answers["GET /series/a"] = {"series_id": "a", "received": 432}
    missing = service.problem("missing", 404, code="unknown_model", detail="Nothing was trained.")
    service.answers["GET /models/a/readiness"] = missing
    table = service.run("series", "show", "a").stdout
    assert "unlearnt" in table
    assert "Nothing was trained." in table
    service.answers["GET /models/a/readiness"] = service.problem("denied", 403, code="forbidden", detail="No.")
    shown = service.run("series", "show", "a")
    assert shown.exit_code == 0
    assert "unlearnt" not in shown.stdout
