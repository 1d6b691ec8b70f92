import threading

import pytest

from atalaia.core.errors import AtalaiaError, Conflict, Missing
from atalaia.core.facts import ChallengerChanged, ModelPromoted
from atalaia.core.models import ModelKey, Scope, Stage
from atalaia.lifecycle.deployments import DeploymentList
from tests.lifecycle.builders import SERIES


def test_the_first_promotion_has_no_predecessor(workshop):
    workshop.train()
    done = workshop.promote(1)
    assert (done.number, done.previous) == (1, None)
    assert workshop.stages() == {"v1": "Production"}
    assert workshop.told[-1] == ModelPromoted("series:pump/7", 1, 0, True)


def test_a_promotion_archives_the_one_before(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    assert workshop.promote(2).previous == 1
    assert workshop.stages() == {"v1": "Archived", "v2": "Production"}


def test_the_one_before_goes_back_to_staging_when_it_shall_not_be_archived(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    workshop.promote(2, archive_previous=False)
    assert workshop.stages() == {"v1": "Staging", "v2": "Production"}
    assert workshop.promote(1).previous == 2  # and can come back


def test_the_registry_learns_of_every_stage(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    workshop.promote(2)
    assert workshop.registry.stages == {"series:pump/7 v1": Stage.ARCHIVED, "series:pump/7 v2": Stage.PRODUCTION}


def test_a_registry_that_is_down_does_not_stop_a_promotion(workshop):
    workshop.train()
    workshop.registry.is_down = True
    workshop.promote(1)
    assert workshop.stages() == {"v1": "Production"}


@pytest.mark.parametrize("stage", ["Production", "Archived"])
def test_only_a_version_in_staging_can_be_promoted(workshop, stage):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    workshop.promote(2)
    with pytest.raises(Conflict) as caught:
        workshop.promote({"Production": 2, "Archived": 1}[stage])
    assert caught.value.code == "not_in_staging"
    assert workshop.stages() == {"v1": "Archived", "v2": "Production"}


def test_unknown_models_and_versions_are_missing(workshop):
    with pytest.raises(Missing) as model:
        workshop.promote(1, ModelKey(Scope.SERIES, "nobody"))
    workshop.train()
    with pytest.raises(Missing) as version:
        workshop.promote(2)
    assert (model.value.code, version.value.code) == ("unknown_model", "unknown_version")


def test_each_promotion_has_a_later_revision(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    first = _deployments(workshop)
    workshop.promote(2)
    second = _deployments(workshop)
    assert [d.number for d in first] == [1]
    assert [d.number for d in second] == [2]
    assert second[0].revision > first[0].revision
    assert _deployments(workshop, second[0].revision) == []


def test_concurrent_promotions_leave_one_winner(workshop):
    for _ in range(4):
        workshop.train()
    start = threading.Barrier(8)
    problems: list[str] = []

    def promote(number: int) -> None:
        start.wait()
        try:
            workshop.promote(number)
        except AtalaiaError as error:
            problems.append(error.code)

    threads = [threading.Thread(target=promote, args=(1 + i % 4,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stages = list(workshop.stages().values())
    assert stages.count("Production") == 1
    assert stages.count("Archived") == 3
    assert problems == ["not_in_staging"] * 4  # each version was promoted once
    (deployed,) = _deployments(workshop)
    assert workshop.stages()[f"v{deployed.number}"] == "Production"


# challengers


def test_a_challenger_is_deployed_beside_the_version_in_production(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    revision = _deployments(workshop)[0].revision
    done = workshop.challenge(2)
    assert (done.production, done.challenger) == (1, 2)
    assert workshop.stages() == {"v1": "Production", "v2": "Staging"}
    assert [(d.number, d.stage) for d in _deployments(workshop, revision)] == [
        (1, Stage.PRODUCTION),
        (2, Stage.STAGING),
    ]
    assert workshop.told[-1] == ChallengerChanged("series:pump/7", 2)


def test_another_challenger_takes_the_place_of_the_first(workshop):
    for _ in range(3):
        workshop.train()
    workshop.promote(1)
    workshop.challenge(2)
    workshop.challenge(3)
    assert [d.number for d in _deployments(workshop)] == [1, 3]


def test_a_challenger_can_be_sent_away(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    workshop.challenge(2)
    revision = _deployments(workshop)[0].revision
    done = workshop.challenge(None)
    assert (done.production, done.challenger) == (1, None)
    assert [d.number for d in _deployments(workshop, revision)] == [1]
    assert workshop.told[-1] == ChallengerChanged("series:pump/7", 0)
    assert workshop.challenge(None).challenger is None  # as often as one likes


def test_a_challenger_that_is_promoted_challenges_no_more(workshop):
    workshop.train()
    workshop.train()
    workshop.promote(1)
    workshop.challenge(2)
    workshop.promote(2)
    assert [(d.number, d.stage) for d in _deployments(workshop)] == [(2, Stage.PRODUCTION)]


def test_a_challenger_stays_when_another_version_is_promoted(workshop):
    for _ in range(3):
        workshop.train()
    workshop.promote(1)
    workshop.challenge(3)
    workshop.promote(2)
    assert [d.number for d in _deployments(workshop)] == [2, 3]


@pytest.mark.parametrize(
    ("promoted", "number", "error", "code"),
    [
        ([], 1, Conflict, "nothing_to_challenge"),
        ([1], 1, Conflict, "not_in_staging"),
        ([1, 2], 1, Conflict, "not_in_staging"),
        ([1], 3, Missing, "unknown_version"),
    ],
)
def test_only_a_version_in_staging_beside_one_in_production_can_challenge(workshop, promoted, number, error, code):
    workshop.train()
    workshop.train()
    for version in promoted:
        workshop.promote(version)
    before = _deployments(workshop)
    with pytest.raises(error) as caught:
        workshop.challenge(number)
    assert caught.value.code == code
    assert _deployments(workshop) == before


@pytest.mark.parametrize("number", [1, None])
def test_a_model_that_nobody_trained_cannot_be_challenged(workshop, number):
    with pytest.raises(Missing) as caught:
        workshop.challenge(number, ModelKey(Scope.SERIES, "nobody"))
    assert caught.value.code == "unknown_model"


def _deployments(workshop, after=0):
    found = DeploymentList(workshop.database).deployments(after)
    assert all(deployment.key == SERIES for deployment in found)
    return found
