"""What is traced, by packages that only hubs with traces have (``hub.monitoring.tracing``).

```
request ──▶ job (its row has the request's traceparent) ──▶ statements, requests to a bucket
```
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from hub.monitoring.log_formats import safe_path
from hub.monitoring.tracing import PARENT
from registry import hooks, log_context

if TYPE_CHECKING:
    from registry.models import Job

_PROPAGATOR = TraceContextTextMapPropagator()
#: Attributes with the path of a request, and those with its query, by their old and new names.
_PATHS = ("http.target", "http.url", "url.path", "url.full")
_QUERIES = ("url.query",)


def start() -> None:
    """Send spans to ``OTEL_EXPORTER_OTLP_ENDPOINT``; OpenTelemetry reads other ``OTEL_*``."""
    name = os.environ.get("OTEL_SERVICE_NAME", "lorary")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(
        request_hook=_on_request, response_hook=_on_response, excluded_urls="healthz,metrics"
    )
    PsycopgInstrumentor().instrument()
    BotocoreInstrumentor().instrument()  # type: ignore[no-untyped-call]  # untyped there
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]  # untyped there
    hooks.job_spans.append(span_of)


def _on_request(span: Span, request: HttpRequest) -> None:
    """Tell the request its span, for the jobs that it enqueues."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
    request.META[PARENT] = carrier.get("traceparent", "")


def _on_response(span: Span, request: HttpRequest, response: HttpResponseBase) -> None:
    """Add the request's id, and replace addresses, which may be permissions."""
    span.set_attribute("lorary.request_id", response.headers.get("X-Request-Id", ""))
    known = getattr(span, "attributes", None) or {}
    for name in (*_PATHS, *_QUERIES):
        if name in known:
            span.set_attribute(name, safe_path(request) if name in _PATHS else "")


@contextmanager
def span_of(job: Job) -> Iterator[None]:
    """Trace a job as a child of the request that enqueued it."""
    parent = _PROPAGATOR.extract({"traceparent": log_context.current().trace_parent})
    facts: dict[str, str | int] = {
        "lorary.job": job.pk,
        "lorary.queue": job.queue,
        "lorary.attempt": job.attempt,
        "lorary.request_id": job.request_id,
    }
    tracer = trace.get_tracer("lorary")
    with tracer.start_as_current_span(
        f"job {job.task}", context=parent, kind=SpanKind.CONSUMER, attributes=facts
    ):
        yield
