"""What the service makes of a question beyond what its door shows: changes, and counters."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from atalaia.core.clock import MICROS
from atalaia.incidents.ports import Change
from atalaia.incidents.rootcause import Question
from tests.incidents.shop import BEGIN_S, END_S, EXTRA, LEVELS, incidents_of, minutes, open_shop
from tests.signals.builders import signals_in

HOUR_US = 3_600 * MICROS


class Deploys:
    """Knows of some deploys."""

    def __init__(self, *changes: Change) -> None:
        self.changes = changes
        self.asked: list[tuple[Sequence[str], int, int]] = []

    def between(self, services: Sequence[str], start_us: int, end_us: int) -> Sequence[Change]:
        self.asked.append((services, start_us, end_us))
        return [one for one in self.changes if start_us <= one.at_us < end_us]


def asked(**more: object) -> Question:
    return Question(
        BEGIN_S * MICROS,
        END_S * MICROS,
        HOUR_US,
        labels=["env:production"],
        metric_label="metric",
        **more,  # pyright: ignore[reportArgumentType]
    )


def test_a_change_is_evidence_when_somebody_tells_of_it(tmp_path: Path) -> None:
    deploy = Change("orders", (BEGIN_S - 600) * MICROS, "deploy", "orders 1.2.3")
    old = Change("search", (BEGIN_S - 7_200) * MICROS, "deploy", "search 0.9")
    with open_shop(tmp_path) as place:
        calm = incidents_of(place).find_cause(asked())
        deploys = Deploys(deploy, old)
        told = incidents_of(place, deploys, rootcause_changes_hours=1.0).find_cause(asked())
    ((services, start_us, end_us),) = deploys.asked
    assert sorted(services) == sorted(LEVELS)
    assert (start_us, end_us) == ((BEGIN_S - 3_600) * MICROS, END_S * MICROS)
    assert told.changes == {"orders": [deploy]}
    (changed,) = (one for one in told.ranking.suspects if one.is_changed)
    (before,) = (one for one in calm.ranking.suspects if one.service == "orders")
    assert changed.service == "orders"
    assert changed.score == pytest.approx(1.5 * before.score)


def test_counters_are_looked_at_as_rates(tmp_path: Path) -> None:
    with signals_in(tmp_path) as place:
        for seed, name in enumerate(LEVELS):
            total, grown = 0.0, []
            for value in minutes(60.0, 600.0 if EXTRA[name] and name == "db" else 0.0, seed):
                total += value
                grown.append(total)
            place.send(*((f"{name}/errors_total", 60.0 * i, value) for i, value in enumerate(grown)))
            with place.database.write() as session:
                labels = {"service": name, "metric": "errors_total", "env": "production"}
                place.signals.label(session, f"{name}/errors_total", labels)
        found = incidents_of(place).find_cause(asked())
    first = found.ranking.suspects[0]
    assert first.service == "db"
    assert first.reasons[0].expected == pytest.approx(1.0, rel=0.1)
    assert first.reasons[0].seen == pytest.approx(11.0, rel=0.1)
    assert abs(found.ranking.suspects[1].reasons[0].scales) < 0.5
