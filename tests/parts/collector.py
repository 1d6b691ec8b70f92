"""An OpenTelemetry collector, and what receives the traces that it passes on."""

import gzip
import socket
import threading
from collections.abc import Collection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.journeys.servers import free_port, until
from tests.parts.processes import ENVIRONMENT, Part


class Receiver:
    """Keeps the spans that it is sent over OTLP by HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        spans.extend(scope.spans)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def trace(self, trace_id: str) -> dict[str, Span]:
        """Return the spans of one trace by name."""
        return {span.name: span for span in list(self.spans) if span.trace_id.hex() == trace_id}

    def wait(self, trace_id: str, names: Collection[str]) -> dict[str, Span]:
        """Return the spans of one trace once those of some names have come."""
        until(lambda: set(names) <= self.trace(trace_id).keys(), f"the spans {', '.join(names)}")
        return self.trace(trace_id)

    def parent(self, span: Span) -> str:
        """Return the name of the span that one is inside of."""
        found = [one.name for one in list(self.spans) if one.span_id == span.parent_span_id]
        return found[0] if found else ""


class Collector(Part):
    """Rotel, between the services and a receiver."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}/v1/traces"
        (agent,) = ENVIRONMENT.parent.glob("lib/python*/site-packages/rotel/rotel-agent")
        http, grpc = f"127.0.0.1:{self.port}", f"127.0.0.1:{free_port()}"
        listen = ["--otlp-http-endpoint", http, "--otlp-grpc-endpoint", grpc]
        pass_on = ["--exporter", "otlp", "--otlp-exporter-protocol", "http", "--batch-timeout", "200ms"]
        to = ["--otlp-exporter-endpoint", receiver.endpoint.removesuffix("/v1/traces")]
        super().__init__(folder, [agent, "start", *listen, *pass_on, *to], self.answers)

    def answers(self) -> bool:
        """Say whether it takes connections."""
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True
