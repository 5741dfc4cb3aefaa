"""Requests for comparisons of versions.

```
(nothing) ──▶ queued ──▶ ready, refused, failed      failed ones are computed again on request,
                 ▲          │                        ten minutes later; refused ones, a day later
                 └──────────┴──▶ removed after LORARY_DERIVED_DAYS without use, or with a version
```
"""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import attempts
from registry.comparisons import selectors
from registry.comparisons.selectors import Compared
from registry.derived import on_demand
from registry.errors import RateLimited, StateConflict, TooLarge
from registry.models import DerivedState, User, Version, VersionComparison, VersionState

#: A comparison without a result is computed again after this, so that waiting clients see the
#: failure. What is refused may be possible after an update of the hub.
AGAIN = {DerivedState.FAILED: timedelta(minutes=10), DerivedState.REFUSED: timedelta(days=1)}


def request(
    *, actor: User | AnonymousUser | None, first: Version, second: Version, address: str
) -> Compared:
    """Return the comparison of two versions; queue the work unless it is there or is impossible.

    Everybody who may download the files of both may do this.

    Args:
        first: A version that the actor sees; so is ``second``.
        address: Network address of the client, by which requests without an account are counted.

    Raises:
        Forbidden, Gone: as ``selectors.require_readable``.
        TooLarge, RateLimited, StateConflict: a limit of the hub.
    """
    found = selectors.find(actor, first, second)
    if found.obstacle is not None:
        return found
    if found.row is not None and not _is_to_repeat(found.row):
        if found.is_open:
            on_demand.enqueue_again(found.row, first.adapter.owner)
        elif found.is_ready:  # ``used_at`` of others tells when they may be repeated
            on_demand.used(found.row)
        return found
    _require_room(actor, (first, second), address)
    now = timezone.now()
    with transaction.atomic():
        row, is_new = VersionComparison.objects.get_or_create(
            **selectors.ordered(first, second), defaults={"used_at": now}
        )
        if not is_new:
            ended = VersionComparison.objects.filter(pk=row.pk, state__in=[*AGAIN])
            ended.update(state=DerivedState.QUEUED, reason="", refusal="", used_at=now)
            row.refresh_from_db()
        if row.state == DerivedState.QUEUED:
            on_demand.enqueue(row, first.adapter.owner)
        events.record(
            actor=actor,
            verb="comparison_requested",
            about=first.adapter,
            subject=first.name,
            other_version=second.pk,  # its name may be private to its owner
        )
    return Compared(first, second, row)


def _is_to_repeat(row: VersionComparison) -> bool:
    pause = AGAIN.get(DerivedState(row.state))
    return pause is not None and row.used_at < timezone.now() - pause


def _require_room(
    actor: User | AnonymousUser | None, versions: tuple[Version, Version], address: str
) -> None:
    limits = settings.LORARY
    if not limits.derived_per_hour:
        text = _("This hub does not compare weights. Use “lorary compare” on your machine.")
        raise StateConflict(text, state="off")
    for version in versions:
        size = version.primary_file.size_bytes if version.primary_file is not None else 0
        if size > limits.derived_bytes:
            text = _(
                "The file of %(name)s has %(size)d bytes; this hub compares files of at most "
                "%(limit)d. Use “lorary compare” on your machine."
            )
            facts = {"name": version.adapter.full_name, "size": size, "limit": limits.derived_bytes}
            raise TooLarge(text % facts, limit=limits.derived_bytes)
    waiting = VersionComparison.open_jobs().count()
    if waiting >= on_demand.MOST_QUEUED:
        text = _("%(n)d other comparisons are being computed. Try again in a few minutes.")
        raise RateLimited(text % {"n": waiting}, retry_after=60, limit=on_demand.MOST_QUEUED)
    key, limit = attempts.key_of(actor, address), limits.derived_per_hour
    text = _("You requested %(limit)d new comparisons within an hour.") % {"limit": limit}
    attempts.require("compare", key, limit=limit, window_s=on_demand.HOUR_S, text=text)


def sweep(*, is_dry: bool) -> tuple[int, int]:
    """Remove comparisons that nobody used, or with a withdrawn version; no files."""
    oldest = timezone.now() - timedelta(days=settings.LORARY.derived_days)
    withdrawn = Q(first__state=VersionState.WITHDRAWN) | Q(second__state=VersionState.WITHDRAWN)
    gone = VersionComparison.objects.filter(withdrawn | Q(used_at__lt=oldest))
    if not is_dry:
        gone.delete()
    return 0, 0
