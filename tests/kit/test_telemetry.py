"""The metrics are called what the table calls them, and survive a source that fails."""

import math
import re
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from atalaia.kit.telemetry import ASK_S, METRICS, SECONDS, Telemetry
from tests.kit.fakes import PATIENCE_S, in_threads, logged, wait_until

OURS = [metric for metric in METRICS if not metric.name.startswith("process_")]
GAUGES = [metric.name for metric in OURS if metric.kind == "gauge"]
COUNTERS = [m for m in OURS if m.kind == "counter" and not m.name.startswith("http_")]


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def read(telemetry: Telemetry, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(telemetry.render().decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def test_every_metric_is_rendered_under_its_exact_name_with_its_type_and_help(telemetry: Telemetry) -> None:
    for name in GAUGES:
        telemetry.gauge(name, lambda: 1.0)
    text = telemetry.render().decode()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert f"# HELP {metric.name} {metric.help}\n" in text or metric not in OURS


def test_names_follow_the_rules_of_prometheus() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"


@pytest.mark.parametrize("metric", COUNTERS, ids=lambda metric: metric.name)
def test_every_counter_counts(telemetry: Telemetry, metric: object) -> None:
    assert metric in COUNTERS
    name, names = metric.name, metric.labels  # pyright: ignore[reportAttributeAccessIssue]
    labels = {label: f"a {label}" for label in names}
    telemetry.count(name, *labels.values())
    telemetry.count(name, *labels.values(), by=2)
    assert read(telemetry, name, **labels) == 3


def test_a_counter_without_labels_begins_at_zero(telemetry: Telemetry) -> None:
    assert read(telemetry, "points_received_total") == 0


def test_a_histogram_counts_and_adds_and_has_buckets(telemetry: Telemetry) -> None:
    for seconds in (0.004, 0.2, 60.0):
        telemetry.time("model_load_duration_seconds", seconds, "pump", "mlflow")
    where = {"series_id": "pump", "source": "mlflow"}
    assert read(telemetry, "model_load_duration_seconds_count", **where) == 3
    assert read(telemetry, "model_load_duration_seconds_sum", **where) == pytest.approx(60.204)
    assert read(telemetry, "model_load_duration_seconds_bucket", **where, le="0.005") == 1
    assert read(telemetry, "model_load_duration_seconds_bucket", **where, le="+Inf") == 3


def test_requests_are_counted_by_status_and_timed_by_route(telemetry: Telemetry) -> None:
    for status, seconds in ((200, 0.0005), (200, 0.001), (404, 0.2), (200, 60.0)):
        telemetry.requests.note("GET", "/series", status, seconds)
    telemetry.requests.note("POST", "/series", 200, 0.001)
    where = {"method": "GET", "route": "/series"}
    assert read(telemetry, "http_requests_total", **where, status="200") == 3
    assert read(telemetry, "http_requests_total", **where, status="404") == 1
    assert read(telemetry, "http_request_duration_seconds_count", **where) == 4
    assert read(telemetry, "http_request_duration_seconds_sum", **where) == pytest.approx(60.2015)
    buckets = {"0.001": 2, "0.0025": 2, "0.1": 2, "0.25": 3, "30.0": 3, "+Inf": 4}
    for bound, count in buckets.items():
        assert read(telemetry, "http_request_duration_seconds_bucket", **where, le=bound) == count, bound
    assert read(telemetry, "http_requests_total", method="POST", route="/series", status="200") == 1


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50))
def test_requests_fall_into_the_buckets_that_a_histogram_of_the_library_has(durations: list[float]) -> None:
    telemetry, reference = Telemetry(), CollectorRegistry()
    histogram = Histogram("x", "", buckets=SECONDS, registry=reference)
    for seconds in durations:
        telemetry.requests.note("GET", "/", 200, seconds)
        histogram.observe(seconds)
    wanted = {
        sample.labels["le"]: sample.value
        for family in reference.collect()
        for sample in family.samples
        if sample.name == "x_bucket"
    }
    for bound, count in wanted.items():
        found = read(telemetry, "http_request_duration_seconds_bucket", method="GET", route="/", le=bound)
        assert found == count, bound


