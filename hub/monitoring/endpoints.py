"""``/metrics`` in Prometheus' format, and the middleware that answers monitors."""

from __future__ import annotations

import os
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from hub.http.callers import is_monitor
from hub.monitoring.hub_figures import HubFigures
from hub.monitoring.multiprocess import VARIABLE
from hub.operations.health import live, ready


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Return the metrics of this hub's web processes and of the hub.

    Without ``LORARY_METRICS_TOKEN``, only operators' tokens find the page.
    """
    if not is_monitor(request):
        is_shown = bool(settings.LORARY.metrics_token)
        headers = {"WWW-Authenticate": 'Bearer realm="lorary"'} if is_shown else {}
        text = _("Send LORARY_METRICS_TOKEN in the header “Authorization: Bearer …”.")
        return HttpResponse(
            f"{text}\n" if is_shown else "",
            status=401 if is_shown else 404,
            headers=headers,
            content_type="text/plain; charset=utf-8",
        )
    registry = CollectorRegistry()
    if VARIABLE in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # untyped there
    else:  # another server than that of `manage.py up`: the counts of this process
        registry.register(REGISTRY)
    registry.register(HubFigures())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


VIEWS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/healthz": ready,
    "/healthz/live": live,
    "/healthz/ready": ready,
    "/metrics": metrics,
}


class MonitorMiddleware:
    """Answers monitors before other middleware checks the host or loads the session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer to a monitor, or the response of the rest of the site."""
        view = VIEWS.get(request.path_info)
        return self.get_response(request) if view is None else view(request)
