"""What caches may keep: nothing, unless the view or this list says otherwise.

Views that send public files and pictures set ``Cache-Control`` themselves. Everything else may be
about a private, unlisted or gated adapter or about who is signed in, so no cache stores it: neither
a proxy nor the browser, whose Back button would show it after a sign-out. A few pages show a
stranger only what everybody may find; the browser may keep those, to go back to them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

__all__ = ["FOR_AN_HOUR", "NEVER", "CacheMiddleware"]

#: Nobody stores it.
NEVER = "private, no-store"
#: The stranger's own browser keeps it and asks each time.
CHECKED = "private, no-cache"
#: Everybody stores it, and asks again after an hour: what is withdrawn or made private is then
#: gone from caches, too. They do not serve it when they cannot ask.
FOR_AN_HOUR = "public, max-age=3600, must-revalidate"

#: Names of the pages on which a stranger sees nothing but what is public.
PUBLIC_PAGES = frozenset({"browse", "help", "home", "profile", "use"})


class CacheMiddleware:
    """Sets ``Cache-Control`` where a view did not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Return the answer with a word on who may keep it."""
        response = self.get_response(request)
        match = request.resolver_match
        is_public = match is not None and match.url_name in PUBLIC_PAGES and _is_stranger(request)
        response.headers.setdefault("Cache-Control", CHECKED if is_public else NEVER)
        return response


def _is_stranger(request: HttpRequest) -> bool:
    """Whether a request comes without anything that could say who asks."""
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return not has_session and "Authorization" not in request.headers
