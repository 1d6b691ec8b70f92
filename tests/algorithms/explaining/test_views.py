import pytest

from atalaia.algorithms.detectors import DETECTORS
from atalaia.algorithms.explaining.views import VIEWS, distance, view


def test_every_part_of_every_detector_has_words() -> None:
    parts = {part for detector in DETECTORS.values() for part in detector.parts}
    assert parts - VIEWS.keys() == set()


def test_a_view_that_is_unknown_is_named() -> None:
    assert view("season_day") == "the value, beside what is usual at this time of day"
    assert "'moon'" in view("moon")


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (None, "no opinion"),
        (float("nan"), "no opinion"),
        (0.0, "0 of what an alarm needs"),
        (0.4, "0.4 of what an alarm needs"),
        (1.0, "1 of what an alarm needs"),
        (2.5, "2.5 times what an alarm needs"),
        (1e6, "over 1,000 times what an alarm needs"),
    ],
)
def test_a_distance_is_said_in_words(score: float | None, expected: str) -> None:
    assert distance(score) == expected
