"""What the names of metrics say."""

import pytest

from atalaia.algorithms.causes.meanings import Meaning, meaning_of

LATENCY = Meaning(1, is_of_a_call=True)
SUCCESS = Meaning(-1, is_of_a_call=True, is_success=True)
TRAFFIC = Meaning(0, is_traffic=True)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("latency_Average", LATENCY),
        ("PodServerLatencyP95(s)", LATENCY),
        ("http_request_duration_seconds", LATENCY),
        ("responseTime", LATENCY),
        ("availability", SUCCESS),
        ("PodSuccessRate(%)", SUCCESS),
        ("error_rate", LATENCY),
        ("http_errors_total", Meaning(1)),
        ("request_timeouts", Meaning(1)),
        ("CpuUsage(m)", Meaning(1)),
        ("container_memory_working_set_bytes", Meaning(1)),
        ("kafka_consumer_lag", Meaning(1)),
        ("bearing_temperature_celsius", Meaning(1)),
        ("node_memory_available_bytes", Meaning(-1)),
        ("disk_free", Meaning(-1)),
        ("throughput", Meaning(-1)),
        ("cache_hit_ratio", Meaning(-1)),
        ("requests_Sum", TRAFFIC),
        ("http_requests_total", TRAFFIC),
        ("PodWorkload(Ops)", TRAFFIC),
        ("qps", TRAFFIC),
        ("pump/7 pressure", Meaning()),
        ("", Meaning()),
        ("x" * 100_000, Meaning()),
        ("\u202elatency\u202c", LATENCY),
    ],
)
def test_a_name_says(name: str, meaning: Meaning) -> None:
    assert meaning_of(name) == meaning
