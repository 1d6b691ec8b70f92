"""The metrics of Atalaia: one table of names, and one registry for each service object.

`docs/reference/metrics.md` is made from `METRICS`.
"""

import math
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_log = structlog.get_logger(__name__)

disable_created_metrics()  # a second series for each counter, which nobody reads
OTHERS = "(others)"
"""The value of a label that stands for all that are not told one by one."""
ASK_S = 0.5
"""How long a scrape waits for a value that another process has."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class MetricName:
    """One metric: what it is called, its type, its labels and what it says."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str


METRICS: tuple[MetricName, ...] = (
    MetricName("http_requests_total", "counter", ("method", "route", "status"), "HTTP requests answered."),
    MetricName("http_request_duration_seconds", "histogram", ("method", "route"), "Time to answer a request."),
    MetricName(
        "anomaly_predictions_total",
        "counter",
        ("series_id", "model_version", "anomaly"),
        "Points scored, on request or as they arrived.",
    ),
    MetricName(
        "challenger_predictions_total",
        "counter",
        ("model_id", "model_version", "outcome"),
        "Points that a challenger scored beside its champion, by whether the two agreed.",
    ),
    MetricName(
        "model_load_duration_seconds",
        "histogram",
        ("series_id", "source"),
        "Time to load a model; those of further series are told together.",
    ),
    MetricName("model_cache_hit_rate", "gauge", (), "Share of predictions that found their model loaded."),
    MetricName("model_cache_bytes", "gauge", (), "Memory that loaded models take."),
    MetricName("adopted_series", "gauge", (), "Series that joined their fleet after its model was trained."),
    MetricName(
        "model_refused_total",
        "counter",
        ("reason",),
        "Times that a model was not used: wrong checksum or signature.",
    ),
    MetricName(
        "prediction_inputs_flagged_total",
        "counter",
        ("flag",),
        "Points asked for that are far outside, repeated, or too many.",
    ),
    MetricName("training_queue_depth", "gauge", (), "Trainings that wait or run."),
    MetricName(
        "model_drift_detected_total",
        "counter",
        ("series_id",),
        "Times that the metrics of a model were asked for and its data had drifted.",
    ),
    MetricName("points_received_total", "counter", (), "Points acknowledged, repeats included."),
    MetricName("points_refused_total", "counter", ("code",), "Requests with points that were refused."),
    MetricName(
        "remote_write_skipped_total", "counter", ("reason",), "Parts of remote-write requests that are no points."
    ),
    MetricName(
        "series_silent", "gauge", (), "Series that send regularly and have stopped, where this process follows."
    ),
    MetricName(
        "points_known_total", "counter", (), "Points inside known events, which were neither scored nor learnt."
    ),
    MetricName("intake_bytes", "gauge", (), "Memory of points that wait to become durable."),
    MetricName("scoring_lag_rows", "gauge", (), "Accepted batches that wait to be scored."),
    MetricName("anomalies_opened_total", "counter", (), "Anomalies opened."),
    MetricName("anomaly_feedback_total", "counter", ("kind",), "What people said of anomalies."),
    MetricName(
        "alarm_budget_realised_ratio",
        "gauge",
        (),
        "Alarms of the last week over what was promised, of the fleet where that is most; NaN without a budget.",
    ),
    MetricName("jobs_queue_messages", "gauge", (), "Wake-ups that wait in RabbitMQ; NaN while it does not answer."),
    MetricName("data_disk_free_bytes", "gauge", (), "Space that is free where the data folder lies."),
    MetricName("data_disk_size_bytes", "gauge", (), "Space that there is where the data folder lies."),
    MetricName("process_cpu_seconds_total", "counter", (), "CPU time of the process."),
    MetricName("process_resident_memory_bytes", "gauge", (), "Memory of the process."),
    MetricName("process_virtual_memory_bytes", "gauge", (), "Address space of the process, mapped files included."),
    MetricName("process_start_time_seconds", "gauge", (), "When the process began, in seconds since the epoch."),
    MetricName("process_open_fds", "gauge", (), "Files and connections that the process has open."),
    MetricName("process_max_fds", "gauge", (), "How many it may have."),
    MetricName("auth_refused_total", "counter", ("code",), "Requests whose caller was not known, or might not."),
    MetricName("login_failures_total", "counter", (), "Logins that failed."),
    MetricName("requests_limited_total", "counter", ("limit",), "Requests refused because there were too many."),
    MetricName("rate_limits_shared", "gauge", (), "1 while processes share the counts of limits, 0 otherwise."),
    MetricName("audit_predictions_total", "counter", (), "Predictions written to the journal of the audit log."),
    MetricName(
        "audit_predictions_lost_total",
        "counter",
        (),
        "Predictions that could not be kept while nothing was written.",
    ),
    MetricName("audit_events_waiting", "gauge", (), "Events of the audit trail that are not in the database yet."),
    MetricName("audit_events_lost_total", "counter", (), "Events of the audit trail that memory had no room for."),
    MetricName(
        "backup_last_success_timestamp_seconds",
        "gauge",
        (),
        "When the last scheduled backup ended well, 0 if never.",
    ),
    MetricName("backup_duration_seconds", "gauge", (), "How long that backup took."),
    MetricName("jobs_attempted_total", "counter", ("kind", "how"), "Attempts at jobs, by how they ended."),
)
_MADE_ELSEWHERE = ("http_request", "process_")
_BY_NAME = {metric.name: metric for metric in METRICS}


