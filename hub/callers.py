"""Who is asking, told by what they cannot invent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from django.http import HttpRequest
    from rest_framework.request import Request

__all__ = ["address_of"]


def address_of(request: HttpRequest | Request) -> str:
    """Return the address that the nearest trusted hop saw."""
    if settings.LORARY.trust_proxy:
        forwarded = request.headers.get("X-Forwarded-For", "")
        if nearest := forwarded.rpartition(",")[2].strip():
            return nearest
    return str(request.META.get("REMOTE_ADDR", ""))
