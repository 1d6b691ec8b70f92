"""A training with ``auto``: what is chosen, from what, and who is told why."""

from typing import Any

import numpy as np
import pytest

from atalaia.algorithms.selection.selecting import MOST_SERIES
from atalaia.algorithms.selection.trials import LEAST_POINTS
from atalaia.core.anomalies import Anomaly, AnomalyState, Feedback, FeedbackKind
from atalaia.core.clock import MICROS, from_us
from atalaia.core.errors import Invalid
from atalaia.core.points import FloatArray
from atalaia.core.scores import Explanation, ModelRef
from atalaia.kit.jobs import JobStatus
from atalaia.kit.jobs.worker import Run
from atalaia.lifecycle.selection import check_algorithm
from atalaia.lifecycle.training import Inline
from tests.lifecycle.builders import FLEET, SERIES, START_US, Workshop, open_workshop, wave

HOURS = 400.0


def daily(seed: int = 1, points: int = 288 * 10) -> FloatArray:
    noise = np.random.default_rng(seed).normal(0.0, 1.0, points)
    return 50.0 + 20.0 * np.sin(np.arange(points) / 288 * 2 * np.pi) + noise


def fill(shop: Workshop, name: str, values: FloatArray) -> None:
    shop.history.fill(name, values, step_s=300)


def chosen(shop: Workshop, key: Any = SERIES, **more: Any) -> tuple[Any, dict[str, Any]]:
    """Train with auto; return the version, and what the job's result says."""
    job_id = shop.request(key, algorithm="auto", window_hours=HOURS, **more)
    shop.work()
    job = shop.job(job_id)
    assert job.status == JobStatus.COMPLETED, job.error
    with shop.database.read() as session:
        _, (version, *_) = shop.lifecycle.model(session, key)
    return version, job.result


def said(kind: FeedbackKind, first: int, series_id: str = "pump/7", *before: FeedbackKind) -> Anomaly:
    """An anomaly of one point, and the word on it."""
    at = from_us(START_US + first * 300 * MICROS)
    words = tuple(Feedback(one, "", at) for one in (*before, kind))
    why = Explanation(None, None, None, "level", "")
    interval = (AnomalyState.CLOSED, at, at, at, at, 2.0, 1, 0.0)
    return Anomaly(f"anm_{first}", series_id, *interval, why, ModelRef("m", "v1", "x"), words)


def test_the_history_chooses_and_everybody_is_told_why(workshop):
    fill(workshop, "pump/7", daily())
    version, result = chosen(workshop)
    assert version.algorithm in ("seasonal_profile", "streaming", "memory_bank")
    assert version.hyperparameters  # those of what was chosen
    told = version.selection
    assert told == result["selection"]
    assert (told["algorithm"], told["series"], told["points"]) == (version.algorithm, 1, 2_880)
    assert told["reason"].startswith(f"{version.algorithm}: found ")
    assert version.metrics["points"] == 2_880  # the whole history is learnt, not its first part
    (artefact,) = workshop.registry.runs.values()
    assert (artefact.algorithm, artefact.parameters["algorithm"]) == (version.algorithm, version.algorithm)
    assert (artefact.parameters["chosen_by"], artefact.parameters["reason"]) == ("auto", told["reason"])


def test_a_named_algorithm_leaves_no_trace_of_a_choice(workshop):
    job_id = workshop.request()
    workshop.work()
    assert "selection" not in workshop.job(job_id).result
    with workshop.database.read() as session:
        _, (version,) = workshop.lifecycle.model(session, SERIES)
    assert version.selection is None
    (artefact,) = workshop.registry.runs.values()
    assert "chosen_by" not in artefact.parameters


@pytest.mark.parametrize("given", [{"threshold_sigma": 3.0}, {"colour": "red"}])
def test_hyperparameters_beside_auto_are_refused(workshop, given):
    with pytest.raises(Invalid) as caught:
        workshop.request(algorithm="auto", hyperparameters=given)
    assert (caught.value.code, caught.value.faults[0].pointer) == (
        "invalid_hyperparameters",
        "/config/hyperparameters",
    )
    assert workshop.queue.depth(["train"]) == 0
    check_algorithm("auto", {})


