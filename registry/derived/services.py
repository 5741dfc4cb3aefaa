"""Requests for derived files.

```
(nothing) ──▶ queued ──▶ ready, refused, failed      failed files are made again on request
                 ▲          │
                 └──────────┴──▶ removed after LORARY_DERIVED_DAYS without use, or with the source
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Count, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from registry import events
from registry.accounts import attempts
from registry.derived import expiry, on_demand, selectors
from registry.derived.selectors import Derived, Source
from registry.errors import RateLimited, StateConflict, TooLarge
from registry.models import DerivedFile, DerivedState, User

if TYPE_CHECKING:
    from registry.derived.options import Wanted


def request(
    *, actor: User | AnonymousUser | None, source: Source, wanted: Wanted, address: str
) -> Derived:
    """Return a derived file; queue the work for it unless it is there, or is not needed.

    Everybody who may download the source may do this. The same request again returns the same file.

    Args:
        source: From ``selectors.source_of``, which checks the permission.
        address: Network address of the client, by which requests without an account are counted.

    Raises:
        Invalid: such a file cannot be made.
        TooLarge, RateLimited, StateConflict: a limit of the hub.
    """
    found = selectors.find(source, wanted)
    if found is not None and found.state != DerivedState.FAILED:
        if found.row is not None and found.is_ready:
            on_demand.used(found.row)
        elif found.row is not None and found.is_open:
            on_demand.enqueue_again(found.row, source.version.adapter.owner)
        return found
    _require_room(actor, source, address, None if found is None else found.row)
    key = source.key_of(source.options.reduced(wanted))
    with transaction.atomic():
        row, is_new = DerivedFile.objects.get_or_create(**key, defaults={"used_at": timezone.now()})
        if not is_new:
            again: dict[str, object] = dict.fromkeys(("reason", "refusal", "config"), "")
            again |= {"state": DerivedState.QUEUED, "blob": None, "certificate": {}}
            is_wanted = Q(state=DerivedState.FAILED) | Q(blob__is_stored=False)
            failed = DerivedFile.objects.filter(is_wanted, pk=row.pk)
            failed.update(**again, used_at=timezone.now())
            row.refresh_from_db()
        if row.state == DerivedState.QUEUED:
            on_demand.enqueue(row, source.version.adapter.owner)
        events.record(
            actor=actor,
            verb="derived_file_requested",
            about=source.version.adapter,
            subject=source.version.name,
            derived=row.pk,
        )
    return selectors.shown(source, selectors.wanted_of(row), row)


def _require_room(
    actor: User | AnonymousUser | None, source: Source, address: str, again: DerivedFile | None
) -> None:
    limits = settings.LORARY
    if not limits.derived_per_hour:
        text = _(
            "This hub does not convert or resize files. Use “lorary convert” or “lorary resize” on "
            "your machine."
        )
        raise StateConflict(text, state="off")
    size, most = source.file.size_bytes, min(limits.derived_bytes, limits.derived_total_bytes)
    if size > most:
        text = _(
            "The file has %(size)d bytes; this hub converts and resizes files of at most "
            "%(limit)d. Use “lorary convert” and “lorary resize” on your machine."
        )
        raise TooLarge(text % {"size": size, "limit": most}, limit=most)
    _require_room_of_hub(size)
    key, limit = attempts.key_of(actor, address), limits.derived_per_hour
    text = _("You requested %(limit)d new files within an hour.") % {"limit": limit}
    attempts.require("derive", key, limit=limit, window_s=on_demand.HOUR_S, text=text)
    _make_place(source, limits.derived_forms, again)


def _require_room_of_hub(size: int) -> None:
    """Refuse a file that would exceed a limit of the whole hub; it counts as its source does."""
    waiting = DerivedFile.objects.filter(pk__in=selectors.queued(), state=DerivedState.QUEUED)
    facts = waiting.aggregate(n=Count("pk"), size=Sum("source__size_bytes", default=0))
    if facts["n"] >= on_demand.MOST_QUEUED:
        text = _("%(n)d other files are being made. Try again in a few minutes.")
        raise RateLimited(text % {"n": facts["n"]}, retry_after=60, limit=on_demand.MOST_QUEUED)
    most = settings.LORARY.derived_total_bytes
    if expiry.stored_bytes() + facts["size"] + size > most:
        text = _(
            "This hub has no room for more files of this kind. Try again later, or use "
            "“lorary convert” and “lorary resize” on your machine."
        )
        raise RateLimited(text, retry_after=on_demand.HOUR_S, limit=most)


def _make_place(source: Source, most: int, again: DerivedFile | None) -> None:
    """Remove the files of a source that were not used for the longest time, above the limit.

    Args:
        again: A file that is made again, which has its place already.
    """
    rows = DerivedFile.objects.filter(adapter=source.version.adapter_id, source=source.file.blob_id)
    if again is not None:
        rows = rows.exclude(pk=again.pk)
    over = rows.count() + 1 - most
    if over <= 0:
        return
    idle = rows.exclude(state=DerivedState.QUEUED).order_by("used_at")
    removed = list(idle.values_list("pk", flat=True)[:over])
    if len(removed) < over:
        text = _("%(n)d other conversions of this file are in progress. Try again in a minute.")
        raise RateLimited(text % {"n": most}, retry_after=60, limit=most)
    DerivedFile.objects.filter(pk__in=removed).exclude(state=DerivedState.QUEUED).delete()
