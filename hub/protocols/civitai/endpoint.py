"""The decorator of all Civitai views: authentication, rate limits, errors.

```
@endpoint("GET")                 # HEAD comes with it
def model(request, number): …   # request.user is the user, possibly anonymous
```

A token is sent as ``Authorization: Bearer`` or, by programs that cannot send headers, as
``?token=``. Returned URLs never contain it. Errors are ``{"error": "…"}``; a 404 contains “not
found”, which clients search for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import update_wrapper
from types import SimpleNamespace
from typing import Any, cast

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from rest_framework.request import Request
from rest_framework.views import APIView

from hub.http.callers import P, View, authenticate
from hub.http.problems import problem_of
from hub.http.throttles import AnonymousThrottle, ScopeThrottle
from registry.accounts import permissions
from registry.errors import RateLimited
from registry.models import User

NOT_FOUND = "not found"


class Refused(Exception):
    """An error of this API only, with status and message."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def endpoint(*methods: str, scope: str = "") -> Callable[[View[P]], View[P]]:
    """Return the decorator of a view.

    Args:
        methods: Methods that it answers; ``GET`` includes ``HEAD``. None of them changes anything.
        scope: Name of its rate limit, besides that of anonymous clients.
    """
    allowed = {*methods, "HEAD"} if "GET" in methods else {*methods}

    def decorate(view: View[P]) -> View[P]:
        def respond(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                if request.method not in allowed:
                    return _not_allowed(allowed)
                authenticate(request)
                if getattr(request.user, "access_token", None) is not None:
                    permissions.require_scope(cast("User", request.user), "read")
                _charge(request, scope)
                response = view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - outermost handler: any error becomes a response
                response = refusal(error)
            return response

        update_wrapper(respond, view)
        return csrf_exempt(respond)

    return decorate


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:  # noqa: ANN401 - JSON
    """Return a JSON response."""
    body = orjson.dumps(data)
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)


def origin(request: HttpRequest) -> str:
    """Return the origin of this hub's URLs, without a trailing slash."""
    return request.build_absolute_uri("/").rstrip("/")


def refusal(error: Exception) -> HttpResponse:
    """Return the response for any exception; unexpected ones are logged under an id."""
    if isinstance(error, Refused):
        return answer(_body(error.status, error.text), error.status)
    problem = problem_of(error)
    return answer(_body(problem.status, problem.detail), problem.status, problem.headers)


def _body(status: int, text: str) -> dict[str, str]:
    if status == 404 and NOT_FOUND not in text.casefold():
        text = f"Model not found: {text}"
    return {"error": text} | ({"message": text} if status in {401, 403, 410} else {})


def _not_allowed(allowed: set[str]) -> HttpResponse:
    text = _("This address does not support this method")
    return answer({"error": text}, 405, {"Allow": ", ".join(sorted(allowed))})


def _charge(request: HttpRequest, scope: str) -> None:
    """Count the request for the rate limits."""
    drf_request, view = (
        cast("Request", request),
        cast("APIView", SimpleNamespace(throttle_scope=scope)),
    )
    for throttle in (AnonymousThrottle(), ScopeThrottle()):
        if not throttle.allow_request(drf_request, view):
            text = _("Wait a moment, then try again.")
            raise RateLimited(text, retry_after=throttle.reset_s)
