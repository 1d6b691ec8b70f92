"""Rows of single points beside a peer: processor time, wall-clock rate and P99, each with both figures."""

from bench.load import Load
from bench.peers.single import beside, beside_noop

OURS = Load(requests=100_000, cpu_us=40.0, per_s=20_000.0, p50_ms=2.0, p99_ms=5.0)
THEIRS = Load(requests=5_000, cpu_us=600.0, per_s=1_000.0, p50_ms=50.0, p99_ms=100.0)


def test_a_peer_has_three_rows() -> None:
    rows = {row.name: row for row in beside("single_vs_kserve", OURS, "KServe", THEIRS, reach=12)}
    assert {name: row.ratio for name, row in rows.items()} == {
        "single_vs_kserve": 15.0,
        "single_vs_kserve_wall": 20.0,
        "single_vs_kserve_p99": 20.0,
    }
    assert rows["single_vs_kserve"].target == "ratio >= 12"
    assert rows["single_vs_kserve_wall"].baseline_value == 1_000.0
    assert rows["single_vs_kserve_p99"].baseline_value == 100.0
    assert all(row.passed for row in rows.values())


def test_the_better_run_of_the_noop_counts() -> None:
    slow = Load(requests=1, cpu_us=200.0, per_s=5_000.0, p50_ms=9.0, p99_ms=9.0)
    fast = Load(requests=1, cpu_us=100.0, per_s=9_000.0, p50_ms=9.0, p99_ms=10.0)
    rows = {row.name: row for row in beside_noop(OURS, slow, fast)}
    assert rows["predict_single"].ratio == 2.5
    assert rows["predict_single_p99"].baseline_value == 9.0
    assert rows["cores_for_2850_per_s"].value == 0.114
