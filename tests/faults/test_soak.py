"""Two minutes of the soak: a fault every 20 seconds, at a fifth of the rates, which is what CI's cores can spare.

`make soak` is the long one: 1,000 predictions and 3,000 points a second for half an hour.
"""

import sys
from dataclasses import replace

import pytest

from bench.soak.course import Outcome, Wanted, soak
from bench.soak.figures import figures, told
from bench.soak.memory import Growth, Sample, growth

pytestmark = pytest.mark.slow
SHORT = Wanted(
    120,
    200,
    600,
    series=100,
    trainings_every_s=3,
    every_s=20,
    lasts_s=5,
    warm_up_s=30,
    mlflow=False,
    names=("postgresql_stopped", "rabbitmq_stopped", "redis_stopped", "worker_killed", "s3_erring"),
)


def test_nothing_acknowledged_is_lost_and_only_faults_bring_errors() -> None:
    outcome = soak(SHORT, sys.stdout.write)
    print(told(outcome))
    missed = {figure.name: figure.value for figure in figures(outcome) if not figure.passed}
    # of memory two minutes say little: its bound is that of a start, and the long soak looks closer
    grown = {role: one.grown_mib for role, one in outcome.growths.items()}
    assert {name for name in missed if not name.startswith("soak_growth_")} == set()
    assert max(grown.values()) < 300, grown
    assert {one.name for one in outcome.suffered} == set(SHORT.names or ())
    assert outcome.acknowledged_points > 120 * 600 * 0.95
    assert outcome.trainings > 20
    assert outcome.excused, "the database was away for seconds, and somebody was told"


def test_what_is_wrong_is_seen() -> None:
    """Each figure can be missed."""
    good = Outcome(SHORT, seconds=120, predictions_per_s=200, points_per_s=600, p99_ms=5.0)
    good.growths = {"api": Growth(300, 310, 320, 90, 40, 5)}
    assert all(figure.passed for figure in figures(good))
    error = {"at": 1.0, "door": "points", "status": 500, "code": "internal_error"}
    for bad in (
        replace(good, predictions_per_s=150),
        replace(good, points_per_s=500),
        replace(good, errors=[error]),
        replace(good, excused=[{**error, "door": "predict"}]),
        replace(good, lost_points=1),
        replace(good, unacknowledged_batches=1),
        replace(good, failed_trainings=["job_1"]),
        replace(good, growths={"api": Growth(300, 500, 500, 90, 8_000, 200)}),
    ):
        assert [figure.name for figure in figures(bad) if not figure.passed]


def test_memory_that_grows_is_told_from_memory_that_peaks() -> None:
    flat = [Sample(float(at), 1, 300.0 + (100 if at % 40 == 0 else 0)) for at in range(0, 600, 2)]
    assert abs(growth(flat, 60).slope_mib_h) < 1
    leak = [Sample(one.at, 1, one.mib + one.at / 60) for one in flat]
    assert growth(leak, 60).slope_mib_h == pytest.approx(60, rel=0.05)
    started_again = [Sample(float(at), 1 if at < 200 else 2, 300.0 + at) for at in range(0, 600, 2)]
    assert growth(started_again, 60).seconds == pytest.approx(600 - 260, abs=5)
    with pytest.raises(ValueError, match="too few"):
        growth(flat[:10], 60)
