"""Cases of others: what is read of them, what is left out, and what is refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from atalaia.algorithms.evaluation.cause import run_cause
from atalaia.connectors.labelled.cases import read_all, read_cases
from atalaia.core.errors import Invalid
from tests.connectors.labelled.folders import PODS, nezha, petshop


def test_a_case_of_petshop_is_read(tmp_path: Path) -> None:
    (case,) = read_cases(petshop(tmp_path))
    found = case.evidence
    assert (case.name, case.causes) == ("low__issue_1", frozenset({"db"}))
    assert (found.alarmed_service, found.alarmed_metric) == ("web", "latency_Average")
    assert set(found.metrics) == {"latency_Average", "requests_Sum"}
    assert found.calls is not None
    assert found.calls.callees("web") == ("orders",)
    assert found.window.shape == (6, 5)
    assert bool(np.isnan(found.window[0, 4]))
    assert found.history.counts.tolist() == [40] * 6
    assert run_cause([case], lambda: 0.0)[0].figures["ac1"] == 1.0


def test_a_case_of_nezha_is_read(tmp_path: Path) -> None:
    (case,) = read_cases(nezha(tmp_path))
    found = case.evidence
    assert (case.name, case.causes) == ("2022-08-22_050030", frozenset({"store-1"}))
    assert (found.alarmed_service, found.calls) == (None, None)
    assert set(found.services) == set(PODS)
    assert set(found.metrics) == {"CpuUsage(m)", "MemoryUsage(Mi)"}
    assert found.window.shape == (6, 5)
    assert found.history.counts.tolist() == [31] * 6
    hurt = [
        i
        for i, pair in enumerate(zip(found.services, found.metrics, strict=True))
        if pair == ("store-1", "CpuUsage(m)")
    ]
    assert found.window[hurt[0]].tolist() == [50.0] * 5
    assert run_cause([case], lambda: 0.0)[0].figures["ac1"] == 1.0


def test_the_stamp_of_a_fault_does_not_count_only_its_words_do(tmp_path: Path) -> None:
    (case,) = read_cases(nezha(tmp_path, inject_timestamp="1661115630"))
    assert case.name == "2022-08-22_050030"


@pytest.mark.parametrize("make", [petshop, nezha])
def test_a_set_may_have_both_splits_or_be_one(tmp_path: Path, make: Callable[..., Path]) -> None:
    make(tmp_path, "dev")
    make(tmp_path, "holdout")
    assert len(read_cases(tmp_path)) == 2
    assert len(read_cases(tmp_path / "holdout")) == 1


def test_cases_without_normal_metrics_are_left_out_by_name_and_reason(tmp_path: Path) -> None:
    petshop(tmp_path)
    petshop(tmp_path, name="temporal__issue_1")
    (tmp_path / "shared" / "temporal_noissue.csv.gz").unlink()
    found = read_all(tmp_path)
    assert [case.name for case in found.cases] == ["low__issue_1"]
    assert found.left_out == {"temporal__issue_1": "no normal metrics of temporal"}


def test_a_fault_before_all_metrics_is_left_out(tmp_path: Path) -> None:
    nezha(tmp_path)
    faults = tmp_path / "dev" / "2022-08-22_faults.json"
    (told,) = json.loads(faults.read_text())
    early, late = told | {"inject_time": "2022-08-22 01:00:00"}, told | {"inject_time": "2022-08-22 06:00:00"}
    faults.write_text(json.dumps([told, late, early]))
    found = read_all(tmp_path)
    assert [case.name for case in found.cases] == ["2022-08-22_050030"]
    assert found.left_out == {
        "2022-08-22_010000": "no metrics before the fault",
        "2022-08-22_060000": "no metrics after the fault",
    }


def test_a_graph_is_not_needed(tmp_path: Path) -> None:
    petshop(tmp_path)
    (tmp_path / "shared" / "low_graph.csv").unlink()
    assert read_cases(tmp_path)[0].evidence.calls is None


def refusal(folder: Path) -> str:
    with pytest.raises(Invalid) as raised:
        read_cases(folder)
    assert raised.value.code == "invalid_file"
    return raised.value.detail


def test_a_folder_that_is_none_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone").endswith("gone: is no folder")
    assert "no set of cases" in refusal(tmp_path)


def test_a_set_without_a_usable_case_is_refused_with_the_reason(tmp_path: Path) -> None:
    petshop(tmp_path)
    (tmp_path / "shared" / "low_noissue.csv.gz").unlink()
    assert "no case can be used (low__issue_1: no normal metrics of low)" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not gzip", "cannot be read"),
        (gzip.compress(b"a,b\n" * 9, mtime=0)[:-9], "cannot be read"),
        (gzip.compress(b"", mtime=0), "holds no rows"),
        (gzip.compress(b"m,a\nm,b\ns,c\nt,\n1,2,3\n", mtime=0), "rows of different length"),
        (gzip.compress(b"m,a\nm,b\ns,c\nt,\n1,many\n", mtime=0), "holds what is no number"),
        (gzip.compress(b"m,a\nm,b\ns,c\nt,\n,5\n", mtime=0), "has rows without a time"),
        (gzip.compress(b"m,a\nm,b\ns,c\nt,\n1e300,5\n", mtime=0), "has rows without a time"),
        (gzip.compress(b"\xff\xfe\x00", mtime=0), "is no CSV"),
    ],
)
def test_broken_metrics_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    petshop(tmp_path)
    (tmp_path / "dev" / "low__issue_1.csv.gz").write_bytes(content)
    assert reason in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "has no 'target'"),
        ('{"target": 3, "root_cause": {}}', "has no 'metric'"),
        (
            '{"target": {"node": "web", "metric": 3, "agg": "a"}, "root_cause": {"node": "x"}}',
            "'metric' is no text",
        ),
        ('{"target": {"node": "web", "metric": "m", "agg": "a"}, "root_cause": {}}', "has no 'node'"),
    ],
)
def test_a_broken_alarm_is_refused(tmp_path: Path, content: str, reason: str) -> None:
    petshop(tmp_path)
    (tmp_path / "dev" / "low__issue_1.json").write_text(content)
    assert reason in refusal(tmp_path)


@pytest.mark.parametrize("content", ["", ",web,db\nweb,1\n", ",web\nweb,x\n"])
def test_a_broken_graph_is_refused(tmp_path: Path, content: str) -> None:
    petshop(tmp_path)
    (tmp_path / "shared" / "low_graph.csv").write_text(content)
    assert "low_graph.csv" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"inject_time": "noon"}, "'noon' is no time"), ({"inject_pod": None}, "'inject_pod' is no text")],
)
def test_a_broken_fault_is_refused(tmp_path: Path, fault: dict[str, Any], reason: str) -> None:
    assert reason in refusal(nezha(tmp_path, **fault))


def test_faults_that_are_no_list_and_metrics_that_are_none_are_refused(tmp_path: Path) -> None:
    nezha(tmp_path)
    parquet, faults = tmp_path / "dev" / "2022-08-22.parquet", tmp_path / "dev" / "2022-08-22_faults.json"
    pq.write_table(pa.table({"PodName": ["a"], "cpu": [1.0]}), parquet)
    assert "cannot be read as metrics of pods" in refusal(tmp_path)
    pq.write_table(pa.table({"PodName": ["a"], "cpu": ["much"], "t": [1]}), parquet)
    assert "cannot be read as metrics of pods" in refusal(tmp_path)
    parquet.write_bytes(b"PAR1 no")
    assert "cannot be read as metrics of pods" in refusal(tmp_path)
    parquet.unlink()
    assert "cannot be read as metrics of pods" in refusal(tmp_path)
    faults.write_text("{}")
    assert "is no list of faults" in refusal(tmp_path)
