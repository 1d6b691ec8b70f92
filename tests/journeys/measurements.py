"""Points for the journeys: a real series of the sample data, and made-up ones."""

from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq

from atalaia.app.demo.histories import FOLDER
from atalaia.connectors.atalaia import Columns
from atalaia.core.points import FloatArray, IntArray

MICROS = 1_000_000
START_S = 1_700_000_000
STEP_S = 60


@dataclass(frozen=True, slots=True)
class Labelled:
    """A real series: int64[n] microseconds, float64[n] values, bool[n] whether people called it an anomaly."""

    timestamps: IntArray
    values: FloatArray
    label: Any

    def part(self, start: int, end: int, series_id: str) -> Columns:
        """Return points [start, end) as columns."""
        n = len(self.timestamps[start:end])
        return Columns([series_id] * n, self.timestamps[start:end], self.values[start:end])

    @property
    def intervals(self) -> list[tuple[int, int]]:
        """First and last time of each labelled anomaly."""
        edges = np.flatnonzero(np.diff(np.r_[False, self.label, False]))
        return [(int(self.timestamps[a]), int(self.timestamps[b - 1])) for a, b in edges.reshape(-1, 2).tolist()]


def nab(name: str) -> Labelled:
    """Return a NAB series of the sample data."""
    table = pq.read_table(FOLDER / f"nab_{name}.parquet")
    stamps = table["timestamp"].to_numpy().astype(np.int64) * MICROS
    return Labelled(stamps, table["value"].to_numpy().astype(np.float64), table["label"].to_numpy() > 0)


def wave(count: int, series_id: str, *, start: int = 0, seed: int = 7) -> Columns:
    """Return `count` points, one a minute from point number `start` on: a daily wave with some noise."""
    at = np.arange(start, start + count)
    noise = np.random.default_rng(seed).normal(0, 1, count)
    values = 50 + 10 * np.sin(at / 1440 * 2 * np.pi) + noise
    return Columns([series_id] * count, (START_S + at.astype(np.int64) * STEP_S) * MICROS, values)


def inline(points: Columns) -> dict[str, Any]:
    """Return `points` as the training data of a request."""
    return {"timestamps": (points.timestamps / MICROS).tolist(), "values": points.values.tolist()}


def assert_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is the problem `code`, whole and consistent; return it."""
    assert response.headers["content-type"] == "application/problem+json", response.text[:500]
    problem: dict[str, Any] = response.json()
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    return problem
