"""Removes events and addresses when their time is over, and records that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry import events
from registry.audit import selectors
from registry.audit.selectors import Filters
from registry.audit.selectors import events as matching
from registry.database.row_locks import locked
from registry.models import Event, EventAddress, Hub, User

#: Rows per transaction, which blocks other writers on SQLite.
BATCH = 1000
#: Events stay this much longer than the setting says, as clocks of database and hub may differ.
_MARGIN = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed, or would be."""

    events: int
    addresses: int  # of events that stay


def prune(*, is_dry: bool = False, is_daily: bool = False) -> Pruned:
    """Remove events older than ``LORARY_AUDIT_DAYS``, and addresses after their own time.

    The event of the last complete backup stays.

    Args:
        is_dry: Only count them.
        is_daily: Do nothing until something is a day late, so that hourly calls record one event a
            day.
    """
    config, now = settings.LORARY, timezone.now()
    old = _removable(now, config.audit_days)
    addresses = _addresses(now, config.audit_address_days)
    if is_dry:
        gone_anyway = _addresses(now, config.audit_days).count()
        return Pruned(old.count(), max(0, addresses.count() - gone_anyway))
    _store_days(config.audit_days)
    if is_daily and not _is_due(now - _DAY):
        return Pruned(0, 0)
    count = 0
    while ids := list(old.order_by("created_at").values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            Event.objects.filter(pk__in=ids).delete()  # with their addresses
        count += len(ids)
    pruned = Pruned(count, _erase(addresses))
    if pruned.events or pruned.addresses:
        events.record(
            actor=None,
            verb="audit_pruned",
            events=pruned.events,
            addresses=pruned.addresses,
            days=config.audit_days,
            address_days=config.audit_address_days,
        )
    return pruned


def _is_due(now: datetime) -> bool:
    """Whether something had to be removed already at this moment."""
    config = settings.LORARY
    addresses = _addresses(now, config.audit_address_days)
    return _removable(now, config.audit_days).exists() or addresses.exists()


def _removable(now: datetime, days: int) -> QuerySet[Event]:
    """Return these events without the last complete backup: its age must not become unknown."""
    backup = selectors.last_backup()
    old = _events(now, days)
    return old.exclude(pk=backup.pk) if backup is not None else old


def _events(now: datetime, days: int) -> QuerySet[Event]:
    """Return the events older than some days; none for 0 days."""
    rows = Event.objects.order_by()
    return rows.filter(created_at__lt=now - timedelta(days=days) - _MARGIN) if days else rows.none()


def _addresses(now: datetime, days: int) -> QuerySet[EventAddress]:
    """Return the addresses of these events, by their ids: most events have none any more."""
    newest = _events(now, days).order_by("-created_at", "-pk").first()
    return EventAddress.objects.filter(pk__lte=newest.pk if newest is not None else 0)


def _store_days(days: int) -> None:
    """Store the setting for the trigger that refuses to delete younger events."""
    with transaction.atomic():
        hub, _is_new = locked(Hub.objects.all()).get_or_create(pk=Hub.ONLY)
        if hub.audit_days == days:
            return
        events.record(actor=None, verb="audit_days_set", before=hub.audit_days, days=days)
        hub.audit_days = days
        hub.save(update_fields=["audit_days"])


def erase_addresses(*, actor: User | None, filters: Filters) -> int:
    """Remove the addresses of events; the events stay.

    Args:
        actor: Who did it; None on the command line.
        filters: Whose addresses.

    Raises:
        Invalid: see ``selectors.events``.
    """
    count = _erase(EventAddress.objects.filter(event__in=matching(filters)))
    if count:
        events.record(
            actor=actor, verb="audit_addresses_erased", count=count, filters=filters.described()
        )
    return count


def _erase(addresses: QuerySet[EventAddress]) -> int:
    count = 0
    while ids := list(addresses.order_by("pk").values_list("pk", flat=True)[:BATCH]):
        EventAddress.objects.filter(pk__in=ids).delete()
        count += len(ids)
    return count


def record_export(*, actor: User | None, kind: str, filters: Filters) -> None:
    """Record that somebody exports events; ``actor`` is None on the command line."""
    events.record(actor=actor, verb="audit_exported", subject=kind, filters=filters.described())
