"""Counts attempts, such as signing in; the caller gives the limit.

Attempts are counted in the database, so a limit holds for all processes and without a cache. Keys
are stored as keyed digests, so the rows hold no names or addresses.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.db.models import F
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from registry.errors import RateLimited
from registry.models import Attempt, User


def key_of(actor: User | AnonymousUser | None, address: str) -> str:
    """Return the key of a user, or of an address without an account."""
    return f"user {actor.pk}" if isinstance(actor, User) else address


def require(scope: str, key: str, *, limit: int, window_s: int, text: str = "") -> None:
    """Count one attempt.

    Args:
        key: Identifies who attempts it.
        window_s: Length of a window in seconds; it starts with the first attempt.
        text: What the error says before how long to wait.

    Raises:
        RateLimited: the limit of the window is reached; the attempt is not counted.
    """
    name, now = _name(scope, key), timezone.now()
    rows = Attempt.objects.filter(key=name)
    attempt = rows.first()
    if attempt is None or attempt.until <= now:
        rows.filter(until__lte=now).delete()
        first = {"count": 1, "until": now + timedelta(seconds=window_s)}
        attempt, is_first = Attempt.objects.get_or_create(key=name, defaults=first)
        if is_first:
            return
    is_over = attempt.count >= limit
    if is_over or not rows.filter(count__lt=limit).update(count=F("count") + 1):
        raise _limited(attempt.until, limit, text or _("Too many attempts."))


def _limited(until: datetime, limit: int, text: str) -> RateLimited:
    wait_s = max(1, math.ceil((until - timezone.now()).total_seconds()))
    minutes = math.ceil(wait_s / 60)
    wait = ngettext("Try again in %(n)d minute.", "Try again in %(n)d minutes.", minutes)
    return RateLimited(f"{text} {wait % {'n': minutes}}", retry_after=wait_s, limit=limit)


def clear(scope: str, key: str) -> None:
    """Reset the count."""
    Attempt.objects.filter(key=_name(scope, key)).delete()


def forget() -> None:
    """Delete the rows of windows that have ended."""
    Attempt.objects.filter(until__lte=timezone.now()).delete()


def _name(scope: str, key: str) -> str:
    return salted_hmac("registry.attempts", f"{scope}:{key}", algorithm="sha256").hexdigest()