def test_requests_are_shown_while_others_come(telemetry: Telemetry) -> None:
    def work(number: int) -> None:
        for i in range(300):
            telemetry.requests.note("GET", f"/{number}/{i}", 200, 0.001)
            if number == 0 and i % 30 == 0:
                telemetry.render()

    in_threads(4, work)
    assert telemetry.render().count(b"\nhttp_requests_total{") == 4 * 300


def test_a_gauge_is_read_when_it_is_scraped(telemetry: Telemetry) -> None:
    level = [1.0]
    telemetry.gauge("scoring_lag_rows", lambda: level[0])
    assert read(telemetry, "scoring_lag_rows") == 1
    level[0] = 5
    assert read(telemetry, "scoring_lag_rows") == 5


def test_a_gauge_that_cannot_be_read_spoils_no_other_metric(telemetry: Telemetry) -> None:
    telemetry.gauge("scoring_lag_rows", lambda: 1 / 0)
    telemetry.count("points_received_total", by=7)
    with logged("gauge_failed", metric="scoring_lag_rows"):
        assert math.isnan(read(telemetry, "scoring_lag_rows") or 0)
    with logged("gauge_failed"):
        assert read(telemetry, "points_received_total") == 7


def test_a_gauge_that_asks_in_vain_holds_no_scrape_up(telemetry: Telemetry) -> None:
    answers, asked = threading.Event(), [0]

    def ask() -> float:
        asked[0] += 1
        answers.wait(PATIENCE_S)
        return 7.0

    telemetry.gauge("scoring_lag_rows", ask, asks=True)
    began = time.monotonic()
    for _ in range(20):
        assert math.isnan(read(telemetry, "scoring_lag_rows") or 0)
    assert time.monotonic() - began < 20 * ASK_S / 2  # waited for once
    assert asked == [1]
    answers.set()
    wait_until(lambda: read(telemetry, "scoring_lag_rows") == 7)


def test_a_gauge_that_cannot_ask_is_nothing(telemetry: Telemetry) -> None:
    telemetry.gauge("scoring_lag_rows", lambda: 1 / 0, asks=True)
    with logged("gauge_failed", metric="scoring_lag_rows"):
        assert math.isnan(read(telemetry, "scoring_lag_rows") or 0)


def test_a_counter_may_be_shown_before_it_counts(telemetry: Telemetry) -> None:
    assert read(telemetry, "anomaly_feedback_total", kind="noise") is None
    telemetry.begin("anomaly_feedback_total", "noise")
    assert read(telemetry, "anomaly_feedback_total", kind="noise") == 0
    telemetry.count("anomaly_feedback_total", "noise")
    telemetry.begin("anomaly_feedback_total", "noise")
    assert read(telemetry, "anomaly_feedback_total", kind="noise") == 1


def test_counts_of_the_hot_path_are_read_when_they_are_scraped(telemetry: Telemetry) -> None:
    totals = {("pump-7", "v1", "true"): 1.0}
    telemetry.counts("anomaly_predictions_total", totals.items)
    where = {"series_id": "pump-7", "model_version": "v1", "anomaly": "true"}
    assert read(telemetry, "anomaly_predictions_total", **where) == 1
    totals["pump-7", "v1", "true"] = 9.0
    totals["pump-8", "v1", "false"] = 2.0
    assert read(telemetry, "anomaly_predictions_total", **where) == 9
    assert read(telemetry, "anomaly_predictions_total", **{**where, "series_id": "pump-8", "anomaly": "false"}) == 2
    assert telemetry.render().count(b"# TYPE anomaly_predictions_total counter") == 1


