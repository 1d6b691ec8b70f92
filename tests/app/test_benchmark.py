"""Comparisons on folders of labelled data."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atalaia.app.benchmark import Protocol, compare, protocol_of
from atalaia.core.errors import Invalid


def write_set(folder: Path, series: int = 2, points: int = 1200) -> Path:
    """Write a set of daily waves with a spike each into `folder`/dev."""
    (folder / "dev").mkdir(parents=True)
    for number in range(series):
        t = np.arange(points)
        values = 50 + 10 * np.sin(2 * np.pi * t / 288) + np.random.default_rng(number).normal(size=points)
        labels = np.zeros(points, np.int8)
        labels[900:906] = 1
        values[900:906] += 40
        columns = {"timestamp": 1_700_006_400 + 300 * t, "value": values, "label": labels}
        pq.write_table(pa.table(columns), folder / "dev" / f"host-{number}.parquet")
    return folder


def test_online_ours_and_peers_stand_side_by_side(tmp_path: Path) -> None:
    told = compare([write_set(tmp_path / "hosts")], Protocol.ONLINE)
    assert (told["protocol"], told["data"], told["series"], told["left_out"]) == ("online", ["hosts"], 2, [])
    by_name = {row["name"]: row for row in told["detectors"]}
    assert {"fleet", "strong", "peer:netdata", "peer:grafana"} <= set(by_name)
    assert by_name["strong"]["event_f1"] == 1.0
    assert [row["series"] for row in by_name["strong"]["per_series"]] == ["host-0", "host-1"]
    assert by_name["strong"]["per_series"][0]["recall_1fa_week"] == 1.0


def test_looking_back_leaves_long_series_out_and_says_so(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "hosts")
    told = compare([folder], Protocol.WHOLE, peers=False)
    assert [row["name"] for row in told["detectors"]] == ["strong"]
    assert told["detectors"][0]["vus_pr"] > 0.5
    told = compare([folder], Protocol.WHOLE, peers=False, most_points=1000)
    assert told["series"] == 0
    assert told["left_out"][0] == {"series": "host-0", "reason": "it has 1200 points, at most 1000 are looked at"}


def test_assets_are_compared_by_all_their_sensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    hidden = np.cumsum(rng.normal(size=(900, 2)), axis=0) * 0.1
    values = hidden @ rng.normal(size=(2, 5)) + rng.normal(size=(900, 5)) * 0.1
    values[700:800, 2] += 3.0
    columns: dict[str, Any] = {f"v{i}": values[:, i] for i in range(5)}
    columns["label"] = ((np.arange(900) >= 700) & (np.arange(900) < 800)).astype(np.int8)
    columns["is_train"] = (np.arange(900) < 500).astype(np.int8)
    (tmp_path / "pump").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "pump" / "run.parquet")
    told = compare([tmp_path / "pump"], Protocol.ASSET)
    by_name = {row["name"]: row for row in told["detectors"]}
    assert {"relations", "isolation_forest", "peer:t2"} <= set(by_name)
    assert by_name["relations"]["f1"] > 0.8
    assert by_name["relations"]["vus_pr"] > 0.8
    assert not [
        row for row in compare([tmp_path / "pump"], Protocol.ASSET, peers=False)["detectors"] if ":" in row["name"]
    ]


def test_a_folder_that_cannot_be_used_stops_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="is not a folder"):
        compare([write_set(tmp_path / "hosts"), tmp_path / "gone"], Protocol.ONLINE)


def test_only_known_protocols_are_run() -> None:
    assert protocol_of("whole") is Protocol.WHOLE
    with pytest.raises(Invalid, match="choose one of whole, online") as refused:
        protocol_of("sideways")
    assert refused.value.code == "unknown_protocol"
