"""VUS-PR, against figures of the TSB-AD package's rewrite and against its own definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atalaia.algorithms.evaluation.volume import vus_pr


def _case(seed: int, n: int, events: list[tuple[int, int]], noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.zeros(n, np.bool_)
    for start, end in events:
        labels[start:end] = True
    return rng.normal(0, noise, n) + labels, labels


def _by_definition(scores: np.ndarray, labels: np.ndarray, window: int, levels: int) -> float:
    """The volume, as slowly as its definition reads."""
    n, edges = len(scores), np.diff(np.concatenate([[0], labels.astype(int), [0]]))
    events = list(zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) - 1).tolist(), strict=True))
    thresholds = -np.sort(-scores)
    thresholds = thresholds[np.linspace(0, n - 1, levels).astype(int)]
    areas = []
    for width in range(window + 1):
        half = width // 2
        soft = labels.astype(float)
        for start, end in events:
            for t in range(end + 1, min(end + half + 1, n)):
                soft[t] += np.sqrt(1 - (t - end) / width)
            for t in range(max(start - half, 0), start):
                soft[t] += np.sqrt(1 - (start - t) / width)
        soft = np.where(labels, 1.0, np.minimum(soft, 1.0))
        stretches: list[list[int]] = []
        for start, end in events:
            if stretches and stretches[-1][1] + half >= start - half:
                stretches[-1][1] = end
            else:
                stretches.append([start, end])
        area = before = 0.0
        for threshold in thresholds:
            flags = scores >= threshold
            hit = float(soft[flags].sum())
            positives = labels.sum() + soft[flags & ~labels].sum() / 2
            seen = [flags[max(a - half, 0) : b + half + 1].any() for a, b in stretches]
            recall = min(hit / positives, 1.0) * float(np.mean(seen))
            area += (recall - before) * hit / flags.sum()
            before = recall
        areas.append(area)
    return float(np.mean(areas))


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(20, 80),
    window=st.integers(0, 20),
    starts=st.lists(st.integers(0, 79), min_size=1, max_size=5),
    rounded=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_it_is_what_its_definition_says(seed: int, n: int, window: int, starts: list[int], rounded: bool) -> None:
    scores, labels = _case(seed, n, [(s % n, s % n + 1 + s % 7) for s in starts], 0.7)
    scores = np.round(scores, 0).astype(np.float64) if rounded else scores
    assert vus_pr(scores, labels, window, 40) == pytest.approx(
        _by_definition(scores, labels, window, 40), abs=1e-12
    )


@pytest.mark.parametrize(
    ("seed", "n", "events", "window", "expected"),
    [
        (1, 2000, [(300, 340), (900, 905), (1990, 2000)], 100, 0.419202),
        (2, 5000, [(100, 200), (210, 230), (4000, 4001)], 125, 0.376556),
        (3, 800, [(0, 10)], 0, 0.242221),
    ],
)
def test_it_agrees_with_the_reference_to_six_digits(
    seed: int, n: int, events: list[tuple[int, int]], window: int, expected: float
) -> None:
    scores, labels = _case(seed, n, events, 0.5)
    assert vus_pr(scores, labels, window) == pytest.approx(expected, abs=5e-7)


def test_a_perfect_score_beats_a_random_one() -> None:
    scores, labels = _case(5, 1000, [(500, 520)], 0.01)
    assert vus_pr(scores, labels, 20) > 0.9
    assert vus_pr(np.random.default_rng(0).normal(size=1000), labels, 20) < 0.2


def test_without_an_anomaly_there_is_no_figure() -> None:
    assert np.isnan(vus_pr(np.arange(10.0), np.zeros(10, np.bool_), 5))


def test_no_opinion_counts_as_the_lowest_score() -> None:
    scores, labels = _case(5, 200, [(50, 60)], 0.1)
    lowest = np.where(labels, scores, scores.min() - 1)
    assert vus_pr(np.where(labels, scores, np.nan), labels, 10) == vus_pr(lowest, labels, 10)
    assert 0 <= vus_pr(np.full(200, np.nan), labels, 10) < 0.2