def loads(telemetry: Telemetry) -> dict[tuple[str, str], float]:
    """Return how often each (series, source) was timed."""
    families = text_string_to_metric_families(telemetry.render().decode())
    samples = (sample for family in families for sample in family.samples)
    return {
        (sample.labels["series_id"], sample.labels["source"]): sample.value
        for sample in samples
        if sample.name == "model_load_duration_seconds_count"
    }


def test_beyond_a_bound_the_values_of_the_first_label_are_told_together(telemetry: Telemetry) -> None:
    telemetry.bound("model_load_duration_seconds", 2, "(others)")
    for name in ("a", "b", "c", "a", "d", "c"):
        telemetry.time("model_load_duration_seconds", 0.1, name, "mlflow")
    telemetry.time("model_load_duration_seconds", 0.1, "b", "local_cache")
    telemetry.time("model_load_duration_seconds", 0.1, "e", "local_cache")
    assert loads(telemetry) == {
        ("a", "mlflow"): 2,
        ("b", "mlflow"): 1,
        ("(others)", "mlflow"): 3,
        ("b", "local_cache"): 1,
        ("(others)", "local_cache"): 1,
    }


def test_a_bound_of_none_tells_all_together(telemetry: Telemetry) -> None:
    telemetry.bound("model_load_duration_seconds", 0, "(others)")
    for name in ("a", "", "(others)"):
        telemetry.time("model_load_duration_seconds", 0.1, name, "mlflow")
    assert loads(telemetry) == {("(others)", "mlflow"): 3}


def test_counters_have_bounds_too(telemetry: Telemetry) -> None:
    telemetry.bound("model_drift_detected_total", 1, "(others)")
    for name in ("a", "b", "c"):
        telemetry.count("model_drift_detected_total", name)
    assert read(telemetry, "model_drift_detected_total", series_id="a") == 1
    assert read(telemetry, "model_drift_detected_total", series_id="(others)") == 2


def test_threads_do_not_pass_a_bound_and_lose_nothing(telemetry: Telemetry) -> None:
    telemetry.bound("model_load_duration_seconds", 50, "(others)")

    def work(number: int) -> None:
        for i in range(200):
            telemetry.time("model_load_duration_seconds", 0.1, f"{(i + 25 * number) % 200}", "mlflow")

    in_threads(8, work)
    told = loads(telemetry)
    assert len(told) == 51
    assert {told[place] for place in told if place[0] != "(others)"} == {8}
    assert sum(told.values()) == 1600


def test_what_has_no_label_has_no_bound(telemetry: Telemetry) -> None:
    with pytest.raises(AssertionError, match="no label"):
        telemetry.bound("points_received_total", 1, "(others)")


@pytest.mark.parametrize("label", ['qu"ote', "back\\slash", "new\nline", "温度", "a{b}=c,d", ""])
def test_any_label_survives(telemetry: Telemetry, label: str) -> None:
    telemetry.count("model_drift_detected_total", label)
    assert read(telemetry, "model_drift_detected_total", series_id=label) == 1


def test_two_services_in_one_process_do_not_mix(telemetry: Telemetry) -> None:
    telemetry.count("points_received_total")
    assert read(Telemetry(), "points_received_total") == 0


def test_threads_that_count_lose_nothing(telemetry: Telemetry) -> None:
    in_threads(8, lambda _: [telemetry.count("points_refused_total", "invalid_json") for _ in range(200)])
    assert read(telemetry, "points_refused_total", code="invalid_json") == 1600


def test_a_name_that_is_not_in_the_table_is_a_mistake(telemetry: Telemetry) -> None:
    for act in (
        lambda: telemetry.count("x_total"),
        lambda: telemetry.time("x_seconds", 1.0),
        lambda: telemetry.gauge("x", float),
        lambda: telemetry.counts("x_total", list),
        lambda: telemetry.bound("x_total", 1, ""),
    ):
        with pytest.raises(KeyError):
            act()
