"""Traces of a running hub, as a collector of OpenTelemetry receives them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from tests.builders.adapters import DENOISERS, kohya
from tests.e2e.talk import Caller
from tests.running import ROOT, RunningHub

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

pytest.importorskip(
    "opentelemetry.instrumentation.django", reason="pip install -r requirements/otel.txt"
)

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: E402 - may be missing
    ExportTraceServiceRequest,
)


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Any] = []
        self.texts: list[str] = []

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


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def facts(span: Any) -> dict[str, Any]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_job_is_traced_as_a_child_of_the_request_that_enqueued_it(
    tmp_path: Path, collector: Collector
) -> None:
    hub = RunningHub(tmp_path / "hub", "--queues", "checks", "--workers", "1")
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


def test_missing_packages_are_named(tmp_path: Path) -> None:
    # Python finds this folder first: a package in which no instrumentation is.
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()
    environ = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    environ |= {"LORARY_DATA": str(tmp_path / "data"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "pip install -r requirements/otel.txt" in done.stderr
    assert "Traceback" not in done.stderr
