"""The try-outs of a browser: no list on the hub has those of visitors without an account.

A visitor's browser keeps their keys in a signed cookie.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from previews.tryouts import selectors

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from previews.models import Tryout

#: Cookie with the keys of a visitor's try-outs, and their maximum number.
COOKIE, HISTORY = "tries", 12


def history(request: HttpRequest, *, new: Tryout | None = None) -> dict[str, Any]:
    """Return the context of the user's try-outs of packs, or of those of the visitor's browser.

    Args:
        request: Of the viewer.
        new: One that this request has begun.
    """
    if request.user.is_authenticated:
        rows = selectors.listing(request.user).exclude(pack_version=None)
    elif keys := [*keys_of(request), *([new.key] if new is not None else [])]:
        rows = selectors.visitors(keys)
    else:
        return {"history": []}
    return {"history": [selectors.shown(row, has_place=False) for row in rows[:HISTORY]]}


def keys_of(request: HttpRequest) -> list[UUID]:
    """Return the keys in the visitor's cookie, the newest first."""
    text = request.get_signed_cookie(COOKIE, default="", max_age=_age()) or ""
    return [UUID(hex=one) for one in text.split(".") if one]


def remember(request: HttpRequest, response: HttpResponse, key: UUID) -> None:
    """Add a key to the visitor's cookie."""
    keys = [key, *(one for one in keys_of(request) if one != key)][:HISTORY]
    response.set_signed_cookie(
        COOKIE,
        ".".join(one.hex for one in keys),
        max_age=_age(),
        httponly=True,
        samesite="Lax",
        secure=settings.SESSION_COOKIE_SECURE,
    )


def _age() -> timedelta:
    return timedelta(days=settings.LORARY.tryout_days)
