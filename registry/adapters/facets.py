"""Facets: how many adapters a user finds, and how many with each value of a field.

Without a filter, all figures are read from counters (``registry.database.facet_counters``). So are
the total and the facet of a single filter, because each facet ignores its own filter. All other
figures are counted over at most ``LORARY_MAX_COUNTED`` matches.

Adapters must have all chosen tags, so the facet of tags counts the results with one more tag.

Counters cover what everybody finds. Adapters that only the viewer finds are read and added.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Count, Exists, IntegerField, OuterRef, Q, Sum
from django.db.models.functions import Cast

from registry.adapters import selectors as adapter_selectors
from registry.database.compiled_queries import as_list, listed
from registry.database.facet_counters import COLUMNS, OWNER, TAG, TOTAL
from registry.models import Adapter, FacetChange, FacetCount, Namespace, Tag
from registry.search.matching import max_matches

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

    from registry.adapters.selectors import Page, Query
    from registry.models import User
    from registry.search.matching import Found

    Viewer = User | AnonymousUser | None
    #: Field and value → number of adapters.
    Tally = Counter[tuple[str, str]]

#: Fields of ``Query`` that are facets.
FIELDS = (*COLUMNS, OWNER, TAG)
#: Maximum number of values of a facet, the most frequent ones.
MAX_VALUES = 100
#: Field → column of the adapter.
_COLUMNS = {**COLUMNS, OWNER: "namespace_id"}
_PUBLISHED = Q(published_at__isnull=False)
#: Values of a field that has any number of them.
MAX_OF_MANY = 40
_MANY = frozenset({"licence", "lineage", "trainer", OWNER, TAG})


class Total(NamedTuple):
    """A number of adapters, or a lower bound of it."""

    adapters: int
    is_capped: bool = False


@dataclass(frozen=True, slots=True)
class Facet:
    """Values of one field with the number of their adapters, most frequent first.

    If ``is_capped``, there are more matches than were counted.
    """

    values: list[tuple[str, int]] = field(default_factory=list)
    is_capped: bool = False


def overall(user: Viewer, names: Collection[str] = FIELDS) -> dict[str, Facet]:
    """Return the facets of all adapters that a user finds."""
    return {name: Facet(values) for name, values in _counted(user, names).items()}


def with_choice() -> frozenset[str]:
    """Return the fields with few values of which adapters have several, or recently had."""
    few = Q(field__in=set(FIELDS) - _MANY) & ~Q(value="")
    counted, changed = (
        rows.objects.filter(few).values_list("field", "value").order_by()
        for rows in (FacetCount, FacetChange)
    )
    values = Counter(name for name, _value in counted.union(changed))
    return frozenset(name for name, number in values.items() if number > 1)


def total(user: Viewer, query: Query) -> Total:
    """Return how many adapters a query finds."""
    chosen = _chosen(query)
    if not _is_counted(query):
        return _capped(_found(user, query, adapter_selectors.conditions(query)).count())
    name, values = next(iter(chosen.items()), (TOTAL, [""]))
    keys = [_key(name, value) for value in values]
    own = _tally(_own(user))
    return Total(_counter(name, keys) + sum(own[name, key] for key in keys))


def _capped(count: int) -> Total:
    return Total(min(count, max_matches()), count > max_matches())


def matching(
    user: Viewer, query: Query, page: Page | None = None
) -> tuple[Total, dict[str, Facet]]:
    """Return how many adapters a query finds, and their facets; each ignores its own filter.

    Args:
        user: The viewer.
        query: The filters.
        page: A page of the results, if one was read.
    """
    chosen = _chosen(query)
    is_counted = _is_counted(query)
    if is_counted and not chosen:
        return total(user, query), overall(user)
    conditions = page.conditions if page else adapter_selectors.conditions(query)
    matches = page.matches if page else None
    rows = _first(matches) if matches else _found(user, query, conditions)
    own = chosen.keys() - {TAG}
    count, found = _sampled(rows, [name for name in FIELDS if name not in own])
    if is_counted:
        return total(user, query), {**overall(user, own), **found}
    for name in own:
        # Other base models have other lineages.
        gone = {name, "lineages"} if name == "family" else {name}
        others = {field: each for field, each in conditions.items() if field not in gone}
        text = query if name != OWNER else replace(query, owner="")
        found |= _sampled(_found(user, text, others), [name])[1]
    return _capped(count), found


def tags(user: Viewer, words: str, *, begin: int, size: int) -> tuple[list[tuple[str, int]], int]:
    """Return a page of the tags of adapters that a user finds, and how many tags there are.

    Args:
        user: The viewer.
        words: Part of the tags; "" for all.
        begin: Number of tags to skip; the most frequent ones come first.
        size: Length of the page.
    """
    words = words.casefold()
    which = Q(field=TAG, value__contains=words)
    known = FacetCount.objects.filter(which)
    changes = _changes(which)
    own = _tally(_own(user), (TAG,))
    changes.update({key: n for key, n in own.items() if key[0] == TAG and words in key[1]})
    changed = [value for _field, value in changes]
    before = dict(known.filter(value__in=changed).values_list("value", "count"))
    after = {value: before.get(value, 0) + changes[TAG, value] for value in changed}
    # All tags that may be on the page: changed ones, and the most frequent of the others.
    rest = (
        known.exclude(value__in=changed).order_by("-count", "value").values_list("value", "count")
    )
    values = Counter({**dict(rest[: begin + size]), **after})
    ordered = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    there = [(value, count) for value, count in ordered if count > 0]
    gone = sum(1 for count in after.values() if count <= 0)
    return there[begin : begin + size], known.count() + len(after) - len(before) - gone


def owners(user: Viewer, words: str, *, begin: int, size: int) -> tuple[list[tuple[str, int]], int]:
    """Return a page of owners with adapters that a user finds, by name, and how many there are.

    Args:
        user: The viewer.
        words: Part of their names; "" for all.
        begin: Number of owners to skip.
        size: Length of the page.
    """
    found = Namespace.objects.filter(
        Exists(Adapter.objects.listed_for(user).filter(_PUBLISHED, namespace=OuterRef("pk"))),
        key__contains=words.casefold(),
    )
    page = dict(found.order_by("key").values_list("pk", "name")[begin : begin + size])
    which = Q(field=OWNER, value__in=[str(pk) for pk in page])
    counts = Counter(dict(FacetCount.objects.filter(which).values_list("value", "count")))
    for (name, value), delta in (*_changes(which).items(), *_tally(_own(user), (OWNER,)).items()):
        if name == OWNER:
            counts[value] += delta
    return [(name, counts[str(pk)]) for pk, name in page.items()], _owners(user, words)


def _owners(user: Viewer, words: str) -> int:
    """Return how many owners ``owners`` lists, without reading their adapters."""
    named = Namespace.objects.filter(key__contains=words.casefold())
    counters = FacetCount.objects.filter(field=OWNER)
    counted = counters.annotate(owner=Cast("value", IntegerField())).values("owner")
    number = named.filter(pk__in=counted).count()
    # Counters lack the latest changes, and the adapters that only the viewer finds.
    changes = _changes(Q(field=OWNER))
    changes.update(_tally(_own(user), (OWNER,)))
    ids = [value for name, value in changes if name == OWNER]
    before = dict(counters.filter(value__in=ids).values_list("value", "count"))
    for pk in named.filter(pk__in=ids).values_list("pk", flat=True):
        value = str(pk)
        is_listed = before.get(value, 0) + changes[OWNER, value] > 0
        number += int(is_listed) - int(value in before)
    return number


def values(user: Viewer, name: str, words: str, *, limit: int) -> list[str]:
    """Return the most frequent values of a field that contain a text, ignoring case."""
    if name == TAG:
        return [value for value, _count in tags(user, words, begin=0, size=limit)[0]]
    if name == OWNER:
        return [value for value, _count in owners(user, words, begin=0, size=limit)[0]]
    known = FacetCount.objects.filter(field=name, value__icontains=words, count__gt=0)
    frequent = [value for value, _count in overall(user, (name,))[name].values]
    there = [value for value in frequent if words.casefold() in value.casefold()]
    there += known.order_by("-count", "value").values_list("value", flat=True)[:limit]
    return list(dict.fromkeys(there))[:limit]


def _chosen(query: Query) -> dict[str, Sequence[str]]:
    """Return the fields that a query filters by, each with alternative values.

    Its tags must all be present.
    """
    chosen = query.columns
    if query.owner:
        chosen[OWNER] = [query.owner]
    if query.tag:
        chosen[TAG] = query.tag
    return chosen


def _is_counted(query: Query) -> bool:
    """Whether counters know how many adapters a query finds."""
    is_narrowed = query.q or query.pictures or query.rank or query.size or query.lineages
    return not is_narrowed and len(_chosen(query)) < 2 and len(query.tag) < 2


def _found(user: Viewer, query: Query, conditions: Mapping[str, Q]) -> QuerySet[Adapter]:
    """Return the adapters that a query finds, at most one more than are counted."""
    rows = adapter_selectors.filtered(user, conditions).filter(_PUBLISHED).order_by()
    return _first(adapter_selectors.find(rows, query)) if query.q else rows[: max_matches() + 1]


def _first(matches: Found) -> QuerySet[Adapter]:
    return Adapter.objects.filter(pk__in=listed(as_list(matches.newest)))


def _own(user: Viewer) -> QuerySet[Adapter]:
    """Return the adapters that only this user finds."""
    if user is None or not user.is_authenticated:
        return Adapter.objects.none()
    rows: QuerySet[Adapter] = Adapter.objects.listed_only_for(user)
    return rows.filter(_PUBLISHED)


# Counters


def _counted(user: Viewer, names: Collection[str]) -> dict[str, list[tuple[str, int]]]:
    """Return the most frequent values of fields among all adapters.

    The counters are read before their changes. If another process moves changes meanwhile, the
    figures may be slightly out of date, but nothing is counted twice.
    """
    tallies = {name: Counter[str]() for name in names}
    few = FacetCount.objects.filter(field__in=[name for name in names if name not in _MANY])
    for name, value, count in few.values_list("field", "value", "count"):
        tallies[name][value] = count
    changes = _changes(Q(field__in=names))
    changes.update(_tally(_own(user), names))  # "+" would drop what is below 0
    many = _MANY.intersection(names)
    for name in many:
        rows = FacetCount.objects.filter(field=name).values_list("value", "count")
        # Those that changes may push out of the list are read as well.
        gone = sum(1 for (of, _value), delta in changes.items() if of == name and delta < 0)
        tallies[name].update(dict(rows.order_by("-count", "value")[: MAX_OF_MANY + gone]))
    new = {value for name, value in changes if name in many and value not in tallies[name]}
    known = FacetCount.objects.filter(field__in=many, value__in=new)
    for name, value, count in known.values_list("field", "value", "count"):
        tallies[name][value] = count
    for (name, value), delta in changes.items():
        if name in tallies:
            tallies[name][value] += delta
    return _named({name: _top(name, tally) for name, tally in tallies.items()})


def _counter(name: str, values: Collection[str]) -> int:
    """Return the sum of the counters of some values."""
    which = Q(field=name, value__in=values)
    known = FacetCount.objects.filter(which).aggregate(n=Sum("count"))["n"] or 0
    return int(known) + sum(_changes(which).values())


def _changes(which: Q) -> Tally:
    rows = FacetChange.objects.filter(which).values_list("field", "value")
    summed = rows.annotate(delta=Sum("delta")).order_by()
    return Counter({(name, value): delta for name, value, delta in summed if delta})


# Matches


def _sampled(rows: QuerySet[Adapter], names: Collection[str]) -> tuple[int, dict[str, Facet]]:
    """Return the number of the first matches, and their facets."""
    tally, count = _tally_of(rows, names, most=max_matches())
    counts = {name: Counter[str]() for name in (*names, TOTAL)}
    for (name, value), number in tally.items():
        counts[name][value] = number
    is_capped = count > max_matches()
    values = _named({name: _top(name, counts[name]) for name in names})
    return count, {name: Facet(each, is_capped) for name, each in values.items()}


def _tally(rows: QuerySet[Adapter], names: Collection[str] = (*FIELDS, TOTAL)) -> Tally:
    """Count the values of adapters."""
    return _tally_of(rows, names)[0]


def _tally_of(
    rows: QuerySet[Adapter], names: Collection[str], *, most: int | None = None
) -> tuple[Tally, int]:
    """Count the values of at most ``most`` adapters; return also how many there are."""
    columns = {name: column for name, column in _COLUMNS.items() if name in names}
    found = list(rows.values_list("pk", *columns.values()))
    tally: Tally = Counter({(TOTAL, ""): len(found)})
    if not found:
        return tally, 0
    ids, *columns_of = zip(*found[:most], strict=True)
    for name, values in zip(columns, columns_of, strict=True):
        tally.update({(name, str(value)): n for value, n in Counter(values).items() if value})
    if TAG in names:
        marks = Adapter.tags.through.objects.filter(adapter__in=listed(as_list(ids)))
        counts = dict(marks.values_list("tag").annotate(n=Count("pk")))
        # By id first: a join would look up a name for each row.
        known = Tag.objects.filter(pk__in=listed(as_list(counts))).values_list("pk", "name")
        tally.update({(TAG, name): counts[pk] for pk, name in known})
    return tally, len(found)


def _top(name: str, tally: Counter[str]) -> list[tuple[str, int]]:
    """Return the most frequent values; equally frequent ones by name."""
    ordered = sorted(tally.items(), key=lambda pair: (-pair[1], pair[0]))
    there = ((value, count) for value, count in ordered if count > 0 and (value or name == TOTAL))
    return list(islice(there, MAX_OF_MANY if name in _MANY else MAX_VALUES))


# Owners are counted by id, and shown by name.


def _key(name: str, value: str) -> str:
    """Return the value of a filter as counters have it."""
    if name == OWNER:
        return str(adapter_selectors.id_of_owner(value))
    return value.casefold() if name == TAG else value


def _named(
    found: Mapping[str, list[tuple[str, int]]],
) -> dict[str, list[tuple[str, int]]]:
    """Replace ids of owners by their names."""
    ids = [int(value) for value, _count in found.get(OWNER, ())]
    if not ids:
        return dict(found)
    names = dict(Namespace.objects.filter(pk__in=ids).values_list("pk", "name"))
    owners = [(names[int(pk)], count) for pk, count in found[OWNER] if int(pk) in names]
    return {**found, OWNER: owners}
