import json
from datetime import UTC, datetime

import pytest

from atalaia.connectors.atalaia.events import Holidays, Recurrence
from atalaia.core.errors import Invalid
from tests.connectors.atalaia.test_client import Service, client_of, ok


def sent(**given):
    service = Service(ok({"event_id": "evt_1", "kind": "deploy", "from": "2026-12-01T00:00:00Z"}))
    made = client_of(service).events.add("cart 2", "deploy", datetime(2026, 12, 1, tzinfo=UTC), **given)
    assert (made.event_id, made.from_) == ("evt_1", datetime(2026, 12, 1, tzinfo=UTC))
    assert "Idempotency-Key" in service.requests[0].headers
    return json.loads(service.requests[0].content)


USUAL = {"title": "cart 2", "kind": "deploy", "from": "2026-12-01T00:00:00Z"}


def test_an_event_sends_what_was_said_and_nothing_else():
    assert sent(everything=True) == {**USUAL, "scope": {"everything": True}}
    assert sent(labels=["app:cart"], to=5.5) == {**USUAL, "scope": {"labels": ["app:cart"]}, "to": 5.5}
    again = Recurrence(rrule="FREQ=DAILY", zone="UTC")
    assert sent(fleet_id="f", recurrence=again)["recurrence"] == {"rrule": "FREQ=DAILY", "zone": "UTC"}
    days = sent(series_ids=["a"], holidays=Holidays(country="BR", zone="UTC"))
    assert days["holidays"] == {"country": "BR", "zone": "UTC"}


def test_a_time_without_a_zone_is_refused_here():
    with pytest.raises(Invalid, match="time zone"):
        client_of(Service(ok({}))).events.change("e", until=datetime(2026, 12, 1))  # noqa: DTZ001
