"""The outermost middleware: the id of a request, its line in the log, its metrics."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from hub.http.callers import address_of, client_address
from hub.monitoring import metrics, tracing
from hub.monitoring.endpoints import VIEWS
from hub.monitoring.log_formats import safe_path
from registry import log_context
from registry.log_context import LogContext
from registry.models import Source

HEADER = "X-Request-Id"
#: Route of requests that match no URL pattern.
UNMATCHED = "unmatched"
#: Statuses without a body.
_EMPTY = frozenset({204, 304})

_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")

log = logging.getLogger("lorary.access")


class AccessMiddleware:
    """Gives a request its id, and logs and counts it when its last byte was sent."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the response with ``X-Request-Id``."""
        began, request_id = time.perf_counter(), _id_of(request)
        log_context.enter(
            LogContext(
                request_id,
                trace_parent=request.META.get(tracing.PARENT, ""),
                source=Source.REQUEST,
                address=address_of(request),
            )
        )
        metrics.IN_PROGRESS.inc()
        response = self.get_response(request)
        response.headers[HEADER] = request_id
        # Not the response itself, which would then refer to itself and need the collector.
        end = partial(
            _end, request, response.status_code, _length(request, response),
            began, time.perf_counter() - began,
        )  # fmt: skip
        response._resource_closers.append(end)  # type: ignore[attr-defined]  # noqa: SLF001 - Django's own hook for close
        return response


def _id_of(request: HttpRequest) -> str:
    """Return the id that a trusted proxy gave the request, or a new one."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    is_kept = given and settings.LORARY.trust_proxy and _SANE.match(given)
    return str(given) if is_kept else secrets.token_hex(8)


def _length(request: HttpRequest, response: HttpResponseBase) -> int:
    """Return the number of bytes that this process sends; nginx or a bucket sends others."""
    if request.method == "HEAD" or response.status_code in _EMPTY:
        return 0
    if not response.streaming:
        return len(response.content)  # type: ignore[attr-defined]  # every response that is not streamed has it
    return int(response.headers.get("Content-Length", "0"))


def _end(request: HttpRequest, status: int, size: int, began: float, handled_s: float) -> None:
    """Count and log a request whose response was sent, or whose client has gone."""
    route = _route_of(request)
    metrics.IN_PROGRESS.dec()
    metrics.count_request(route, str(request.method), status, handled_s, size)
    is_check = request.path_info in VIEWS
    level = logging.WARNING if status >= 500 else logging.DEBUG if is_check else logging.INFO
    if log.isEnabledFor(level):
        facts = {
            "method": request.method,
            "path": safe_path(request),
            "route": route,
            "status": status,
            "bytes": size,
            "seconds": round(time.perf_counter() - began, 4),
            "user": _user_of(request),
            "address": client_address(request),
        }
        if sys.exc_info()[0] is not None:  # servers close in a ``finally`` (PEP 3333)
            facts["is_aborted"] = True
        log.log(level, "request", extra={"facts": facts})
    log_context.leave()


def _route_of(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is not None:
        return match.view_name or match.route
    if request.path_info in VIEWS:
        return request.path_info
    is_static = request.path_info.startswith(f"/{settings.STATIC_URL.strip('/')}/")
    return "static" if is_static else UNMATCHED


def _user_of(request: HttpRequest) -> str:
    """Return the name of the user if the request has looked it up; "" otherwise."""
    user = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        user = request.__dict__.get("_cached_user")
    return str(user.get_username()) if user is not None and user.is_authenticated else ""
