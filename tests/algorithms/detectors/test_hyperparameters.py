import pytest

from atalaia.algorithms.detectors import DETECTORS, make_detector
from atalaia.algorithms.detectors.seasonal import SeasonalProfile
from atalaia.algorithms.detectors.zscore import ZScore
from atalaia.core.errors import Invalid


def test_detectors_are_made_by_the_names_that_users_know():
    assert list(DETECTORS) == [
        "statistical", "robust_zscore", "seasonal_profile", "streaming", "memory_bank", "lstm", "autoencoder",
    ]  # fmt: skip
    assert make_detector("statistical", {}) == ZScore(threshold_sigma=3.0)


def test_what_is_not_given_keeps_its_default():
    made = make_detector("seasonal_profile", {"timezone": "Europe/Lisbon"})
    assert made == SeasonalProfile(timezone="Europe/Lisbon")


def test_whole_numbers_serve_as_fractions_and_the_other_way_round():
    assert make_detector("statistical", {"threshold_sigma": 4}) == ZScore(threshold_sigma=4.0)
    made = make_detector("seasonal_profile", {"bucket_minutes": 60.0})
    assert type(made.hyperparameters()["bucket_minutes"]) is int


def test_hyperparameters_make_the_same_detector_again():
    for name in DETECTORS:
        given = "accept_hours" if name in ("memory_bank", "lstm", "autoencoder") else "threshold_sigma"
        made = make_detector(name, {given: 2.5})
        assert make_detector(name, made.hyperparameters()) == made


def test_an_unknown_algorithm_is_refused_with_the_ones_that_exist():
    with pytest.raises(Invalid) as refusal:
        make_detector("prophet", {})
    assert refusal.value.code == "unknown_algorithm"
    assert refusal.value.faults[0].pointer == "/config/algorithm"
    assert "statistical, robust_zscore, seasonal_profile" in refusal.value.detail


@pytest.mark.parametrize("value", [0, -1, 1000.5, float("nan"), float("inf"), True, "3", None, [3], {}, 10**400])
def test_a_threshold_that_is_no_sensible_number_is_refused(value):
    with pytest.raises(Invalid) as refusal:
        make_detector("statistical", {"threshold_sigma": value})
    assert [fault.pointer for fault in refusal.value.faults] == ["/config/hyperparameters/threshold_sigma"]
    assert refusal.value.faults[0].message.startswith("expected a number above 0 and at most 1000, got ")


@pytest.mark.parametrize("value", [0, 7, 10.5, True, "30", None, [], float("nan"), 10**400])
def test_a_bucket_that_does_not_divide_the_day_is_refused(value):
    with pytest.raises(Invalid, match="bucket_minutes: expected one of 10, 12,"):
        make_detector("seasonal_profile", {"bucket_minutes": value})


@pytest.mark.parametrize("value", ["", "Mars/Olympus", "../../etc/passwd", "Europe", "a\0b", "\ud800", "x" * 5000])
def test_a_time_zone_that_nobody_knows_is_refused(value):
    with pytest.raises(Invalid, match="is not a time zone of the IANA database"):
        make_detector("seasonal_profile", {"timezone": value})


def test_a_time_zone_that_is_not_a_text_is_refused():
    with pytest.raises(Invalid, match="expected a text, got 5"):
        make_detector("seasonal_profile", {"timezone": 5})


def test_every_wrong_hyperparameter_is_named_at_once():
    with pytest.raises(Invalid) as refusal:
        make_detector("statistical", {"a/b~c": 1, "threshold_sigma": "x" * 100})
    assert [fault.pointer for fault in refusal.value.faults] == [
        "/config/hyperparameters/a~1b~0c",
        "/config/hyperparameters/threshold_sigma",
    ]
    assert refusal.value.faults[0].message == "statistical has no such hyperparameter; it takes threshold_sigma"
    assert len(refusal.value.faults[1].message) < 120
