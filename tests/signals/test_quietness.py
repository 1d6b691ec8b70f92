from dataclasses import replace
from datetime import UTC, datetime

import pytest

from atalaia.core.anomalies import Anomaly, AnomalyState, Feedback, FeedbackKind
from atalaia.core.scores import Confidence, Explanation, ModelRef
from atalaia.signals.quietness import Opinion, Situation, reasons, what_next

MINUTE = 60_000_000
NAN = float("nan")
CALM = Opinion(0.4, False, False, False, Confidence.HIGH, 8000, 10)
USUAL = Situation(100 * MINUTE, 100 * MINUTE, MINUTE, 100 * MINUTE, "there", CALM, None, 0, 1, 12)
STRANGE = replace(CALM, score=2.5, alarm=True)


@pytest.mark.parametrize(
    ("changed", "codes", "said"),
    [
        ({}, ["inside"], "0.4 of what an alarm needs"),
        ({"point_us": None, "opinion": None}, ["no_points"], "No point"),
        ({"opinion": None, "model": "none"}, ["no_model"], "train one"),
        ({"opinion": None, "model": "not_loaded"}, ["model_not_loaded"], "doctor"),
        (
            {"opinion": replace(CALM, score=NAN, learnt=4)},
            ["not_learnt"],
            "learnt 4 points of this series and needs 10",
        ),
        ({"opinion": replace(CALM, score=NAN)}, ["no_opinion"], "too few"),
        ({"point_us": 98 * MINUTE}, ["missing_point", "inside"], "one comes every 60 s"),
        ({"point_us": 99 * MINUTE}, ["inside"], ""),
        ({"point_us": 98 * MINUTE, "step_us": None}, ["inside"], ""),
        ({"opinion": replace(CALM, is_accepted=True)}, ["inside", "accepted"], "as expected"),
        ({"opinion": replace(CALM, confidence=Confidence.LOW)}, ["inside", "low_confidence"], "as expected"),
        ({"opened_us": MINUTE}, ["alarm_is_open"], "closes after 12 quiet points"),
        ({"opened_us": MINUTE, "opinion": STRANGE}, ["alarm"], "1970-01-01T00:01:00Z"),
        ({"opened_us": MINUTE, "opinion": None}, ["alarm"], "It did alarm"),
        ({"opinion": STRANGE, "scored_us": 99 * MINUTE}, ["not_scored_yet"], "waits to be scored"),
        ({"opinion": STRANGE, "scored_us": None}, ["not_scored_yet"], "waits to be scored"),
        ({"opinion": STRANGE, "pending": 1, "open_after": 3}, ["waits_for_more"], "1 of the 3 strange points"),
        (
            {"opinion": replace(STRANGE, alarm=False, is_replayed=True)},
            ["waits_for_more"],
            "after several strange points",
        ),
        ({"opinion": STRANGE}, ["not_alarmed_then"], "later than newer points"),
    ],
)
def test_each_situation_has_its_reasons(changed, codes, said):
    told = reasons(replace(USUAL, **changed))
    assert [reason.code for reason in told] == codes
    assert said in told[0].text


def anomaly(name="anm_1", state=AnomalyState.CLOSED, *words):
    now = datetime(2026, 11, 20, tzinfo=UTC)
    feedback = tuple(Feedback(FeedbackKind(word), "", now) for word in words)
    why, model = Explanation(0.0, -1.0, 1.0, "level", "far"), ModelRef("fleet:a", "v1", "plain")
    return Anomaly(name, "a", state, now, now, now, now, 2.0, 1, 9.0, why, model, feedback)


def test_feedback_is_asked_for_once_and_similar_ones_are_pointed_at():
    assert what_next(anomaly(), []) == [
        "Say what it was worth: atalaia anomalies feedback anm_1 useful|noise|expected."
    ]
    assert what_next(anomaly("anm_1", AnomalyState.CLOSED, "noise"), []) == []
    said = what_next(
        anomaly("anm_1", AnomalyState.OPEN, "useful"),
        [
            anomaly("b", AnomalyState.CLOSED, "useful", "noise"),
            anomaly("c", AnomalyState.CLOSED, "noise"),
            anomaly("d"),
        ],
    )
    assert said[0].endswith("people said of them: 2 noise.")
    assert "still open" in said[1]


@pytest.mark.parametrize(
    ("changed", "codes"),
    [
        ({}, ["known_event", "known_event", "inside"]),
        ({"opinion": None, "model": "none"}, ["known_event", "known_event", "no_model"]),
        ({"opened_us": MINUTE, "opinion": STRANGE}, ["alarm", "known_event", "known_event"]),
    ],
)
def test_known_events_are_named_before_all_else_unless_it_did_alarm(changed, codes):
    told = reasons(replace(USUAL, events=("maintenance 'x' (evt_1)", "deploy 'y' (evt_2)"), **changed))
    assert [reason.code for reason in told] == codes
    assert any("maintenance 'x' (evt_1)" in reason.text for reason in told)
