"""What every view of this door shares: who asks, what is refused, how errors are written.

```
@door("GET")                 # HEAD comes with it
def model(request, number): …   # request.user is who asks, a stranger included
```

A token comes as ``Authorization: Bearer`` or, for programs that can send no header, as ``?token=``.
It stands in no address that we return. Errors are ``{"error": "…"}``; what is absent says “not
found”, a phrase that clients look for.
"""

from __future__ import annotations

from functools import update_wrapper
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, cast

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from hub.http.callers import authenticate
from hub.http.problems import problem_of
from hub.http.throttles import AnonymousThrottle, ScopeThrottle
from registry.accounts import permissions
from registry.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request
    from rest_framework.views import APIView

    from registry.models import User

P = ParamSpec("P")

NOT_FOUND = "not found"


class Refused(Exception):
    """A refusal that only this door knows: status and sentence."""

    def __init__(self, status: int, text: str) -> None:
        self.status, self.text = status, text
        super().__init__(text)


def door(
    *methods: str, scope: str = ""
) -> Callable[
    [Callable[Concatenate[HttpRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """Make a view of this door.

    Args:
        methods: That it answers; with ``GET`` also ``HEAD``. None of them changes anything.
        scope: Name of the limit that it counts to, besides that of strangers.
    """
    allowed = {*methods, "HEAD"} if "GET" in methods else {*methods}

    def decorate(
        view: Callable[Concatenate[HttpRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        def respond(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                if request.method not in allowed:
                    return _not_allowed(allowed)
                authenticate(request)
                if getattr(request.user, "access_token", None) is not None:
                    permissions.require_scope(cast("User", request.user), "read")
                _charge(request, scope)
                response = view(request, *args, **kwargs)
            except Exception as error:  # noqa: BLE001 - the edge of the process: any error is told
                response = refusal(error)
            return response

        update_wrapper(respond, view)
        return csrf_exempt(respond)

    return decorate


def answer(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:  # noqa: ANN401 - JSON
    """Return JSON."""
    body = orjson.dumps(data)
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)


def origin(request: HttpRequest) -> str:
    """Return the beginning of our addresses, without a slash at its end."""
    return request.build_absolute_uri("/").rstrip("/")


def refusal(error: Exception) -> HttpResponse:
    """Return any exception in this door's words; surprises are logged under an id."""
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
    """Count the request.

    Raises:
        RateLimited: there were too many.
    """
    asked, view = cast("Request", request), cast("APIView", SimpleNamespace(throttle_scope=scope))
    for throttle in (AnonymousThrottle(), ScopeThrottle()):
        if not throttle.allow_request(asked, view):
            text = _("Wait a moment, then try again.")
            raise RateLimited(text, retry_after=throttle.reset_s)