def test_a_short_history_says_so(workshop):
    fill(workshop, "pump/7", wave(LEAST_POINTS - 20))
    version, _ = chosen(workshop)
    assert version.algorithm == "streaming"
    assert "120 points are too few" in version.selection["reason"]


def test_data_that_come_with_the_request_choose_too(workshop):
    values = daily(points=10_000)
    stamps = START_US + np.arange(len(values), dtype=np.int64) * 300 * MICROS
    version, _ = chosen(workshop, inline=Inline(stamps, values))
    assert version.selection["points"] == 10_000


def test_a_fleet_is_chosen_for_by_a_sample_and_without_heavy_ones(tmp_path):
    with open_workshop(tmp_path, auto_max_bytes=1_000_000) as shop:
        names = [f"s{n}" for n in range(MOST_SERIES + 5)]
        for n, name in enumerate(names):
            fill(shop, name, daily(n, 600))
        shop.history.fleets["pumps"] = names
        version, _ = chosen(shop, FLEET)
    assert version.series_count == len(names)
    assert version.selection["series"] == MOST_SERIES
    left_out = {one["algorithm"]: one["left_out"] for one in version.selection["candidates"] if "left_out" in one}
    assert list(left_out) == ["memory_bank"]
    assert not any(name in str(version.selection) for name in names if len(name) > 2)  # ids are personal data


def test_a_fleet_whose_sample_is_silent_is_learnt_all_the_same(workshop):
    fill(workshop, "pump/8", wave(40))
    workshop.history.points["pump/9"] = (np.empty(0, np.int64), np.empty(0))
    workshop.history.fleets["pumps"] = ["pump/8", "pump/9"]
    version, _ = chosen(workshop, FLEET)
    assert version.algorithm == "streaming"
    assert version.selection["series"] == 0


def test_a_wave_may_let_each_fleet_choose(workshop):
    fill(workshop, "pump/7", daily())
    fill(workshop, "noise", wave(2_000))
    workshop.history.fleets.update(pumps=["pump/7"], others=["noise"])
    queued = workshop.start_wave(["pumps", "others"], algorithm="auto", promote=True)
    workshop.work()
    told = workshop.wave(queued.wave_id)
    assert all(fleet.version == "v1" for fleet in told.fleets)
    algorithms = {str(one.key): one.algorithm for one in workshop.deployments()}
    assert algorithms["fleet:others"] in ("statistical", "robust_zscore")
    assert algorithms["fleet:pumps"] not in ("statistical", "robust_zscore")


def test_the_last_word_of_people_is_heard(workshop):
    values = daily()
    values[[2_300, 2_500, 2_700]] += 300.0
    fill(workshop, "pump/7", values)
    workshop.judgements.anomalies = [
        said(FeedbackKind.USEFUL, 2_300),
        said(FeedbackKind.NOISE, 2_500, "pump/7", FeedbackKind.USEFUL),
        said(FeedbackKind.EXPECTED, 2_700),
        said(FeedbackKind.USEFUL, 2_600, "another"),
        said(FeedbackKind.USEFUL, 5),  # it lies in what is learnt
    ]
    version, _ = chosen(workshop)
    told = version.selection
    assert told["said"] == 3
    assert "it found 1 of 1 that people called useful, and flagged 2 of 2 that they did not" in told["reason"]
    tried = [one for one in told["candidates"] if "left_out" not in one]
    assert all((one["useful"][1], one["noise"][1]) == (1, 2) for one in tried)


def test_progress_never_goes_back(workshop, monkeypatch):
    fill(workshop, "pump/7", daily(points=600))
    heard: list[float] = []
    report = Run.report
    monkeypatch.setattr(Run, "report", lambda run, share: (heard.append(share), report(run, share)))
    chosen(workshop)
    assert heard == sorted(heard)
    assert len([share for share in heard if 0.1 < share < 0.4]) >= 3
