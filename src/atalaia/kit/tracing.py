"""Traces by OpenTelemetry: what happened to one request, from its door through the queue to the model.

A request is traced when its caller traces it (W3C ``traceparent``), else one in many. Whether it is, is known when
its headers are, so that all others pay for one look; inside a request `span` does nothing unless it is traced.
"""

from collections.abc import Generator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    get_tracer,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from atalaia import __version__
from atalaia.core.ids import new_id

_PARENT = "traceparent"
_PARENT_CHARACTERS = 55
_SAMPLED = b"13579bdf"
"""Last characters of a `traceparent` whose lowest flag, sampled, is set."""
_NOTHING: AbstractContextManager[None] = nullcontext()
_TRACER: ContextVar[Tracer | None] = ContextVar("atalaia_tracer", default=None)
_propagator = TraceContextTextMapPropagator()


class TracingSettings(BaseModel):
    """Settings of traces."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    otlp_endpoint: str | None = Field(
        default=None,
        description="Where traces go, over OTLP by HTTP, e.g. `http://collector:4318/v1/traces`; unset, nowhere.",
    )
    otlp_headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Headers for the collector, a token for example."
    )
    every: int = Field(
        default=1000, ge=0, description="One request in so many is traced when its caller says nothing; 0 is none."
    )
    timeout_s: float = Field(default=3.0, gt=0, description="How long a collector may take.")


class Tracing:
    """Makes the spans of one service object.

    Parameters
    ----------
    service
        What the spans say who made them.
    """

    def __init__(self, settings: TracingSettings, *, service: str = "atalaia") -> None:
        self._every = settings.every
        self._asked = 0
        self._provider: Any = None
        self._tracer: Tracer = get_tracer(__name__)  # does nothing
        if settings.otlp_endpoint is not None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor

            told = {"service.name": service, "service.version": __version__, "service.instance.id": new_id("proc")}
            self._provider = TracerProvider(resource=Resource.create(told), shutdown_on_exit=False)
            headers = {name: value.get_secret_value() for name, value in settings.otlp_headers.items()}
            exporter = OTLPSpanExporter(settings.otlp_endpoint, headers=headers, timeout=settings.timeout_s)
            batches = BatchSpanProcessor(
                exporter, schedule_delay_millis=1000, export_timeout_millis=1000 * settings.timeout_s
            )
            self._provider.add_span_processor(batches)
            self._tracer = self._provider.get_tracer("atalaia", __version__)

    def wants(self, parent: bytes) -> bool:
        """Say whether to trace a request with this ``traceparent``, which is empty when it came without one."""
        if self._provider is None:
            return False
        if parent:
            return parent[-1:] in _SAMPLED
        self._asked += 1  # threads may count one twice: it need not be exact
        return self._every > 0 and self._asked % self._every == 0

    def request(self, method: str, route: str, parent: bytes) -> AbstractContextManager[Span]:
        """Open the span of a request."""
        attributes = {"http.request.method": method, "http.route": route}
        return self._open(f"{method} {route}", SpanKind.SERVER, parent.decode("latin-1"), attributes)

    def job(self, kind: str, parent: str | None, attributes: Mapping[str, Any]) -> AbstractContextManager[Any]:
        """Open the span of an attempt at a job, if whoever enqueued it was traced."""
        if self._provider is None or not parent:
            return _NOTHING
        named = {f"atalaia.job.{name}": value for name, value in attributes.items()}
        return self._open(f"job {kind}", SpanKind.CONSUMER, parent, named)

    def close(self) -> None:
        """Send what was not sent yet, as far as the collector takes it in time."""
        if self._provider is not None:
            self._provider.shutdown()

    @contextmanager
    def _open(self, name: str, kind: SpanKind, parent: str, attributes: Mapping[str, Any]) -> Generator[Span]:
        context = _propagator.extract({_PARENT: parent[:_PARENT_CHARACTERS]}, Context())
        token = _TRACER.set(self._tracer)
        try:
            with self._tracer.start_as_current_span(name, context, kind, dict(attributes)) as opened:
                yield opened
        finally:
            _TRACER.reset(token)


def span(name: str, **attributes: str | int | float) -> AbstractContextManager[Any]:
    """Open a span inside the one that is open; without one nothing happens."""
    tracer = _TRACER.get()
    return _NOTHING if tracer is None else tracer.start_as_current_span(name, attributes=attributes)


def is_traced() -> bool:
    """Say whether what happens now is traced."""
    return _TRACER.get() is not None


def trace_parent() -> str | None:
    """Return the ``traceparent`` of the span that is open, for whoever goes on with the work elsewhere."""
    if not is_traced():
        return None
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(_PARENT)


def traced_as() -> dict[str, str]:
    """Return the ids of trace and span, for a line of the log; nothing unless it is traced."""
    if not is_traced():
        return {}
    context = get_current_span().get_span_context()
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def with_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the ids of trace and span to a line of the log (a processor of structlog)."""
    event.update(traced_as())
    return event
