"""A collector of OpenTelemetry on the loopback, and a hub that sends it traces."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller

if TYPE_CHECKING:
    from tests.running import RunningHub

pytest.importorskip(
    "opentelemetry.instrumentation.django", reason="pip install -r requirements/otel.txt"
)

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []
        self.texts: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def span(self, name: str) -> Any:
        """Return the first span whose name begins so, once it has arrived."""
        until = time.monotonic() + 30
        while not (found := [one for one in list(self.spans) if one.name.startswith(name)]):
            assert time.monotonic() < until, sorted({one.name for one in self.spans})
            time.sleep(0.1)
        return found[0]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = ExportTraceServiceRequest.FromString(body)
        for resource in message.resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.server.texts.append(str(message))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def facts(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def upload_traced(hub: RunningHub, collector: Collector) -> None:
    """Send a file to a hub, and compare the spans of the request and of its job."""
    hub.environ |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "200",
    }
    with hub:
        token = hub.manage("token", "--user", "ada", "--create").strip()
        ada = Caller(hub.port, token)
        lora = kohya(DENOISERS["sd1", "diffusers"], rank=1)
        upload = ada.announce("a.safetensors", len(lora)).document["id"]
        done = ada.call("PUT", f"/api/v1/uploads/{upload}/content?token={token}", lora)
        assert ada.final_state(upload) == "accepted"
        job, request = collector.span("job check_upload"), collector.span("PUT")
    assert (job.trace_id, job.parent_span_id) == (request.trace_id, request.span_id)
    request_id = done.headers["x-request-id"]
    assert facts(job)["lorary.request_id"] == facts(request)["lorary.request_id"] == request_id
    assert token not in "".join(collector.texts)
