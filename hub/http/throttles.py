"""Limits on floods, counted in the cache: so many requests in each minute of the clock.

One number for a caller, where REST framework keeps the time of every request: that grows with the
limit, and two processes that read and write it at once lose some.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS
from rest_framework.throttling import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle

from hub.http.callers import address_of

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request
    from rest_framework.views import APIView


class _Counted(SimpleRateThrottle):
    """Tells callers apart by what they cannot invent.

    Attributes:
        left: Requests that the caller has left in this window; None where nobody counts.
        reset_s: Seconds until the next window.
    """

    left: int | None = None
    reset_s = 0
    num_requests: int | None
    duration: int | None

    def get_ident(self, request: Request) -> str:
        """Return the address that the nearest trusted hop saw."""
        return address_of(request)

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request, and return whether it is one too many."""
        key = None if self.rate is None else self.get_cache_key(request, view)
        if key is None or self.num_requests is None or self.duration is None:
            return True
        now = self.timer()
        window = int(now // self.duration)
        cost = self.cost_of(request, view)
        count = self._count(f"{key}:{window}", self.duration, cost)
        self.left = max(0, self.num_requests - count)
        self.reset_s = max(1, math.ceil((window + 1) * self.duration - now))
        return count <= self.num_requests

    def allows(self, request: HttpRequest) -> bool:
        """Count a request of a view that is none of REST framework."""
        return self.allow_request(cast("Request", request), cast("APIView", None))

    def cost_of(self, _request: Request, _view: APIView) -> int:
        """Return as how many requests one counts."""
        return 1

    def wait(self) -> float:
        """Return in how many seconds the next request may come."""
        return self.reset_s

    def _count(self, key: str, duration: int, cost: int) -> int:
        try:
            return self.cache.incr(key, cost)
        except ValueError:  # the first one of the window
            if self.cache.add(key, cost, duration):
                return cost
            return self.cache.incr(key, cost)


class StrangerThrottle(AnonRateThrottle, _Counted):
    """Everything that nobody signed in asks for."""

    scope = "stranger"


class PageThrottle(StrangerThrottle):
    """Pages for whoever is not signed in."""

    scope = "pages"

    def get_rate(self) -> str | None:
        """Return the owner's limit."""
        return _a_minute(settings.LORARY.pages_per_minute)


class _AddressThrottle(_Counted):
    """Counts everyone at an address: asking for the session would tell caches to vary by it."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return the key of the address."""
        del view
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class DrawnThrottle(_AddressThrottle):
    """Pictures that the web process draws for each request, at about 90 ms each."""

    scope = "drawn"

    def get_rate(self) -> str | None:
        """Return the owner's limit."""
        return _a_minute(settings.LORARY.drawn_per_minute)


class CoverThrottle(_AddressThrottle):
    """Covers, which cost less than a page, and of which a list shows many at once."""

    scope = "covers"


class WriteThrottle(_Counted):
    """Requests of one user that may change something."""

    scope = "writes"

    def get_rate(self) -> str | None:
        """Return the setting; None where there is no limit."""
        return _a_minute(settings.LORARY.writes_per_minute)

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return the user's key; None for questions, also those with a body, and for strangers."""
        is_question = request.method in SAFE_METHODS or getattr(view, "is_open", False)
        if is_question or not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class ScopeThrottle(ScopedRateThrottle, _Counted):
    """Views that cost more name their ``throttle_scope``.

    Where the work grows with the body, a view also names its ``throttle_bytes``: a body counts as
    one request more for each so many.
    """

    def cost_of(self, request: Request, view: APIView) -> int:
        """Return as how many requests one counts."""
        step: int | None = getattr(view, "throttle_bytes", None)
        length = request.META.get("CONTENT_LENGTH") or "0"
        return 1 + int(length) // step if step and length.isdecimal() else 1


def _a_minute(limit: int) -> str | None:
    """Return a limit as REST framework writes it; None where 0 says that there is none."""
    return f"{limit}/min" if limit else None