class Telemetry:
    """The metrics of one service object."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._bounds: dict[str, _Bound] = {}
        self._tell: Callable[[str, tuple[str, ...], float], object] | None = None
        self.requests = RequestCounts()
        self.registry.register(_Requests(self.requests))
        ProcessCollector(registry=self.registry)
        for metric in METRICS:
            if metric.name.startswith(_MADE_ELSEWHERE):
                continue
            if metric.kind == "counter":
                self._counters[metric.name] = Counter(
                    metric.name, metric.help, metric.labels, registry=self.registry
                )
            elif metric.kind == "histogram":
                self._histograms[metric.name] = Histogram(
                    metric.name, metric.help, metric.labels, buckets=SECONDS, registry=self.registry
                )

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add `by` to the counter `name`."""
        if self._tell is not None:
            self._tell(name, labels, by)
        counter = self._counters[name]
        (counter.labels(*self._bounded(name, labels)) if labels else counter).inc(by)

    def tell(self, tell: Callable[[str, tuple[str, ...], float], object]) -> None:
        """Let ``tell(name, labels, by)`` hear what is counted: in a process that nobody scrapes."""
        self._tell = tell

    def time(self, name: str, seconds: float, *labels: str) -> None:
        """Note that something took `seconds` in the histogram `name`."""
        self._histograms[name].labels(*self._bounded(name, labels)).observe(seconds)

    def bound(self, name: str, most: int, others: str) -> None:
        """Let `count` or `time` tell `most` values of the first label of `name` one by one: those that come first.

        All others stand together under `others`. A child of a histogram takes about 4 kB, for ever.
        """
        assert _BY_NAME[name].labels, "there is no label to bound"
        self._bounds[name] = _Bound(most, others)

    def begin(self, name: str, *labels: str) -> None:
        """Show the counter `name` from 0 on: Prometheus sees no increase in a counter that begins at 1."""
        counter = self._counters[name]
        counter.labels(*self._bounded(name, labels)).inc(0)

    def gauge(self, name: str, read: Callable[[], float], *, asks: bool = False) -> None:
        """Let the gauge `name` show what `read` returns when it is scraped, NaN while that fails.

        Parameters
        ----------
        asks
            Whether `read` asks another process, a database say. What that does not say soon is NaN: a scrape must
            end in time, else this process counts as gone.
        """
        told = partial(_read_or_nan, name, read)
        Gauge(name, _BY_NAME[name].help, registry=self.registry).set_function(_Asked(told).read if asks else told)

    def counts(self, name: str, read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]) -> None:
        """Let the counter `name` show what `read` returns when it is scraped.

        For hot paths: they add to plain numbers, and the metric is made only when somebody looks. It takes the
        place of the counter that `count` adds to.
        """
        self.registry.unregister(self._counters.pop(name))
        self.registry.register(_Scraped(_BY_NAME[name], read))

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        bound = self._bounds.get(name)
        return labels if bound is None else (bound.told(labels[0]), *labels[1:])


