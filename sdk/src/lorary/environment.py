"""Environment variables that switch something on or off."""

from __future__ import annotations

import os

_OFF = frozenset({"0", "false", "no", "off"})


def is_offline() -> bool:
    """Whether ``LORARY_OFFLINE`` forbids connections."""
    return _value("LORARY_OFFLINE") not in _OFF | {""}


def is_cache_off() -> bool:
    """Whether ``LORARY_CACHE`` forbids to keep files in the cache."""
    return _value("LORARY_CACHE") in _OFF


def _value(name: str) -> str:
    return os.environ.get(name, "").strip().lower()
