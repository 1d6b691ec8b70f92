import pytest

from atalaia.algorithms.detectors.memory_bank import MemoryBank
from atalaia.algorithms.detectors.streaming import StreamingProfile
from atalaia.algorithms.sentences import asset_sentence, sentence

NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            (8.91, 91.3, 12.0, 3.1, 20.9, "season_day"),
            "91.3 is above the expected 12 (band 3.1 to 20.9) for this time of day; "
            "8.9 times the allowed deviation",
        ),
        (
            (1.5, -2.0, 12.0, 3.0, 21.0, "level"),
            "-2 is below the expected 12 (band 3 to 21); 1.5 times the allowed deviation",
        ),
        (
            (0.2, 14.0, 12.0, 3.0, 21.0, "season_week"),
            "14 is inside the expected band 3 to 21 for this time of the week",
        ),
        (
            (1e6, 1234567.0, 0.0, -1e-12, 1e-12, "level"),
            "1,234,567 is above the expected 0 (band -0.000000000001 to 0.000000000001); "
            "more than 1,000 times the allowed deviation",
        ),
        (
            (1.2, 30.0, 12.0, -3.0, 27.0, "shift"),
            "30 is above the expected 12 (band -3 to 27, which is narrow because the last points lie off "
            "together); 1.2 times the allowed deviation",
        ),
        (
            (2.0, INF, 1e20, 0.9e20, 1.1e20, "level"),
            "inf is above the expected 1e+20 (band 9e+19 to 1.1e+20); 2.0 times the allowed deviation",
        ),
        (
            (NAN, NAN, 12.0, 3.0, 21.0, "level"),
            "no opinion: the value is missing; 12 was expected (band 3 to 21)",
        ),
        ((NAN, 5.0, NAN, NAN, NAN, "level"), "no opinion: this series had too few points to learn from"),
        ((0.5, -0.0001, 0.0, -100.0, 100.0, "level"), "0 is inside the expected band -100 to 100"),
    ],
)
def test_a_score_says_why(given, text):
    assert sentence(*given) == text


def test_a_narrow_band_far_from_zero_keeps_its_digits():
    assert "band 99.97 to 100.03" in sentence(2.0, 100.06, 100.0, 99.97, 100.03, "level")


def test_a_shape_may_be_strange_inside_the_band():
    told = sentence(2.31, 12.5, 12.0, 3.1, 20.9, "shape_16")
    assert told == (
        "12.5 is inside the expected band 3.1 to 20.9, but the last 16 points together are unlike any known of "
        "this series; 2.3 times the threshold"
    )
    assert sentence(0.9, 12.5, 12.0, 3.1, 20.9, "shape_16") == "12.5 is inside the expected band 3.1 to 20.9"


def test_a_shape_and_the_value_may_both_be_strange():
    told = sentence(5.0, 30.0, 12.0, 3.1, 20.9, "same_time_4")
    assert told == (
        "30 is above the expected 12 (band 3.1 to 20.9), and the last 4 points are unlike those at this time of "
        "other days; 5.0 times the threshold"
    )


def test_every_part_of_a_detector_of_shapes_has_words():
    for part in set(MemoryBank.parts) - set(StreamingProfile.parts):
        assert "but" in sentence(2.0, 12.5, 12.0, 3.1, 20.9, part)


def test_an_alarm_of_an_asset_names_the_sensors_that_are_off_with_it():
    told = asset_sentence(2.5, 31.25, 20.0, 18.0, 22.0, "press 3", ["b", "c", "d", "e"])
    assert told == (
        "it shows 31.25 where the other sensors of press 3 say 20 (band 18 to 22); 2.5 times the allowed deviation;"
        " off with it: b, c, d and 1 more"
    )
    assert "more than 1,000 times" in asset_sentence(1e6, 1e9, 0.0, -1.0, 1.0, "x", [])
    nothing = float("nan")
    assert "strangest sensor of x" in asset_sentence(2.0, 1.0, nothing, nothing, nothing, "x", [])
