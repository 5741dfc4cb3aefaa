"""Downloads that need nothing of what pages need, answered before it is prepared.

Sessions, languages, forms and what a problem is told in cost more than finding a public file and
beginning to send it. Whatever is not plainly to be sent goes on to ``FileView``, which knows all
cases; both answer with the same headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.urls.resolvers import RoutePattern

from hub.api.urls import FILE
from hub.http.delivery import send
from hub.http.throttles import StrangerThrottle
from registry.versions import files

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["DirectMiddleware"]

#: Headers that tell more of who asks, or who may: the view's business.
_PERSONAL = ("HTTP_AUTHORIZATION", "HTTP_COOKIE")


class DirectMiddleware:
    """Sends public files to strangers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self._pattern = RoutePattern(f"/api/v1/{FILE}", is_endpoint=True)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the file, or what the rest of the site says."""
        try:
            response = self._file(request)
        except Exception:  # noqa: BLE001 - the view meets it again, and knows how to tell it
            response = None
            if connection.errors_occurred and not connection.in_atomic_block:
                connection.close()
        return self.get_response(request) if response is None else response

    def _file(self, request: HttpRequest) -> HttpResponseBase | None:
        asked = self._asked(request)
        if not asked:
            return None
        request.user = AnonymousUser()
        served = files.plain(None, **asked) if StrangerThrottle().allows(request) else None
        return None if served is None else send(request, served)

    def _asked(self, request: HttpRequest) -> dict[str, str]:
        """Return the names in the address of a file that is asked for by who knows nobody."""
        if request.method not in {"GET", "HEAD"} or any(map(request.META.get, _PERSONAL)):
            return {}
        match = self._pattern.match(request.path_info)
        if match is None or "\0" in request.path_info:
            return {}
        request.get_host()  # raises for a host that is not this one
        return cast("dict[str, str]", match[2])
