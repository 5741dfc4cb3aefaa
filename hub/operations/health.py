"""Health of a hub, for monitors: ``/healthz/live``, and ``/healthz/ready`` or ``/healthz``.

They answer whatever the ``Host`` is: probes ask for the address of a machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from hub.operations.probes import PARTS, Health

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["HealthMiddleware", "live", "ready"]

_HEALTH = Health(PARTS)


@require_safe
@never_cache
def live(_request: HttpRequest) -> JsonResponse:
    """Answer 200. ``hub.webserver.gunicorn_worker`` does before a request comes here."""
    return JsonResponse({"status": "ok"})


@require_safe
@never_cache
def ready(_request: HttpRequest) -> JsonResponse:
    """Answer 200 when every part is fit for work, else 503; the log has the reasons."""
    found = _HEALTH.look()
    parts = {name: "up" if is_fit else "down" for name, is_fit in found.items()}
    is_ready = all(found.values())
    status = "ok" if is_ready else "unavailable"
    return JsonResponse({"status": status, **parts}, status=200 if is_ready else 503)


VIEWS: dict[str, Callable[[HttpRequest], HttpResponseBase]] = {
    "/healthz": ready,
    "/healthz/live": live,
    "/healthz/ready": ready,
}


class HealthMiddleware:
    """Answers what monitors ask before anything looks at the host, a session or the database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the health, or what the rest of the site says."""
        view = VIEWS.get(request.path_info)
        return self.get_response(request) if view is None else view(request)
