"""Finds events by filters, newest or oldest first.

Events are ordered by their ids, which is the order of time but for transactions and clocks that
overlap. Each filter has an index in this order, so that a page is read without sorting.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from registry.errors import Invalid
from registry.models import AdapterName, Event, PackName, User
from registry.names import key_of

#: Events that an export reads at a time.
BATCH = 2000
#: Maximum difference between the orders of ids and of times.
SLACK = timedelta(hours=1)
#: What the name of an account begins with where it is the object.
USER = "user:"

_COLUMNS = (
    "id", "created_at", "verb", "actor_id", "actor__username", "token",
    "adapter_id", "adapter__name", "adapter__namespace__name",
    "pack_id", "pack__name", "pack__namespace__name", "user_id", "user__username",
    "subject", "facts", "source", "source_name", "origin__address", "request_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which events are wanted; empty ones allow all.

    Attributes:
        actor: Name of an account, or ``#`` and its id.
        object: ``OWNER/NAME``, ``packs/OWNER/NAME``, ``user:NAME``, ``user:#ID``, or a subject.
        since: The first moment.
        until: The moment after the last one.
    """

    actor: str = ""
    verb: str = ""
    object: str = ""
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as people and programs read it; names are those of today."""

    id: int
    time: datetime
    verb: str
    actor: str  # name of the account; "#" and its id if it was deleted
    token: int | None  # id of the access token that the actor used
    object: str  # see ``Filters``
    subject: str
    facts: dict[str, Any]
    source: str
    source_name: str
    address: str
    request_id: str

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "time": self.time.isoformat()}


def events(filters: Filters) -> QuerySet[Event]:
    """Return the events that match all filters, in no order.

    Raises:
        Invalid: there is no such account, adapter or pack; ``facts["fields"]`` names the filter.
    """
    rows = Event.objects.order_by()
    if filters.actor:
        rows = rows.filter(actor=_account("actor", filters.actor))
    if filters.verb:
        rows = rows.filter(verb=filters.verb)
    if filters.object:
        rows = rows.filter(_about(filters.object))
    if filters.address:
        rows = rows.filter(origin__address=filters.address)
    return _within(rows, filters.since, filters.until)


def page(filters: Filters, *, limit: int, before: int | None = None) -> list[Entry]:
    """Return the newest events, or those with lower ids than ``before``."""
    rows = events(filters)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return [_entry(row) for row in rows.order_by(_id_of(filters, "-")).values(*_COLUMNS)[:limit]]


def every(filters: Filters) -> Iterator[Entry]:
    """Yield all events, oldest first, in batches: neither memory nor a transaction grows.

    Raises:
        Invalid: see ``events``; at the call, before the first event.
    """
    return _batches(events(filters).order_by(_id_of(filters, "")).values(*_COLUMNS))


def _batches(rows: QuerySet[Event, dict[str, Any]]) -> Iterator[Entry]:
    last = 0
    while found := list(rows.filter(pk__gt=last)[:BATCH]):
        yield from map(_entry, found)
        last = found[-1]["id"]


def _id_of(filters: Filters, sign: str) -> str:
    """Return the column to order by: the same id, in the table that a filter reads first."""
    return f"{sign}origin__event" if filters.address else f"{sign}id"


def _within(
    rows: QuerySet[Event], since: datetime | None, until: datetime | None
) -> QuerySet[Event]:
    """Limit events to a time by their ids, and compare the times of those.

    The function hides the column from its index, as events would have to be sorted after it.
    """
    rows = rows.alias(at=Coalesce(F("created_at"), F("created_at")))
    if since is not None:
        later = Event.objects.filter(created_at__gte=since - SLACK).order_by("created_at", "pk")
        rows = rows.filter(at__gte=since, pk__gte=later.values_list("pk", flat=True).first() or 0)
        rows = rows if later.exists() else rows.none()
    if until is not None:
        earlier = Event.objects.filter(created_at__lt=until + SLACK)
        last = earlier.order_by("-created_at", "-pk").values_list("pk", flat=True).first()
        rows = rows.filter(at__lt=until, pk__lte=last or 0)
    return rows


def _about(text: str) -> Q:
    """Return the condition for the object of an event."""
    if text.startswith(USER):
        return Q(user=_account("object", text.removeprefix(USER)))
    owner, slash, name = text.removeprefix("packs/").partition("/")
    if not slash:
        return Q(subject=text)
    named = Q(key=key_of(name), namespace__names__key=key_of(owner))
    if text.startswith("packs/"):
        pack = PackName.objects.filter(named).values_list("pack_id", flat=True).first()
        return Q(pack=pack) if pack is not None else Q(subject=text)
    adapter = AdapterName.objects.filter(named).values_list("adapter_id", flat=True).first()
    return Q(adapter=adapter) if adapter is not None else Q(subject=text)


def _account(field: str, text: str) -> int:
    """Return the id of an account, which may have been deleted if the text has the id."""
    digits = text.removeprefix("#")
    if text.startswith("#") and digits.isascii() and digits.isdigit() and len(digits) <= 9:
        return int(digits)
    found = User.objects.filter(username__iexact=text).values_list("pk", flat=True).first()
    if found is None:
        message = _(
            "There is no account “%(name)s”. Enter a name, or # and the id of a deleted account."
        ) % {"name": text[:48]}
        raise Invalid(message, fields={field: [message]})
    return found


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        id=row["id"],
        time=row["created_at"],
        verb=row["verb"],
        actor=_name(row["actor_id"], row["actor__username"]),
        token=row["token"],
        object=_object(row),
        subject=row["subject"],
        facts=row["facts"],
        source=row["source"],
        source_name=row["source_name"],
        address=row["origin__address"] or "",
        request_id=row["request_id"],
    )


def _name(pk: int | None, name: str | None) -> str:
    return name or ("" if pk is None else f"#{pk}")


def _object(row: Mapping[str, Any]) -> str:
    for kind, prefix in (("adapter", ""), ("pack", "packs/")):
        if (pk := row[f"{kind}_id"]) is not None:
            name = row[f"{kind}__name"]
            owner = row[f"{kind}__namespace__name"]
            return f"{prefix}{owner}/{name}" if name else f"{prefix}#{pk}"
    name = _name(row["user_id"], row["user__username"])
    return f"{USER}{name}" if name else ""
