"""``atalaia events``."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.app.cli.conftest import Service

EVENT = {
    "event_id": "evt_1",
    "kind": "deploy",
    "title": "cart 2",
    "from": "2026-12-01T00:00:00Z",
    "to": "2026-12-01T02:00:00Z",
}


def test_an_event_is_added_with_what_was_said(service: "Service") -> None:
    service.answers["POST /known-events"] = EVENT
    words = ["events", "add", "deploy", "cart 2", "--label", "app:cart", "--label", "site:north"]
    result = service.run(*words, "--from", "2026-12-01T00:00:00Z", "--for", "2h", "-o", "json")
    assert result.exit_code == 0, result.output
    assert service.sent("POST") == [
        {
            "title": "cart 2",
            "kind": "deploy",
            "scope": {"labels": ["app:cart", "site:north"]},
            "from": "2026-12-01T00:00:00Z",
            "to": "2026-12-01T02:00:00Z",
        }
    ]


def test_recurrences_and_holidays_carry_their_zone(service: "Service") -> None:
    service.answers["POST /known-events"] = EVENT
    often = ["events", "add", "maintenance", "m", "--all", "--from", "1", "--for", "30m"]
    assert service.run(*often, "--rrule", "FREQ=DAILY", "--zone", "Europe/Lisbon").exit_code == 0
    days = ["events", "add", "holiday", "h", "--fleet", "f", "--country", "BR", "--subdivision", "SP"]
    assert service.run(*days, "--zone", "America/Sao_Paulo").exit_code == 0
    first, second = service.sent("POST")
    assert first["recurrence"] == {"rrule": "FREQ=DAILY", "zone": "Europe/Lisbon"}
    assert second["holidays"] == {"country": "BR", "subdivision": "SP", "zone": "America/Sao_Paulo"}
    assert "to" not in second


def test_a_dry_run_sends_nothing(service: "Service") -> None:
    service.answers["GET /known-events/evt_1"] = EVENT
    words = ["events", "add", "deploy", "cart 2", "--all", "--from", "2026-12-01T00:00:00Z", "--dry-run"]
    assert "2026-12-01T00:00:00" in service.run(*words, "-o", "csv").stdout
    assert "would end" in service.run("events", "end", "evt_1", "--at", "1", "--dry-run").stderr
    assert "cart 2" in service.run("events", "delete", "evt_1", "--dry-run").stderr
    assert {request.method for request in service.requests} == {"GET"}


@pytest.mark.parametrize("lasting", ["2", "2w", "-1h", "", "9999999h"])
def test_a_length_that_is_none_is_refused(service: "Service", lasting: str) -> None:
    result = service.run("events", "add", "deploy", "t", "--all", "--for", lasting)
    assert (result.exit_code, service.requests) == (2, [])


def test_an_end_and_a_length_are_one_too_many(service: "Service") -> None:
    result = service.run("events", "add", "deploy", "t", "--all", "--for", "2h", "--to", "5")
    assert (result.exit_code, service.requests) == (2, [])


def test_events_are_listed_shown_ended_and_deleted(service: "Service") -> None:
    service.answers["GET /known-events"] = {"items": [EVENT]}
    for method in ("GET", "PATCH", "DELETE"):
        service.answers[f"{method} /known-events/evt_1"] = EVENT
    listed = service.run("events", "list", "--active-at", "5", "--series", "a", "-o", "csv")
    assert listed.stdout.splitlines()[1].startswith("evt_1,deploy,cart 2")
    assert dict(service.requests[0].url.params)["series_id"] == "a"
    assert "cart 2" in service.run("events", "show", "evt_1").stdout
    assert service.run("events", "end", "evt_1", "--at", "2026-12-01T01:00:00Z").exit_code == 0
    assert service.sent("PATCH") == [{"until": "2026-12-01T01:00:00Z"}]
    assert service.run("events", "delete", "evt_1", "--yes").exit_code == 0
    assert service.requests[-1].method == "DELETE"
