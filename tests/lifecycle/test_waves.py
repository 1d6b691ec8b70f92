"""Waves: many fleets trained one by one, and put into Production together or not at all."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete

from atalaia.core.errors import Busy, Conflict, Invalid, Missing, Stale
from atalaia.core.facts import ModelPromoted, ModelRegistered
from atalaia.core.models import ModelKey, Scope
from atalaia.kit.jobs import JobStatus
from atalaia.kit.jobs.rows import JobRow
from atalaia.kit.jobs.worker import Run
from tests.lifecycle.builders import Workshop, open_workshop, wave

FLEETS = ("fans", "pumps", "valves")
KEYS = {f"fleet:{name}" for name in FLEETS}


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    """Three fleets of three series each."""
    fill(workshop)
    return workshop


def fill(shop: Workshop) -> None:
    shop.history.points.clear()
    for i, fleet in enumerate(FLEETS):
        members = [f"{fleet}/{n}" for n in range(3)]
        for n, name in enumerate(members):
            shop.history.fill(name, wave(200 + 50 * n, seed=10 * i + n))
        shop.history.fleets[fleet] = members


def silence(shop: Workshop, fleet: str) -> None:
    """Let the series of a fleet have no points in the window, though they once had some."""
    for name in shop.history.fleets[fleet]:
        shop.history.points[name] = (np.empty(0, np.int64), np.empty(0))


def fails(shop: Workshop, fleet: str) -> Any:
    """Let the trainings of one fleet fail for good; return what takes that back."""
    members = shop.history.fleets[fleet]
    asked = shop.history.newest

    def broken(series_ids: Any) -> int | None:
        if list(series_ids) == members:
            raise Invalid("invalid_training_data", "the disk with these points is on fire")
        return asked(series_ids)

    shop.history.newest = broken  # pyright: ignore[reportAttributeAccessIssue]
    return lambda: setattr(shop.history, "newest", asked)


# starting


def test_a_wave_is_one_training_for_each_fleet(shop: Workshop) -> None:
    queued = shop.start_wave()
    assert (queued.fleets, queued.left_out) == (3, ())
    before = shop.wave(queued.wave_id)
    assert [fleet.fleet_id for fleet in before.fleets] == list(FLEETS)
    assert (before.count(JobStatus.QUEUED), before.progress, before.finished_at) == (3, 0.0, None)
    shop.work()
    after = shop.wave(queued.wave_id)
    assert {(f.status, f.version, f.series, f.points) for f in after.fleets} == {
        (JobStatus.COMPLETED, "v1", 3, 200 + 250 + 300)
    }
    assert (after.progress, after.promoted_at) == (1.0, None)
    assert after.finished_at is not None
    assert shop.production() == {}


def test_a_wave_of_all_takes_in_series_without_a_fleet(shop: Workshop) -> None:
    shop.history.fill("alone", wave())
    assert shop.start_wave().fleets == 4
    assert [f.fleet_id for f in shop.wave(shop.start_wave().wave_id).fleets] == sorted([*FLEETS, "gathered"])


def test_a_wave_may_be_of_some_fleets(shop: Workshop) -> None:
    queued = shop.start_wave(["valves", "fans"])
    assert [f.fleet_id for f in shop.wave(queued.wave_id).fleets] == ["fans", "valves"]


@pytest.mark.parametrize(
    ("fleets", "reason"), [([], "none is named"), (["fans", "fans"], "one stands there twice")]
)
def test_a_wave_of_nothing_or_of_one_fleet_twice_is_refused(shop: Workshop, fleets: list[str], reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        shop.start_wave(fleets)


def test_a_wave_of_all_needs_series(workshop: Workshop) -> None:
    workshop.history.points.clear()
    with pytest.raises(Invalid, match="there are no series yet"):
        workshop.start_wave()


def test_one_unknown_fleet_refuses_the_whole_wave(shop: Workshop) -> None:
    with pytest.raises(Missing):
        shop.start_wave(["fans", "nobodies"])
    assert shop.queue.depth(["train"]) == 0


def test_a_wrong_config_refuses_the_whole_wave(shop: Workshop) -> None:
    with pytest.raises(Invalid):
        shop.start_wave(algorithm="crystal ball")
    assert shop.queue.depth(["train"]) == 0


def test_an_unknown_wave_is_missing(shop: Workshop) -> None:
    for ask in (shop.wave, shop.promote_wave, shop.retry_wave):
        with pytest.raises(Missing) as caught:
            ask("wave_none")
        assert caught.value.code == "unknown_wave"


def test_fleets_that_were_trained_a_moment_ago_are_left_out(tmp_path: Path) -> None:
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        fill(shop)
        shop.train(ModelKey(Scope.FLEET, "pumps"))
        queued = shop.start_wave()
        assert (queued.fleets, queued.left_out) == (2, ("pumps",))
        with pytest.raises(Busy):  # whose trainings wait
            shop.start_wave()
        shop.work()
        with pytest.raises(Busy) as caught:
            shop.start_wave()
        assert caught.value.code == "trained_recently"
        assert len(shop.wave(queued.wave_id).fleets) == 2


def test_a_training_that_waits_for_longer_than_the_cooldown_is_not_queued_twice(tmp_path: Path) -> None:
    with open_workshop(tmp_path, cooldown_s=300.0) as shop:
        fill(shop)
        shop.start_wave()
        with shop.database.write() as session:
            for row in session.query(JobRow):
                row.created_at -= 3_600_000_000
        with pytest.raises(Busy, match="is training fleet:"):
            shop.start_wave()


# promoting


def test_a_wave_is_promoted_by_hand_when_it_is_done(shop: Workshop) -> None:
    wave_id = shop.start_wave().wave_id
    shop.work()
    assert {str(done.key) for done in shop.promote_wave(wave_id)} == KEYS
    assert shop.production() == dict.fromkeys(KEYS, 1)
    assert shop.wave(wave_id).promoted_at is not None


def test_a_wave_is_promoted_by_itself_with_its_last_training(shop: Workshop) -> None:
    wave_id = shop.start_wave(promote=True).wave_id
    for _ in range(2):
        shop.worker.work_once()
        assert shop.production() == {}
    shop.worker.work_once()
    assert shop.production() == dict.fromkeys(KEYS, 1)
    assert shop.wave(wave_id).promoted_at is not None
    told = [type(fact) for fact in shop.told]
    assert told == [ModelRegistered] * 3 + [ModelPromoted] * 3


def test_a_second_wave_takes_over_from_the_first(shop: Workshop) -> None:
    shop.start_wave(promote=True)
    shop.work()
    shop.start_wave(promote=True, algorithm="streaming")
    shop.work()
    assert shop.production() == dict.fromkeys(KEYS, 2)
    for key in KEYS:
        assert shop.stages(ModelKey.parse(key)) == {"v1": "Archived", "v2": "Production"}


def test_who_serves_learns_of_a_whole_wave_at_once(shop: Workshop) -> None:
    shop.start_wave(promote=True)
    shop.work()
    revision = max(deployment.revision for deployment in shop.deployments())
    wave_id = shop.start_wave().wave_id
    shop.work()
    assert shop.deployments(revision) == []
    shop.promote_wave(wave_id)
    assert {(str(d.key), d.number) for d in shop.deployments(revision)} == {(key, 2) for key in KEYS}


def test_a_wave_cannot_be_promoted_before_it_is_done(shop: Workshop) -> None:
    wave_id = shop.start_wave().wave_id
    shop.worker.work_once()
    with pytest.raises(Conflict, match=r"2 trainings have not ended well, of 3 of the wave") as caught:
        shop.promote_wave(wave_id)
    assert caught.value.code == "wave_not_done"
    with pytest.raises(Conflict):
        shop.promote_wave(wave_id, skip_failed=True)  # they have not failed: they wait
    assert shop.production() == {}


def test_a_promotion_that_fails_for_one_fleet_changes_none(shop: Workshop) -> None:
    wave_id = shop.start_wave().wave_id
    shop.work()
    valves = ModelKey(Scope.FLEET, "valves")
    shop.promote(1, valves)
    shop.train(valves)
    shop.promote(2, valves)  # the version of the wave is archived now
    told = len(shop.told)
    with pytest.raises(Conflict) as caught:
        shop.promote_wave(wave_id)
    assert caught.value.code == "not_in_staging"
    assert shop.production() == {"fleet:valves": 2}
    assert shop.wave(wave_id).promoted_at is None
    assert len(shop.told) == told


def test_a_wave_may_be_promoted_twice(shop: Workshop) -> None:
    wave_id = shop.start_wave().wave_id
    shop.work()
    shop.promote(1, ModelKey(Scope.FLEET, "pumps"))
    assert {str(done.key) for done in shop.promote_wave(wave_id)} == KEYS - {"fleet:pumps"}
    promoted_at = shop.wave(wave_id).promoted_at
    assert shop.promote_wave(wave_id) == []
    assert shop.wave(wave_id).promoted_at == promoted_at


def test_a_wave_that_cannot_be_promoted_by_itself_loses_no_training(shop: Workshop) -> None:
    wave_id = shop.start_wave(promote=True).wave_id
    shop.worker.work_once()
    (done,) = [fleet for fleet in shop.wave(wave_id).fleets if fleet.version]
    key = ModelKey(Scope.FLEET, done.fleet_id)
    shop.promote(1, key)
    shop.train_now(key)
    shop.promote(2, key)
    shop.work()
    after = shop.wave(wave_id)
    assert (after.count(JobStatus.COMPLETED), after.promoted_at) == (3, None)
    assert shop.production() == {str(key): 2}


# what does not end well


def test_a_failed_fleet_is_named_with_its_reason(shop: Workshop) -> None:
    fails(shop, "pumps")
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    after = shop.wave(wave_id)
    assert {f.fleet_id: f.error for f in after.fleets if f.error} == {
        "pumps": "the disk with these points is on fire"
    }
    assert (after.count(JobStatus.FAILED), after.progress, shop.production()) == (1, 1.0, {})
    with pytest.raises(Conflict, match=r"1 training has .*: pumps is failed \(the disk with these points is on"):
        shop.promote_wave(wave_id)


def test_an_error_names_a_few_fleets_and_counts_the_others(shop: Workshop) -> None:
    for n in range(20):
        shop.history.fleets[f"more {n:02}"] = ["fans/0"]
    wave_id = shop.start_wave().wave_id
    with pytest.raises(Conflict) as caught:
        shop.promote_wave(wave_id)
    assert caught.value.detail.endswith("more 02 is queued, more 03 is queued, 18 more")


def test_a_failed_training_is_done_again_and_the_wave_goes_on(shop: Workshop) -> None:
    heal = fails(shop, "pumps")
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    heal()
    assert shop.retry_wave(wave_id).fleets == 1
    assert shop.retry_wave(wave_id).fleets == 0  # it waits already
    shop.work()
    assert shop.production() == dict.fromkeys(KEYS, 1)
    assert {f.version for f in shop.wave(wave_id).fleets} == {"v1"}


def test_a_retry_keeps_the_config_of_the_wave(shop: Workshop) -> None:
    heal = fails(shop, "pumps")
    wave_id = shop.start_wave(algorithm="robust_zscore").wave_id
    shop.work()
    heal()
    shop.retry_wave(wave_id)
    shop.work()
    with shop.database.read() as session:
        _, (version,) = shop.lifecycle.model(session, ModelKey(Scope.FLEET, "pumps"))
    assert version.algorithm == "robust_zscore"


def test_a_cancelled_training_holds_up_the_wave_until_it_is_done_again(shop: Workshop) -> None:
    wave_id = shop.start_wave(promote=True).wave_id
    shop.cancel(shop.wave(wave_id).fleets[1].job_id)
    shop.work()
    assert shop.wave(wave_id).count(JobStatus.CANCELLED) == 1
    with pytest.raises(Conflict, match="pumps is cancelled"):
        shop.promote_wave(wave_id)
    shop.retry_wave(wave_id)
    shop.work()
    assert shop.production() == dict.fromkeys(KEYS, 1)


def test_failed_fleets_may_be_left_out_on_purpose(shop: Workshop) -> None:
    fails(shop, "pumps")
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    shop.promote_wave(wave_id, skip_failed=True)
    assert shop.production() == dict.fromkeys(KEYS - {"fleet:pumps"}, 1)


def test_a_fleet_without_points_does_not_hold_up_the_others(shop: Workshop) -> None:
    silence(shop, "pumps")
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    after = shop.wave(wave_id)
    assert [(f.version, f.is_empty) for f in after.fleets] == [("v1", False), (None, True), ("v1", False)]
    assert after.count(JobStatus.COMPLETED) == 3
    assert shop.production() == dict.fromkeys(KEYS - {"fleet:pumps"}, 1)
    assert "has no points in the window" in shop.job(after.fleets[1].job_id).result["skipped"]


def test_a_fleet_whose_points_are_all_unusable_is_empty_too(shop: Workshop) -> None:
    for name in shop.history.fleets["pumps"]:
        shop.history.fill(name, np.full(50, np.nan))
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    assert [f.is_empty for f in shop.wave(wave_id).fleets] == [False, True, False]


def test_a_fleet_that_lost_its_series_after_the_start_is_empty(shop: Workshop) -> None:
    wave_id = shop.start_wave(promote=True).wave_id
    shop.history.fleets["valves"] = []
    shop.work()
    assert [f.is_empty for f in shop.wave(wave_id).fleets] == [False, False, True]
    assert len(shop.production()) == 2


def test_a_wave_of_empty_fleets_promotes_nothing_and_says_so(shop: Workshop) -> None:
    for fleet in FLEETS:
        silence(shop, fleet)
    wave_id = shop.start_wave(promote=True).wave_id
    shop.work()
    assert shop.wave(wave_id).promoted_at is None
    with pytest.raises(Conflict, match="made a version"):
        shop.promote_wave(wave_id)


def test_a_wave_outlives_its_jobs(shop: Workshop) -> None:
    """Jobs that ended are forgotten after a while."""
    heal = fails(shop, "pumps")
    wave_id = shop.start_wave().wave_id
    shop.work()
    with shop.database.write() as session:
        session.execute(delete(JobRow))
    after = shop.wave(wave_id)
    assert [f.status for f in after.fleets] == [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.COMPLETED]
    heal()
    shop.retry_wave(wave_id)
    shop.work()
    assert len(shop.promote_wave(wave_id)) == 3


def test_a_worker_that_lost_its_training_changes_nothing(shop: Workshop) -> None:
    wave_id = shop.start_wave(promote=True).wave_id
    claim = shop.queue.claim(["train"])
    assert claim is not None
    outcome = shop.lifecycle.training.work(Run(claim))
    shop.queue.release(claim)  # as if it had slept until its lease ran out

    def complete() -> None:
        with shop.database.write() as session:
            assert outcome.apply is not None
            shop.queue.complete(session, claim, outcome.apply(session) or {})

    with pytest.raises(Stale):
        complete()
    assert shop.wave(wave_id).count(JobStatus.QUEUED) == 3
    shop.work()
    assert shop.production() == dict.fromkeys(KEYS, 1)


def test_a_wave_reads_no_more_than_a_part_at_a_time(shop: Workshop) -> None:
    sizes: list[int] = []
    groups = shop.history.groups

    def seen(*asked: Any) -> Any:
        for places, group in groups(*asked):
            sizes.append(len(places))
            yield places, group

    shop.history.groups = seen  # pyright: ignore[reportAttributeAccessIssue]
    shop.start_wave()
    shop.work()
    assert sizes == [2, 1] * 3
