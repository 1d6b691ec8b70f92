"""``atalaia fleets set``."""

from typing import TYPE_CHECKING

from atalaia.app.cli.fleets import plan

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service


def test_a_fleet_is_made_by_hand(service: "Service") -> None:
    service.answers["PUT /fleets/f"] = {"fleet_id": "f", "series_count": 2}
    assert service.run("fleets", "set", "f", "a", "b").exit_code == 0
    assert service.sent("PUT") == [{"series_ids": ["a", "b"]}]


def test_a_dry_run_of_a_fleet_says_who_joins_and_who_leaves(service: "Service") -> None:
    service.answers["GET /fleets/f"] = {"fleet_id": "f"}
    service.answers["GET /series"] = {"items": [{"series_id": "a"}, {"series_id": "c"}]}
    result = service.run("fleets", "set", "f", "a", "b", "--dry-run", "-o", "csv")
    assert result.stdout == "series_id,change\na,stays\nb,joins\nc,leaves\n"
    assert {r.method for r in service.requests} == {"GET"}


def test_a_dry_run_of_a_new_fleet_says_that_it_is_new(service: "Service") -> None:
    result = service.run("fleets", "set", "f", "a", "--dry-run", "-o", "csv")
    assert result.stdout == "series_id,change\na,joins\n"
    assert "would be made" in result.stderr


def test_a_plan_for_a_fleet_names_every_series_once() -> None:
    assert plan(set(), []) == []
    assert [step["change"] for step in plan({"a", "b"}, ["b", "c"])] == ["stays", "joins", "leaves"]
