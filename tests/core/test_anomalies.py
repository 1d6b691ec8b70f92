"""The words for anomalies are those that stand on the wire and in the database."""

from datetime import UTC, datetime

from atalaia.core.anomalies import Anomaly, AnomalyState, FeedbackKind
from atalaia.core.scores import Explanation, ModelRef


def test_the_words_do_not_change() -> None:
    assert [state.value for state in AnomalyState] == ["open", "closed"]
    assert [kind.value for kind in FeedbackKind] == ["useful", "noise", "expected"]


def test_nobody_has_spoken_of_a_new_anomaly() -> None:
    moment = datetime(2014, 4, 10, tzinfo=UTC)
    anomaly = Anomaly(
        anomaly_id="ano_1",
        series_id="pump-7",
        state=AnomalyState.OPEN,
        opened_at=moment,
        last_at=moment,
        closed_at=None,
        peak_at=moment,
        peak_score=1.5,
        points=1,
        seen=9.0,
        explanation=Explanation(5.0, 4.0, 6.0, "level", "far above"),
        model=ModelRef("series:pump-7", "v1", "statistical"),
    )
    assert anomaly.feedback == ()
