"""Finds adapters: by name, by search, page by page."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from registry import hooks
from registry.adapters import licences
from registry.database.compiled_queries import as_list, listed
from registry.database.facet_counters import COLUMNS, PERMISSION, RATING, TAG
from registry.errors import Blocked, CursorInvalid, Gone, Invalid, Moved, NotFound
from registry.models import (
    OUT_STATES,
    Adapter,
    AdapterName,
    FacetCount,
    Maturity,
    Namespace,
    NamespaceName,
    Pack,
    PackName,
    Tag,
    Version,
    Visibility,
)
from registry.names import key_of
from registry.search import matching as searching
from registry.search import ranking
from registry.search.matching import Found
from registry.search.snippets import snippet
from registry.search.syntax import FILE_ENDING, limit_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.utils.safestring import SafeString

    from registry.models import User

T = TypeVar("T", Adapter, Pack)

MAX_RESULTS_PER_PAGE = 100
#: Maximum number of values of a filter that accepts several.
MAX_CHOSEN = 10

#: Sort order → column; ties are broken by id, so a keyset page never skips or repeats.
SORT_COLUMNS = {"new": "published_at", "updated": "updated_at", "downloads": "downloads"}
#: Sorting by relevance needs words to search for; otherwise the newest come first.
RELEVANCE = "relevance"
SORTS = (RELEVANCE, *SORT_COLUMNS)


@dataclass(frozen=True, slots=True)
class Query:
    """Filters of a search; empty fields do not filter.

    Attributes:
        q: Words and fields, see ``registry.search.syntax``.
        tag: Tags, all of which an adapter must have; at most ``MAX_CHOSEN``.
        permission: What its licence must permit: names of ``licences.PERMISSIONS``.
        sort: One of ``SORTS``; "" for relevance.
        max_maturity: Highest content rating.
        lineages: Lineages of which an adapter has one; "" stands for none.
        rank, size: Ranges of the query language, such as ``8..32`` and ``..100mb``.
    """

    q: str = ""
    family: str = ""
    kind: str = ""
    tag: tuple[str, ...] = ()
    owner: str = ""
    sort: str = ""
    lineage: str = ""
    method: str = ""
    maturity: str = ""
    licence: str = ""
    permission: tuple[str, ...] = ()
    parts: str = ""
    trainer: str = ""
    pictures: bool = False
    max_maturity: str = ""
    rank: str = ""
    size: str = ""
    lineages: tuple[str, ...] = ()

    @property
    def columns(self) -> dict[str, Sequence[str]]:
        """The fields of ``COLUMNS`` it filters by, with the values of which one must hold."""
        values = {name: getattr(self, name) for name in COLUMNS if name not in {RATING, PERMISSION}}
        found: dict[str, Sequence[str]] = {name: [one] for name, one in values.items() if one}
        if self.permission:
            found[PERMISSION] = licences.sets_with(self.permission)
        highest = Maturity(self.max_maturity or Maturity.EXPLICIT)
        ratings = [one for one in highest.up_to if self.maturity in ("", one)]
        return found if len(ratings) == len(Maturity) else {**found, RATING: ratings}


@dataclass(frozen=True, slots=True)
class Page:
    """Results and the cursor of the next page, "" on the last one.

    Attributes:
        matches: What the text finds; None if there is no text to search for.
        corrected: The corrected query, "" if the query was not corrected.
        snippets: Adapter id → where the words occur, as HTML.
        versions: Adapter id → name of the version that has the hash or the file asked for.
        conditions: The filters of the query for counting, see ``conditions``.
    """

    results: list[Adapter]
    next_cursor: str
    matches: Found | None = None
    corrected: str = ""
    snippets: Mapping[int, SafeString] = field(default_factory=dict)
    versions: Mapping[int, str] = field(default_factory=dict)
    conditions: Mapping[str, Q] = field(default_factory=dict)


def namespace(name: str) -> Namespace:
    """Return a namespace by name.

    Raises:
        NotFound: it does not exist.
        Moved: it was renamed; ``facts["full_name"]`` is the current name.
    """
    known = NamespaceName.objects.select_related("namespace").filter(key=key_of(name)).first()
    if known is None:
        raise NotFound(_("There is no user or organisation “%(name)s”.") % {"name": name[:96]})
    if known.namespace.key != known.key:
        raise Moved(full_name=known.namespace.name)
    return known.namespace


def get(user: User | AnonymousUser | None, owner: str, name: str) -> Adapter:
    """Return the adapter ``owner/name`` if the user may see it.

    Raises:
        NotFound: it does not exist, or the user cannot see it.
        Blocked: an administrator blocked it, and the user is not of its namespace.
        Moved: it was renamed; ``facts["full_name"]`` is the current name.
    """
    return by_name(Adapter.objects.visible_to(user), owner, name)


def by_name(visible: QuerySet[T], owner: str, name: str) -> T:
    """Return the adapter or the pack ``owner/name``; see ``get``."""
    try:
        thing = unrestricted(visible.select_related("latest_version"), owner, name)
    except NotFound:
        require_not_blocked(named(visible.model.objects.all(), owner, name))
        raise
    if (thing.namespace.key, thing.key) != (key_of(owner), key_of(name)):
        raise Moved(full_name=thing.full_name)
    return thing


def named(rows: QuerySet[T], owner: str, name: str) -> QuerySet[T]:
    """Return the adapter or the pack with a current or former name."""
    names = PackName if issubclass(rows.model, Pack) else AdapterName
    ids = names.objects.filter(key=key_of(name), namespace__names__key=key_of(owner))
    return rows.filter(pk__in=ids.values(rows.model.noun))


def unrestricted(rows: QuerySet[T], owner: str, name: str) -> T:
    """Return an adapter or a pack by its current or a former name.

    Args:
        rows: Those that may be found; an operator sees all.

    Raises:
        NotFound: it is not among them.
    """
    thing = named(rows, owner, name).select_related("namespace").first()
    if thing is None:
        is_pack = issubclass(rows.model, Pack)
        text = (
            _("There is no pack “%(name)s”.") if is_pack else _("There is no adapter “%(name)s”.")
        )
        raise NotFound(text % {"name": f"{owner[:96]}/{name[:96]}"})
    return thing


def unpublished(user: User | AnonymousUser | None, namespace: Namespace) -> QuerySet[Adapter]:
    """Return the adapters in a namespace without a public version that the user can see."""
    rows = Adapter.objects.listed_for(user).filter(namespace=namespace, published_at__isnull=True)
    return _with_lists(rows).order_by("-updated_at", "-pk")


def require_not_blocked(rows: QuerySet[Adapter] | QuerySet[Pack]) -> None:
    """Refuse an adapter or a pack that an administrator blocked; private ones stay hidden.

    Raises:
        Blocked: with the reason, as ``facts["reason"]``.
    """
    shown = rows.exclude(blocked_reason="").exclude(visibility=Visibility.PRIVATE)
    thing = shown.select_related("namespace").first()
    if thing is not None:
        facts = {"name": thing.full_name, "reason": thing.blocked_reason}
        raise Blocked(
            _("An administrator blocked “%(name)s”: %(reason)s") % facts,
            reason=thing.blocked_reason,
            **{thing.noun: thing.full_name},
        )


def gone(adapter: Adapter) -> Gone:
    """Return the refusal of a withdrawn adapter, with its reason."""
    facts = {"name": adapter.full_name, "reason": adapter.withdrawn_reason}
    return Gone(
        _("“%(name)s” was withdrawn: %(reason)s") % facts,
        adapter=adapter.full_name,
        reason=adapter.withdrawn_reason,
        versions=[version.name for version in adapter.versions.order_by("-number")],
    )


def search(
    user: User | AnonymousUser | None,
    query: Query,
    *,
    cursor: str = "",
    limit: int = MAX_RESULTS_PER_PAGE,
) -> Page:
    """Return a page of adapters that match a query, with their namespaces and latest versions.

    Args:
        user: The viewer, who sees public adapters and their own.
        query: The filters. With words, the order is by relevance unless ``sort`` says otherwise.
        cursor: ``next_cursor`` of the previous page.
        limit: 1 to ``MAX_RESULTS_PER_PAGE``.

    Raises:
        Invalid: an unknown sort or a limit outside its range.
        CursorInvalid: the cursor is not from this server.
    """
    if query.sort and query.sort not in SORTS:
        raise Invalid(_("Sort by one of: %(all)s.") % {"all": ", ".join(SORTS)})
    if not 1 <= limit <= MAX_RESULTS_PER_PAGE:
        raise Invalid(_("`limit` must be from 1 to %(n)d.") % {"n": MAX_RESULTS_PER_PAGE})
    tags = tagged(*query.tag) if query.tag else None
    chosen = conditions(query, tags and tags.listed)
    rows = filtered(user, chosen).filter(published_at__isnull=False)
    if tags is not None:
        chosen["tag"] = tags.counted
    found = find(rows, query) if query.q else None
    by_relevance = query.sort in ("", RELEVANCE)
    if found is not None and found.plain and by_relevance:
        ids, following = ranking.page(found, cursor=cursor, limit=limit)
        by_id = {one.pk: one for one in _with_lists(Adapter.objects.filter(pk__in=ids))}
        results = [by_id[pk] for pk in ids if pk in by_id]
    else:
        column = SORT_COLUMNS["new" if by_relevance else query.sort]
        sorted_page = page(
            rows if found is None else found.rows, column, cursor=cursor, limit=limit
        )
        results, following = sorted_page.results, sorted_page.next_cursor
    if found is None:
        return Page(results, following, conditions=chosen)
    snippets = {one.pk: snippet(one, found.plain) for one in results} if found.plain else {}
    versions = _versions(found, results)
    return Page(results, following, found, found.corrected, snippets, versions, chosen)


def _versions(found: Found, results: Sequence[Adapter]) -> dict[int, str]:
    """Return adapter id → name of the version with the hash or the file that was asked for.

    If a file name was asked for, this takes one more query; published versions come first, then
    the newest.
    """
    numbers = dict(found.holding)
    files = [f"{word.text}{FILE_ENDING}" for word in found.plain if word.is_file]
    if files:
        paths = (
            Q(**{f"revision__files__path__{match}": f"{before}{name}"})
            for name in files
            for match, before in (("iexact", ""), ("iendswith", "/"))
        )
        rows = Version.objects.filter(
            reduce(or_, paths), adapter__in=results, state__in=OUT_STATES
        ).order_by("-state", "number")
        numbers |= dict(rows.values_list("adapter", "number"))
    return {pk: f"v{number}" for pk, number in numbers.items()}


def page(rows: QuerySet[Adapter], column: str, *, cursor: str, limit: int) -> Page:
    """Return a page, ordered by a column and id, highest first, with the same related rows.

    Raises:
        CursorInvalid: the cursor is not from this server.
    """
    if cursor:
        rows = rows.filter(_after(column, cursor))
    found = list(_with_lists(rows).order_by(f"-{column}", "-id")[: limit + 1])
    last = found[limit - 1] if len(found) > limit else None
    return Page(found[:limit], _cursor(column, last) if last is not None else "")


def matching(user: User | AnonymousUser | None, query: Query) -> QuerySet[Adapter]:
    """Return the adapters that match a query, or its correction, unordered."""
    rows = filtered(user, conditions(query))
    return find(rows, query).rows if query.q else rows


def find(rows: QuerySet[Adapter], query: Query) -> Found:
    """Return the given rows that match the text of a query, or its correction."""
    return searching.find(rows, query.q, is_narrow=bool(query.tag or query.owner))


def filtered(user: User | AnonymousUser | None, chosen: Mapping[str, Q]) -> QuerySet[Adapter]:
    """Return the adapters that lists may show to a user and that meet conditions."""
    return Adapter.objects.listed_for(user).filter(*chosen.values())


def conditions(query: Query, tags: Q | None = None) -> dict[str, Q]:
    """Return the filters of a query, by their fields: a condition for each that is set.

    Args:
        query: The query.
        tags: The condition on its tags; by default the one for counting.
    """
    found = {
        name: searching.one_of(name, values)
        if name in {RATING, PERMISSION}
        else Q(**{COLUMNS[name]: values[0]})
        for name, values in query.columns.items()
    }
    if query.lineages:
        found["lineages"] = Q(lineage__in=query.lineages)
    if query.tag:
        found["tag"] = tagged(*query.tag).counted if tags is None else tags
    if query.owner:
        found["owner"] = Q(namespace=id_of_owner(query.owner))
    for name, limit in (
        ("rank", limit_of("rank", query.rank)),
        ("size", limit_of("size", query.size)),
    ):
        if limit is not None:
            found[name] = searching.within(limit, has_words=bool(query.q))
    if query.pictures:
        found["pictures"] = has_pictures()
    return found


class Tagged(NamedTuple):
    """Conditions for adapters that have all given tags.

    Attributes:
        listed: For a list that is read in its sort order until a page is full.
        counted: For counting, where the order does not matter.
    """

    listed: Q
    counted: Q


def tagged(*names: str) -> Tagged:
    """Return the conditions for adapters that have all given tags, of which there is at least one.

    A rare tag is read through its index. For a frequent tag, the database reads the list in its
    sort order and looks up the tag until the page is full. If several tags have few adapters in
    common, it would read the whole list; so their ids are read first, through the rarest tag.
    """
    folded = {name.casefold() for name in names}
    ids = dict(Tag.objects.filter(name__in=folded).values_list("name", "pk"))
    known = FacetCount.objects.filter(field=TAG, value__in=folded).values_list("value", "count")
    counts = Counter(dict(known))
    marks = Adapter.tags.through.objects

    def has(name: str, adapter: str) -> Q:
        return Q(Exists(marks.filter(tag=ids.get(name, 0), adapter=OuterRef(adapter))))

    found = Q()
    for name in folded:
        if counts[name] < searching.FREQUENT:
            found &= Q(pk__in=marks.filter(tag=ids.get(name, 0)).values("adapter"))
        else:
            found &= has(name, "pk")
    rarest, *others = sorted(folded, key=lambda name: (counts[name], name))
    if not others:
        return Tagged(found, found)
    shared = marks.filter(*(has(name, "adapter") for name in others), tag=ids.get(rarest, 0))
    first = list(shared.values_list("adapter", flat=True)[: searching.max_matches() + 1])
    if len(first) <= searching.max_matches():
        few = Q(pk__in=listed(as_list(first)))
        return Tagged(few, few)
    # A join ends at the first matches; a subquery with ``IN`` would be read to its end.
    joined = Q(*(has(name, "pk") for name in others), tags=ids[rarest])
    return Tagged(found, joined)


def _id_of(rows: QuerySet[Any]) -> int:
    """Return the id of the only row; 0 if there is none.

    Databases plan a filter by id better than a join with the name: they know its frequency.
    """
    return rows.values_list("pk", flat=True).first() or 0


def id_of_owner(name: str) -> int:
    """Return the id of the namespace that currently has a name; 0 if there is none."""
    return _id_of(Namespace.objects.filter(key=key_of(name)))


def has_pictures() -> Q:
    """Return the condition for adapters whose latest version has pictures."""
    found = [
        Q(Exists(rows.filter(version=OuterRef("latest_version")))) for rows in hooks.pictured()
    ]
    return reduce(or_, found, Q(pk__in=[]))


def _with_lists(rows: QuerySet[Adapter]) -> QuerySet[Adapter]:
    return rows.select_related("namespace", "latest_version")


def _cursor(column: str, adapter: Adapter) -> str:
    value = getattr(adapter, column)
    plain = value.isoformat() if isinstance(value, datetime) else value
    return base64.urlsafe_b64encode(json.dumps([plain, adapter.pk]).encode()).decode().rstrip("=")


def _after(column: str, cursor: str) -> Q:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        value, pk = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        edge: Any = _moment(value) if column.endswith("_at") else _whole(value)
        pk = _whole(pk)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CursorInvalid(_("Start again from the first page.")) from error
    # PostgreSQL starts the index at the edge for `a <= x`, and reads all before it for an OR alone.
    return Q(**{f"{column}__lte": edge}) & (Q(**{f"{column}__lt": edge}) | Q(pk__lt=pk))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 1970 <= moment.year < 9000:
        raise ValueError(text)
    return moment


def _whole(number: object) -> int:
    value = int(str(number))
    if not 0 <= value < 2**63:
        raise ValueError(number)
    return value
