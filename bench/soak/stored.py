"""What is stored, held against what was acknowledged, point by point."""

from collections.abc import Iterable

import httpx
import numpy as np

from atalaia.core.clock import MICROS
from bench.soak.plan import HISTORY, Plan
from bench.soak.site import Site

_PAGE = 100_000


def lost_points(site: Site, plan: Plan, batches: int, series: Iterable[int] | None = None) -> int:
    """Return how many points of the history and of acknowledged batches are missing, wrong, or there twice."""
    at = np.arange(-HISTORY, batches)
    stamps = plan.timestamps_us(at)
    lost = 0
    with httpx.Client(base_url=site.roles["api"].url, trust_env=False, timeout=120) as http:
        for number in range(plan.series) if series is None else series:
            lost += _lost(http, plan.names[number], stamps, plan.values(number, at))
    return lost


def _lost(http: httpx.Client, name: str, stamps: np.ndarray, values: np.ndarray) -> int:
    found_at, found = _read(http, name, (int(stamps[0]), int(stamps[-1])))
    wanted = dict(zip(stamps.tolist(), values.tolist(), strict=True))
    there = dict(zip(found_at, found, strict=True))
    wrong = sum(1 for at, value in wanted.items() if there.get(at) != value)
    return wrong + len(found_at) - len(there) + len(there.keys() - wanted.keys())


def _read(http: httpx.Client, name: str, between: tuple[int, int]) -> tuple[list[int], list[float]]:
    first, last = between
    params: dict[str, float | str] = {"from": first / MICROS, "to": last / MICROS + 1, "limit": _PAGE}
    stamps: list[int] = []
    values: list[float] = []
    while True:
        path = f"/api/v1/series/{name.replace('/', '%2F')}/points"
        page = http.get(path, params=params).raise_for_status().json()
        for point in page["points"]:
            stamps.append(_us(point["timestamp"]))
            values.append(point["value"])
        if page.get("next") is None:
            return stamps, values
        params["cursor"] = page["next"]


def _us(timestamp: str) -> int:
    return int(np.datetime64(timestamp.removesuffix("Z"), "us").astype(np.int64))
