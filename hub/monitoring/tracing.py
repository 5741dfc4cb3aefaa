"""Traces by OpenTelemetry, where ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set.

The packages are optional, and only ``hub.monitoring.spans`` imports them.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
#: Where a request has the ``traceparent`` of its span (W3C Trace Context), for its jobs.
PARENT = "lorary.traceparent"


def is_wanted() -> bool:
    """Return whether traces are sent."""
    return bool(os.environ.get(ENDPOINT))


def require_packages() -> None:
    """Require what traces need.

    Raises:
        ImproperlyConfigured: an address is set, and the packages are missing.
    """
    if is_wanted() and not _is_installed("opentelemetry.instrumentation.django"):
        msg = (
            f"{ENDPOINT}: the packages of OpenTelemetry are not installed; run "
            "`pip install -r requirements/otel.txt`, or unset it"
        )
        raise ImproperlyConfigured(msg)


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def start() -> None:
    """Trace the requests, jobs and storage of this process, a web server or worker."""
    if is_wanted():
        require_packages()
        from hub.monitoring import spans  # noqa: PLC0415 - its packages are optional

        spans.start()
