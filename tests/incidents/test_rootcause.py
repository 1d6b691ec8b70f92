"""The grid of a window, what is said of metrics, and the sentence about a suspect."""

import numpy as np
import pytest

from atalaia.algorithms.causes.meanings import Meaning
from atalaia.algorithms.causes.ranking import Reason, Suspect
from atalaia.core.clock import MICROS
from atalaia.incidents.rootcause import Points, Question, measured, sentence, split, step_of

HOUR_US = 3_600 * MICROS


def question(minutes: int = 10) -> Question:
    return Question(HOUR_US, HOUR_US + minutes * 60 * MICROS, HOUR_US)


def every(step_s: float, start_s: float = 0.0, end_s: float = 4_200.0) -> Points:
    times = (np.arange(start_s, end_s, step_s) * MICROS).astype(np.int64)
    return times, times / MICROS


def test_the_grid_is_as_wide_as_points_lie_apart() -> None:
    assert step_of([every(60)] * 5, question(), 5) == 60 * MICROS
    assert step_of([*[every(15)] * 5, every(60)] * 2, question(), 12) == 60 * MICROS


def test_a_window_has_a_few_places_at_least_and_not_too_many() -> None:
    assert step_of([every(900)], question(), 1) == 200 * MICROS
    assert step_of([every(1)], question(minutes=60 * 24), 1) == 60 * MICROS
    assert step_of([every(1)], question(minutes=60 * 24), 20_000) == 864 * MICROS


def test_without_points_a_minute_is_taken() -> None:
    assert step_of([], question(), 0) == 60 * MICROS
    assert step_of([every(60, 0, 60)], question(), 1) == 60 * MICROS


def test_points_of_a_place_are_averaged_and_what_came_before_stays_as_it_is() -> None:
    before, window = split([every(30), every(60, 0, 3_600)], question(), 60 * MICROS)
    assert before.counts.tolist() == [120, 60]
    assert window.shape == (2, 10)
    assert window[0].tolist() == [3_615.0 + 60 * i for i in range(10)]
    assert np.isnan(window[1]).all()


def test_values_that_are_no_numbers_are_not_measured() -> None:
    times = np.arange(4, dtype=np.int64) * MICROS
    kept, values = measured("latency", (times, np.array([1.0, np.nan, np.inf, 2.0])))
    assert (kept.tolist(), values.tolist()) == ([0, 3 * MICROS], [1.0, 2.0])
    assert measured("calls_total", (times, np.array([0.0, 2.0, 4.0, 6.0])))[1].tolist() == [2.0, 2.0, 2.0]


def test_what_is_said_of_metrics_counts_and_their_names_say_the_rest() -> None:
    asked = Question(0, 1, 1, directions={"latency": "down", "x": "up"}, traffic_metric="n")
    assert asked.meanings == {
        "latency": Meaning(-1, is_of_a_call=True),
        "x": Meaning(1),
        "n": Meaning(is_traffic=True),
    }


REASON = Reason(0, "db", "latency", 0.05, 0.45, 16.0, "up", True, 1.0, 2)


@pytest.mark.parametrize(
    ("suspect", "text"),
    [
        (
            Suspect("db", 1.0, 0.97, 0.97, ("web", "db"), True, (REASON,)),
            "explains 97% of what latency shows at the alarm; reached by web > db; latency went up from 0.05 "
            "to 0.45 (16.0 scales, which is bad); was changed shortly before",
        ),
        (
            Suspect("db", 1.0, 0.9, 0.1, ("db",), False, ()),
            "explains 90% of what latency shows at the alarm, 10% of it its own",
        ),
        (Suspect("db", 0.0, None, 0.0, (), False, ()), "nothing of it moved"),
    ],
)
def test_a_sentence_says_why(suspect: Suspect, text: str) -> None:
    assert sentence(suspect, "latency") == text
