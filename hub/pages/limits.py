"""Limits on what strangers may try, counted in the cache."""

from __future__ import annotations

from django.core.cache import cache
from django.utils.translation import ngettext

from registry.errors import RateLimited

__all__ = ["clear", "require"]


def require(scope: str, key: str, *, limit: int, window_s: int) -> None:
    """Count one try.

    Raises:
        RateLimited: it is more than ``limit`` in the window.
    """
    name = _name(scope, key)
    cache.add(name, 0, window_s)
    try:
        tries = cache.incr(name)
    except ValueError:  # it ran out between the two calls
        cache.set(name, 1, window_s)
        tries = 1
    if tries > limit:
        minutes = max(1, window_s // 60)
        text = ngettext(
            "Too many tries. Wait a minute, then try again.",
            "Too many tries. Wait %(n)d minutes, then try again.",
            minutes,
        )
        raise RateLimited(text % {"n": minutes}, retry_after=window_s)


def clear(scope: str, key: str) -> None:
    """Forget the tries."""
    cache.delete(_name(scope, key))


def _name(scope: str, key: str) -> str:
    return f"limit:{scope}:{key.encode().hex()[:180]}"