class _Bound:
    """Which values of a label are told one by one."""

    def __init__(self, most: int, others: str) -> None:
        self._most = most
        self._others = others
        self._values: set[str] = set()
        self._lock = threading.Lock()

    def told(self, value: str) -> str:
        """Return how a value is told."""
        if value in self._values:
            return value
        with self._lock:  # two threads may bring the last value that there is room for
            if len(self._values) < self._most:
                self._values.add(value)
            return value if value in self._values else self._others


class RequestCounts:
    """Requests by route, in plain numbers: the hot path adds to them, and the metrics are made when they are
    scraped.

    Threads may add at the same time; one request in many millions may be lost to that.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._seconds: dict[tuple[str, str], float] = {}

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = (method, route, status)
        self._counts[key] = self._counts.get(key, 0) + 1
        place = (method, route)
        buckets = self._buckets.get(place)
        if buckets is None:
            buckets = self._buckets.setdefault(place, [0] * (len(SECONDS) + 1))
        buckets[bisect_left(SECONDS, seconds)] += 1
        self._seconds[place] = self._seconds.get(place, 0.0) + seconds

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics ``http_requests_total`` and ``http_request_duration_seconds``."""
        total, duration = _BY_NAME["http_requests_total"], _BY_NAME["http_request_duration_seconds"]
        counts = CounterMetricFamily(total.name, total.help, labels=total.labels)
        for (method, route, status), count in list(self._counts.items()):
            counts.add_metric((method, route, str(status)), count)
        yield counts
        times = HistogramMetricFamily(duration.name, duration.help, labels=duration.labels)
        bounds = [*map(str, SECONDS), "+Inf"]
        for place, buckets in list(self._buckets.items()):
            running = list(zip(bounds, accumulate(buckets), strict=True))
            times.add_metric(place, running, self._seconds.get(place, 0.0))
        yield times


class _Requests(Collector):
    def __init__(self, requests: RequestCounts) -> None:
        self._requests = requests

    def collect(self) -> Iterable[Metric]:
        return self._requests.collect()

    def describe(self) -> Iterable[Metric]:
        return self._requests.collect()


def _read_or_nan(name: str, read: Callable[[], float]) -> float:
    try:
        return read()
    except Exception:  # a database that is down, say: the other metrics are wanted now more than ever
        _log.exception("gauge_failed", metric=name)
        return math.nan


class _Asked:
    """A gauge whose value another process has; one that is slow is not asked again before it has answered."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self._value = math.nan

    def read(self) -> float:
        """Return what is told in time."""
        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return math.nan
            asking = threading.Thread(target=self._ask, name="atalaia-gauge", daemon=True)
            self._asking, self._value = asking, math.nan
            asking.start()
        asking.join(ASK_S)
        return self._value

    def _ask(self) -> None:
        self._value = self._read()


class _Scraped(Collector):
    def __init__(self, metric: MetricName, read: Callable[[], Iterable[tuple[tuple[str, ...], float]]]) -> None:
        self._metric = metric
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = CounterMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)
        for labels, value in self._read():
            family.add_metric(labels, value)
        yield family

    def describe(self) -> Iterable[Metric]:
        return [CounterMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)]
