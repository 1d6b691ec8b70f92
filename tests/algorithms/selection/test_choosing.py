import json
from typing import Any

import pytest

from atalaia.algorithms.detectors import DETECTORS
from atalaia.algorithms.selection.backtest import Figures, Share
from atalaia.algorithms.selection.choosing import MERITS, TIE, Choice, Tried, choose, too_large, utility_of


def tried(name: str, separation: float, size: float = 1_000.0, found: int = 9, **more: Any) -> Tried:
    told: dict[str, Any] = {
        "kinds": {"level": Share(found, 12)}, "separation": separation, "useful": Share(), "noise": Share(),
        "false_alarms": 1, "days": 10.0, "vus_pr": 0.5, "seconds": 0.1, "bytes_per_series": size,
    }  # fmt: skip
    return Tried(name, Figures(**{**told, **more}))


HEAVY = 180_000.0
TABLE = [
    # what was tried, whether noise is white, who is taken
    ([tried("a", 0.9), tried("b", 0.5)], False, "a"),
    ([tried("b", 0.9), tried("a", 0.9, size=24.0)], False, "a"),  # a tie goes to the cheaper one
    ([tried("b", 0.9 + TIE / 2), tried("a", 0.9, size=24.0)], False, "a"),
    ([tried("b", 0.9 + TIE * 2), tried("a", 0.9, size=24.0)], False, "b"),
    ([tried("a", 0.9, size=1_100.0), tried("b", 0.905, size=1_200.0)], False, "b"),  # they cost the same
    (
        [tried("streaming", 0.8), tried("memory_bank", 0.8, size=HEAVY)],
        False,
        "memory_bank",
    ),  # it is known for more
    ([tried("streaming", 0.9), tried("memory_bank", 0.6, size=HEAVY)], False, "streaming"),  # but not here
    ([tried("statistical", 0.9, size=24.0), tried("memory_bank", 0.95, size=HEAVY)], True, "statistical"),
    ([tried("statistical", 0.5, size=24.0), tried("memory_bank", 0.95, size=HEAVY)], True, "memory_bank"),
    ([Tried("gone", None, "cannot be used here"), tried("a", 0.1)], False, "a"),
    ([tried("a", 0.9), tried("b", 0.9, useful=Share(2, 2))], False, "b"),  # people's word
    ([tried("a", 0.9, noise=Share(2, 2)), tried("b", 0.85, noise=Share(0, 2))], False, "b"),
]


@pytest.mark.parametrize(("given", "white", "expected"), TABLE)
def test_the_rule(given, white, expected):
    name, reason = choose(given, white=white)
    assert name == expected
    assert reason.startswith(f"{expected}: found 9 of 12 injected anomalies with 0.1 false alarms a day")


def test_the_order_of_candidates_decides_nothing():
    given = [tried("a", 0.9), tried("b", 0.7, size=24.0), tried("streaming", 0.4)]
    assert choose(given) == choose(given[::-1])


def test_the_reason_tells_of_the_runner_up_its_cost_and_who_was_left_out():
    gone = Tried("heavy", None, too_large(HEAVY, 10_000, 64 << 20))
    _, reason = choose([tried("statistical", 0.99, size=1_000.0), tried("b", 0.7, size=HEAVY, found=10), gone])
    assert "b found 10 of 12 injected anomalies" in reason
    assert "keeps 180 times as much" in reason
    assert "heavy would keep 1,717 MiB of 10,000 series, 64 MiB may be" in reason


def test_the_reason_says_when_it_is_not_this_history_that_decided():
    _, reason = choose([tried("streaming", 0.85), tried("memory_bank", 0.8, size=HEAVY)])
    assert "memory_bank is taken because it finds more real anomalies in labelled series" in reason
    _, reason = choose([tried("b", 0.9 + TIE / 2), tried("a", 0.9, size=24.0)])
    assert "a is taken because it is as good and keeps less" in reason
    _, reason = choose([tried("a", 0.9), tried("b", 0.5)])
    assert "is taken because" not in reason


def test_the_reason_tells_what_people_said():
    _, reason = choose([tried("a", 0.9, useful=Share(2, 3), noise=Share(1, 4))])
    assert "it found 2 of 3 that people called useful, and flagged 1 of 4 that they did not" in reason


def test_a_budget_is_kept_to_the_byte():
    assert too_large(100.0, 10, 1_000) == ""
    assert "would keep 1 KiB of 10 series" in too_large(100.1, 10, 1_000)


def test_every_merit_is_of_a_detector_and_an_unknown_one_has_the_least():
    assert set(MERITS) <= set(DETECTORS)
    figures = tried("new", 0.5).figures
    assert figures is not None
    assert utility_of("new", figures, white=False) == 0.5 + min(MERITS.values())
    assert utility_of("memory_bank", figures, white=True) == 0.5


def test_a_choice_is_json():
    choice = Choice("a", "because", (tried("a", 0.9), Tried("b", None, "no room")), 1, 100, 0)
    told = json.loads(json.dumps(choice.as_json(), allow_nan=False))
    assert told["candidates"][0]["total"] == pytest.approx(0.9 + min(MERITS.values()))
    assert Choice("a", "because", (tried("a", 0.9),), is_white=True).as_json()["candidates"][0]["total"] == 0.9
    assert told["candidates"][0]["found"] == {"level": [9, 12]}
    assert told["candidates"][1] == {"algorithm": "b", "left_out": "no room"}
