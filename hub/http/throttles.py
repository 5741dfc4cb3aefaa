"""Rate limits, counted in the cache: a number of requests per clock minute.

There is one counter per client. REST framework would store the time of every request, which grows
with the limit and loses requests if two processes write at the same time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from django.conf import settings
from django.http import HttpRequest
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import AnonRateThrottle, ScopedRateThrottle, SimpleRateThrottle

from hub.http.callers import address_of

if TYPE_CHECKING:
    from rest_framework.views import APIView


class _CountingThrottle(SimpleRateThrottle):
    """Throttle that counts requests in fixed windows, by trusted address or user.

    Attributes:
        left: Number of requests that the client has left in this window; None without a limit.
        reset_s: Seconds until the next window.
    """

    left: int | None = None
    reset_s = 0
    num_requests: int | None
    duration: int | None

    def get_ident(self, request: Request) -> str:
        """Return the client's address as the nearest trusted proxy saw it."""
        return address_of(request)

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count a request, and return whether it is within the limit."""
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
        """Count a request of a view that is not part of REST framework."""
        return self.allow_request(cast("Request", request), cast("APIView", None))

    def cost_of(self, _request: Request, _view: APIView) -> int:
        """Return the number of requests that a request counts as."""
        return 1

    def wait(self) -> float:
        """Return the number of seconds until the next request is allowed."""
        return self.reset_s

    def _count(self, key: str, duration: int, cost: int) -> int:
        try:
            return self.cache.incr(key, cost)
        except ValueError:  # the first request of the window
            if self.cache.add(key, cost, duration):
                return cost
            return self.cache.incr(key, cost)


class AnonymousThrottle(AnonRateThrottle, _CountingThrottle):
    """Limits requests of anonymous clients to the API, also by Hugging Face and Civitai clients."""

    scope = "anonymous"

    def get_rate(self) -> str | None:
        """Return the configured limit."""
        return _a_minute(settings.LORARY.anonymous_per_minute)


class PageThrottle(AnonymousThrottle):
    """Limits pages for anonymous users."""

    scope = "pages"

    def get_rate(self) -> str | None:
        """Return the configured limit."""
        return _a_minute(settings.LORARY.pages_per_minute)


class _AddressThrottle(_CountingThrottle):
    """Counts by address even for users: reading the session would add ``Vary: Cookie``."""

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Return the cache key of the address."""
        del view
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class DrawnImageThrottle(_AddressThrottle):
    """Limits images that the web process draws for each request, at about 90 ms each."""

    scope = "drawn"

    def get_rate(self) -> str | None:
        """Return the configured limit."""
        return _a_minute(settings.LORARY.drawn_per_minute)


class CoverThrottle(_AddressThrottle):
    """Limits covers, which cost less than a page, and of which a list shows many at once."""

    scope = "covers"


class WriteThrottle(_CountingThrottle):
    """Limits a user's requests that may change data."""

    scope = "writes"

    def get_rate(self) -> str | None:
        """Return the configured limit; None if there is none."""
        return _a_minute(settings.LORARY.writes_per_minute)

    def get_cache_key(self, request: Request, view: APIView) -> str | None:
        """Return the user's key; None for reads (``POST`` searches too) and anonymous users."""
        is_read = request.method in SAFE_METHODS or getattr(view, "is_open", False)
        if is_read or not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class ScopeThrottle(ScopedRateThrottle, _CountingThrottle):
    """Limits expensive views, which set ``throttle_scope``.

    If the work grows with the body, a view also sets ``throttle_bytes``: that many bytes of the
    body count as one more request.
    """

    def cost_of(self, request: Request, view: APIView) -> int:
        """Return the number of requests that a request counts as."""
        step: int | None = getattr(view, "throttle_bytes", None)
        length = request.META.get("CONTENT_LENGTH") or "0"
        return 1 + int(length) // step if step and length.isdecimal() else 1


def _a_minute(limit: int) -> str | None:
    """Return a limit in REST framework's format; None for 0, which means no limit."""
    return f"{limit}/min" if limit else None
