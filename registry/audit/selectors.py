"""Finds events by filters, newest or oldest first.

Events are ordered by their ids, which is the order of time but for transactions and clocks that
overlap. Each filter has an index in this order, so that a page is read without sorting.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.errors import Invalid
from registry.models import Adapter, AdapterName, Event, EventAddress, Pack, PackName, User
from registry.names import key_of

#: Events that an export reads at a time.
BATCH = 2000
#: Ids that a search by several filters looks at first, and seconds after which it begins no more.
SPAN, SEARCH_S = 20_000, 0.25
#: Maximum difference between the orders of ids and of times.
SLACK = timedelta(hours=1)
#: Time after which a failed backup no longer counts if one was made to another folder since.
FAILURE_COUNTS = timedelta(hours=26)
_FIRST, _LAST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
#: What the name of an object begins with.
ADAPTER, PACK, USER = "", "packs/", "user:"

#: An account by its id.
_ID = re.compile(r"#([0-9]{1,9})")

_IMPERSONAL = {"verb", "since", "until"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which events are wanted; empty ones allow all.

    Attributes:
        actor: Current or former name of an account, or ``#`` and its id.
        object: ``OWNER/NAME``, ``packs/OWNER/NAME``, ``user:NAME``, ``user:#ID``, or a
            subject.
        since: The first moment.
        until: The moment after the last one.
    """

    actor: str = ""
    verb: str = ""
    object: str = ""
    address: str = ""
    since: datetime | None = None
    until: datetime | None = None

    @property
    def are_several(self) -> bool:
        """Whether two filters apply that have an index each, of which a search uses one."""
        return sum(map(bool, (self.actor, self.verb, self.object, self.address))) > 1

    def described(self) -> dict[str, str]:
        """Return those that are set, without names and addresses: an event keeps neither."""
        given = {name: str(value) for name, value in asdict(self).items() if value}
        return {name: text if name in _IMPERSONAL else "…" for name, text in given.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as people and programs read it; names are those of today."""

    id: int
    time: datetime
    verb: str
    actor: str  # name of the account, deleted-ID if it was deleted; "#" and its id without a row
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


class Reached(NamedTuple):
    """Where a search stopped that goes back in time: events with lower ids were not looked at."""

    id: int
    time: datetime


def events(filters: Filters) -> QuerySet[Event]:
    """Return the events that match all filters, in no order.

    Raises:
        Invalid: there is no such account; ``facts["fields"]`` names the filter.
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
    return _within(rows, filters)


def last_backup() -> Event | None:
    """Return the event of the last complete backup, to any folder."""
    made = Event.objects.filter(verb="backup_made").exclude(facts__has_key="lacking")
    return made.order_by("-pk").first()


def failed_backup() -> Event | None:
    """Return the event of the newest failed backup that counts, None if there is none.

    A backup fails if nothing or not all was saved. It counts if it is the last one to its folder;
    after ``FAILURE_COUNTS`` only if it is the last one of all, because its folder may have been
    replaced. A folder without any set does not count while others have some, unless it failed at
    least twice since the last complete set was made: it may be mistyped.
    """
    attempts = [_attempts(verb) for verb in ("backup_made", "backup_failed")]  # each by its index
    since = timezone.now() - FAILURE_COUNTS
    rows = [row for found in attempts for row in found.filter(created_at__gte=since)]
    if not rows:
        newest = filter(None, (found.first() for found in attempts))
        rows = sorted(newest, key=lambda row: row.pk)[-1:]
    last = {row.facts.get("folder"): row for row in sorted(rows, key=lambda row: row.pk)}
    failed = (row for row in last.values() if row.verb == "backup_failed" or "lacking" in row.facts)
    counting = (row for row in failed if not _may_be_mistyped(row.facts.get("folder")))
    return max(counting, key=lambda row: row.pk, default=None)


def _attempts(verb: str) -> QuerySet[Event]:
    """Return the events of backups, newest first.

    Backups with ``--rows-only`` of a hub without a bucket are left out.
    """
    rows = _since_restore(verb).exclude(facts__has_keys=["lacking", "rows_only"])
    return rows.exclude(facts__has_keys=["without_bucket", "rows_only"]).order_by("-pk")


def _since_restore(verb: str) -> QuerySet[Event]:
    """Return the events after the last restore: the rows of a set have no event of that set."""
    restored = Event.objects.filter(verb="backup_restored").order_by("-pk").first()
    return Event.objects.filter(verb=verb, pk__gt=restored.pk if restored is not None else 0)


def _may_be_mistyped(folder: str | None) -> bool:
    """Return whether a folder has no set, others have, and it failed at most once since the last.

    An operator who changes the folder of the timer makes no further sets elsewhere.
    """
    made = _since_restore("backup_made")
    if made.filter(facts__folder=folder).exists() or not made.exists():
        return False
    whole = made.exclude(facts__has_key="lacking").order_by("-pk").first()
    failures = _attempts("backup_failed").filter(facts__folder=folder)
    return failures.filter(pk__gt=whole.pk if whole is not None else 0).count() <= 1


def page(filters: Filters, *, limit: int, before: int | None = None) -> list[Entry]:
    """Return the newest events, or those with lower ids than ``before``."""
    rows, column = events(filters), _id_of(filters)
    if before is not None:
        rows = rows.filter(**{f"{column}__lt": before})
    return _entries(list(rows.order_by(f"-{column}")[:limit]))


def search(
    filters: Filters, *, limit: int, before: int | None = None
) -> tuple[list[Entry], Reached | None]:
    """Return the newest events as ``page`` does, and how far the search got if it stopped early.

    Where no event matches several filters together, all events of one of them would be read.
    """
    if not filters.are_several:
        return page(filters, limit=limit, before=before), None
    column, until = _id_of(filters), time.monotonic() + SEARCH_S
    rows, times = events(filters).order_by(f"-{column}"), Event.objects.order_by("pk")
    last = times.values_list("pk", flat=True).last() or 0
    found, top, span = list[Event](), min(before or last + 1, last + 1), SPAN
    while True:
        within = rows.filter(**{f"{column}__lt": top, f"{column}__gte": top - span})
        found += within[: limit - len(found)]
        top, span = top - span, 2 * span
        if top <= 1 or len(found) >= limit:
            return _entries(found), None
        if time.monotonic() > until:
            oldest = times.filter(pk__gte=top).values_list("created_at", flat=True)[0]
            return _entries(found), Reached(top, oldest)


def every(filters: Filters) -> Iterator[Entry]:
    """Yield all events, oldest first, in batches: neither memory nor a transaction grows.

    Raises:
        Invalid: see ``events``; at the call, before the first event.
    """
    column = _id_of(filters)
    return _batches(events(filters).order_by(column), column)


def _batches(rows: QuerySet[Event], column: str) -> Iterator[Entry]:
    last = 0
    while found := list(rows.filter(**{f"{column}__gt": last})[:BATCH]):
        yield from _entries(found)
        last = found[-1].pk


def _id_of(filters: Filters) -> str:
    """Return the id to order by: the same number, in the table that a filter reads first."""
    return "origin__event_id" if filters.address else "id"


def _within(rows: QuerySet[Event], filters: Filters) -> QuerySet[Event]:
    """Limit events to a time by their ids, and compare the times of those.

    The function hides the column from its index, as events would have to be sorted after it.
    """
    since, until, column = _clamped(filters.since), _clamped(filters.until), _id_of(filters)
    rows = rows.alias(at=Coalesce(F("created_at"), F("created_at")))
    ids = Event.objects.values_list("pk", flat=True)
    if since is not None:
        first = ids.filter(created_at__gte=since - SLACK).order_by("created_at", "pk").first()
        if first is None:
            return rows.none()
        rows = rows.filter(at__gte=since, **{f"{column}__gte": first})
    if until is not None:
        last = ids.filter(created_at__lt=until + SLACK).order_by("-created_at", "-pk").first()
        rows = rows.filter(at__lt=until, **{f"{column}__lte": last or 0})
    return rows


def _clamped(at: datetime | None) -> datetime | None:
    """Return a time that can be converted and added to."""
    return None if at is None else min(max(at, _FIRST), _LAST)


def _about(text: str) -> Q:
    """Return the condition for the object of an event."""
    if text.startswith(USER):
        return Q(user=_account("object", text.removeprefix(USER)))
    owner, slash, name = text.removeprefix(PACK).partition("/")
    if not slash:
        return Q(subject=text)
    named = Q(key=key_of(name), namespace__names__key=key_of(owner))
    if text.startswith(PACK):
        pack = PackName.objects.filter(named).values_list("pack_id", flat=True).first()
        return Q(pack=pack) if pack is not None else Q(subject=text)
    adapter = AdapterName.objects.filter(named).values_list("adapter_id", flat=True).first()
    return Q(adapter=adapter) if adapter is not None else Q(subject=text)


def _account(field: str, text: str) -> int:
    """Return the id of an account by its id, or by its current or former name."""
    if found := _ID.fullmatch(text):
        return int(found[1])
    is_named = Q(username__iexact=text) | Q(namespace__names__key=key_of(text))
    account = User.objects.filter(is_named).values_list("pk", flat=True).first()
    if account is None:
        message = _(
            "There is no account “%(name)s”. Enter a current or former name, or # and the id of an"
            " account."
        ) % {"name": text[:48]}
        raise Invalid(message, fields={field: [message]})
    return account


def _entries(rows: Sequence[Event]) -> list[Entry]:
    """Return events with today's names and their addresses.

    Joins would leave out the events of deleted accounts: Django takes references for valid.
    """
    users = User.objects.filter(pk__in={pk for row in rows for pk in (row.actor_id, row.user_id)})
    adapters = Adapter.objects.filter(pk__in={row.adapter_id for row in rows})
    packs = Pack.objects.filter(pk__in={row.pack_id for row in rows})
    names = {
        USER: dict(users.values_list("pk", "username")),
        ADAPTER: _full_names(adapters),
        PACK: _full_names(packs),
    }
    origins = EventAddress.objects.filter(event__in=[row.pk for row in rows])
    addresses = dict(origins.values_list("event_id", "address"))
    return [
        Entry(
            id=row.pk,
            time=row.created_at,
            verb=row.verb,
            actor=_name(row.actor_id, names[USER]),
            token=row.token,
            object=_object(row, names),
            subject=row.subject,
            facts=row.facts,
            source=row.source,
            source_name=row.source_name,
            address=addresses.get(row.pk, ""),
            request_id=row.request_id,
        )
        for row in rows
    ]


def _full_names(rows: QuerySet[Adapter] | QuerySet[Pack]) -> dict[int, str]:
    found = rows.order_by().values_list("pk", "namespace__name", "name")
    return {pk: f"{owner}/{name}" for pk, owner, name in found}


def _name(pk: int | None, names: Mapping[int, str]) -> str:
    return "" if pk is None else names.get(pk, f"#{pk}")


def _object(row: Event, names: Mapping[str, Mapping[int, str]]) -> str:
    about = {ADAPTER: row.adapter_id, PACK: row.pack_id, USER: row.user_id}
    return next((kind + _name(pk, names[kind]) for kind, pk in about.items() if pk is not None), "")
