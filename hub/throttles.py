"""Limits on floods, counted in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.throttling import AnonRateThrottle, BaseThrottle, ScopedRateThrottle

from hub.callers import address_of

if TYPE_CHECKING:
    from rest_framework.request import Request

__all__ = ["ScopeThrottle", "StrangerThrottle"]


class _Caller(BaseThrottle):
    """Tells callers apart by what they cannot invent."""

    def get_ident(self, request: Request) -> str:
        """Return the address that the nearest trusted hop saw."""
        return address_of(request)


class StrangerThrottle(_Caller, AnonRateThrottle):
    """Everything that nobody signed in asks for."""

    scope = "stranger"


class ScopeThrottle(_Caller, ScopedRateThrottle):
    """Views that cost more name their ``throttle_scope``."""
