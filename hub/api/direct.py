"""Downloads that need nothing of what pages need, answered before it is prepared.

Sessions, languages, forms and what a problem is told in cost more than finding a public file and
beginning to send it. Whatever is not plainly to be sent goes on to ``FileView``, which knows all
cases; both answer with the same headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import DisallowedHost
from django.urls.resolvers import RoutePattern
from rest_framework.exceptions import APIException

from hub.api.files import send
from hub.api.urls import FILE
from hub.throttles import StrangerThrottle
from registry.errors import LoraryError
from registry.selectors import files

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
        return self._file(request) or self.get_response(request)

    def _file(self, request: HttpRequest) -> HttpResponseBase | None:
        found = self._asked(request)
        served = files.plain(None, **found) if found else None
        if served is None:
            return None
        request.user = AnonymousUser()
        if not StrangerThrottle().allows(request):
            return None
        try:
            return send(request, served)
        except (APIException, LoraryError):
            return None

    def _asked(self, request: HttpRequest) -> dict[str, str]:
        """Return the names in the address of a file that is asked for by who knows nobody."""
        if request.method not in {"GET", "HEAD"} or any(map(request.META.get, _PERSONAL)):
            return {}
        match = self._pattern.match(request.path_info)
        if match is None or "\0" in request.path_info:
            return {}
        try:
            request.get_host()
        except DisallowedHost:
            return {}
        return cast("dict[str, str]", match[2])
