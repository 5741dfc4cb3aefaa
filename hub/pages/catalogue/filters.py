"""Filters of the browse page: read from a URL, written into one, and shown with counts."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from hub.pages.adapters.licence_panel import PERMISSION_TITLES
from hub.pages.labels import RATING_LIMITS, count, family_label
from lorary.anatomy import algorithm_title
from registry.adapters import facets
from registry.adapters import selectors as adapter_selectors
from registry.adapters.selectors import MAX_CHOSEN
from registry.database.facet_counters import PERMISSION, RATING
from registry.models import Kind, Maturity
from registry.search.syntax import limit_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django.http import QueryDict

    from registry.adapters.selectors import Query

MAX_WORD = 200
#: Maximum number of values that are shown for filters with any number of values.
MAX_SHOWN = 12
#: Number of options of a filter that are shown; the others are collapsed.
MAX_OPEN = 10

#: Number of options from which a filter has a field that finds others.
MIN_SEARCHED = 8

#: Filters in the order of the page, with their titles; the owner has no list of choices.
TITLES = {
    "family": gettext_lazy("Base model"),
    "lineage": gettext_lazy("Lineage"),
    "kind": gettext_lazy("Kind"),
    "tag": gettext_lazy("Tag"),
    "method": gettext_lazy("Method"),
    "parts": gettext_lazy("Trained parts"),
    "trainer": gettext_lazy("Trained with"),
    "permission": gettext_lazy("The licence permits"),
    "licence": gettext_lazy("Licence"),
    "maturity": gettext_lazy("Content rating"),
    "owner": gettext_lazy("Owner"),
}
#: Highest content rating → its label; without this filter, all are found.
UP_TO = {level: label for level, label in RATING_LIMITS.items() if level != Maturity.EXPLICIT}
#: Filters with any number of values.
MANY = frozenset({"lineage", "tag", "trainer", "licence", "owner"})
#: Filters of which several values can be chosen, which must all match.
SEVERAL = frozenset({"tag", "permission"})
#: Filters that are shown with a single value as well.
ALWAYS = frozenset({"family", "kind", "tag"})
#: Filters that are collapsed unless they are in use.
FOLDED = frozenset({"method", "parts", "trainer", "permission", "licence", "owner"})
#: Value of the filter for pictures.
WITH_PICTURES = "yes"
#: Trained parts, as the page of an adapter names them.
PARTS = {
    "denoiser": gettext_lazy("Denoiser"),
    "text_encoder": gettext_lazy("Text encoder"),
    "both": gettext_lazy("Denoiser and text encoder"),
}
PERMISSIONS = {**PERMISSION_TITLES, "no_credit": gettext_lazy("Use without credit")}
#: Filter → function that returns the text of a value.
LABELS: dict[str, Callable[[str], str]] = {
    "family": family_label,
    "lineage": str,
    "kind": lambda kind: str(Kind(kind).label),
    "tag": str,
    "method": algorithm_title,
    "parts": lambda parts: str(PARTS.get(parts, parts)),
    "trainer": str,
    "permission": lambda permission: str(PERMISSIONS[permission]),
    "licence": str,
    "maturity": lambda maturity: str(Maturity(maturity).label),
    "max_maturity": lambda level: str(RATING_LIMITS[Maturity(level)]),
    "owner": str,
    "rank": lambda text: _range_label("rank", text),
    "size": lambda text: _range_label("size", text),
    "pictures": lambda _is_chosen: _("With pictures"),
}
#: Range → its title and the unit of its fields: a name in the query language, and bytes.
RANGES = {
    "rank": (gettext_lazy("Rank"), "", 1),
    "size": (gettext_lazy("Size in MB"), "mb", 10**6),
}

SORTS = {
    "relevance": gettext_lazy("Relevance"),
    "new": gettext_lazy("Newest"),
    "updated": gettext_lazy("Recently updated"),
    "downloads": gettext_lazy("Most downloads"),
}


@dataclass(frozen=True, slots=True)
class Option:
    """One value of a filter, with the number of its adapters as text."""

    value: str
    label: str
    is_chosen: bool
    count: str = ""


@dataclass(frozen=True, slots=True)
class Facet:
    """One filter; ``has_choice`` if it has one without the other filters."""

    name: str
    title: str
    chosen: str | tuple[str, ...]
    options: list[Option]
    has_choice: bool = False

    @property
    def has_several(self) -> bool:
        """Whether several values can be chosen."""
        return self.name in SEVERAL

    @property
    def is_open(self) -> bool:
        """Whether its options are shown at first."""
        return bool(self.chosen) or self.name not in FOLDED

    @property
    def is_searched(self) -> bool:
        """Whether there may be values that are not shown and can be found by a part of them."""
        return self.name in MANY and len(self.options) >= MIN_SEARCHED

    @property
    def is_useful(self) -> bool:
        """Whether it is in use, or has a choice that its name alone does not tell.

        Another filter that leaves one of its values does not hide it.
        """
        least = 1 if self.chosen or self.has_choice or self.name in ALWAYS else 2
        return len(self.options) >= least

    @property
    def first(self) -> list[Option]:
        """Return the most frequent options, and the chosen one."""
        return [one for n, one in enumerate(self.options) if n < MAX_OPEN or one.is_chosen]

    @property
    def rest(self) -> list[Option]:
        """Return the collapsed options."""
        return [one for one in self.options[MAX_OPEN:] if not one.is_chosen]


@dataclass(frozen=True, slots=True)
class Range:
    """A filter by two numbers, as the text of its fields."""

    name: str
    title: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Chip:
    """An active filter, and the URL without it."""

    label: str
    without: str


def query_of(wanted: QueryDict) -> Query:
    """Return the search query, without invalid values."""
    kind, sort, maturity, highest, parts = (
        wanted.get(name, "") for name in ("kind", "sort", "maturity", "max_maturity", "parts")
    )
    tags = (tag[:MAX_WORD].strip().casefold() for tag in wanted.getlist("tag"))
    return adapter_selectors.Query(
        q=wanted.get("q", "")[:MAX_WORD].strip(),
        family=wanted.get("family", "")[:MAX_WORD],
        kind=kind if kind in Kind.values else "",
        tag=tuple(dict.fromkeys(filter(None, tags)))[:MAX_CHOSEN],
        owner=wanted.get("owner", "")[:MAX_WORD],
        sort=sort if sort in SORTS else "",
        lineage=wanted.get("lineage", "")[:MAX_WORD],
        method=wanted.get("method", "")[:MAX_WORD],
        maturity=maturity if maturity in Maturity.values else "",
        licence=wanted.get("licence", "")[:MAX_WORD],
        permission=tuple(one for one in PERMISSIONS if one in wanted.getlist("permission")),
        parts=parts if parts in PARTS else "",
        trainer=wanted.get("trainer", "")[:MAX_WORD],
        pictures=wanted.get("pictures") == WITH_PICTURES,
        max_maturity=highest if highest in UP_TO else "",
        rank=_range_text("rank", wanted),
        size=_range_text("size", wanted),
    )


def _range_text(name: str, wanted: QueryDict) -> str:
    """Return a range as text of the query language, from two fields or a single parameter."""
    low, high = (wanted.get(f"{name}_{end}", "").strip() for end in ("from", "to"))
    unit = RANGES[name][1]
    ends = [f"{end}{unit}" if end else "" for end in (low, high)]
    text = "..".join(ends) if any(ends) else wanted.get(name, "")
    return text if limit_of(name, text) else ""


def ranges(query: Query) -> list[Range]:
    """Return the ranges, with the text of their fields."""
    return [
        Range(name, str(title), *_ends(name, getattr(query, name)))
        for name, (title, _unit, _bytes) in RANGES.items()
    ]


def _ends(name: str, text: str) -> tuple[str, str]:
    """Return both ends of a range in the unit of its fields; "" for an open end."""
    limit, unit = limit_of(name, text), RANGES[name][2]
    ends = (limit.low, limit.high) if limit else (None, None)
    low, high = ("" if end is None else f"{end / unit:.6g}" for end in ends)
    return low, high


def _range_label(name: str, text: str) -> str:
    low, high = _ends(name, text)
    ends = f"{low}–{high}" if low and high else f"≥ {low}" if low else f"≤ {high}"
    return f"{RANGES[name][0]} {ends}"


def address(query: Query) -> str:
    """Return the URL of a search, without empty parameters."""
    values = {f.name: getattr(query, f.name) for f in fields(query)}
    values["pictures"] = WITH_PICTURES if query.pictures else ""
    if values["sort"] == ("relevance" if query.q else "new"):
        values["sort"] = ""
    kept = {name: value for name, value in values.items() if value}
    return reverse("browse") + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def chips(query: Query) -> list[Chip]:
    """Return the filters in use; each of several values of one has a chip."""
    found = [Chip(f"“{query.q}”", address(replace(query, q="")))] if query.q else []
    for name, label in LABELS.items():
        value: Any = getattr(query, name)
        several = value if name in SEVERAL else ()
        for one in several or ([value] if value else []):
            rest: Any = (
                tuple(other for other in several if other != one) if several else type(value)()
            )
            found.append(Chip(label(one), address(replace(query, **{name: rest}))))
    return found


def facet_list(found: Mapping[str, facets.Facet], query: Query) -> list[Facet]:
    """Return the filters that have a choice, or that are in use."""
    special = {PERMISSION: _permissions} if query.maturity else _SPECIAL
    with_choice = facets.with_choice() | MANY if chips(query) else frozenset[str]()
    if RATING in with_choice and RATING in special:
        special = {**special, RATING: partial(_up_to, has_choice=True)}
    shown = [
        replace(
            special.get(name, partial(_facet, name))(query, found[name]),
            has_choice=name in with_choice,
        )
        for name in TITLES
        if name in found
    ]
    choices = [one for one in shown if one.is_useful]
    chosen = WITH_PICTURES if query.pictures else ""
    pictures = Option(WITH_PICTURES, _("With pictures"), is_chosen=query.pictures)
    return [*choices, Facet("pictures", _("Pictures"), chosen, [pictures])]


def _facet(name: str, query: Query, found: facets.Facet) -> Facet:
    """Return a filter; its options always include the chosen value."""
    value, label = getattr(query, name), LABELS[name]
    chosen = value if name in SEVERAL else [value] if value else []
    most = MAX_SHOWN if name in MANY else None
    numbers = dict(found.values[:most])
    absent = [one for one in chosen if one not in numbers]
    options = [
        *(Option(one, label(one), is_chosen=True) for one in absent),
        *(
            Option(one, label(one), one in chosen, _number(number, is_capped=found.is_capped))
            for one, number in numbers.items()
        ),
    ]
    return Facet(name, str(TITLES[name]), value, options)


def _permissions(query: Query, found: facets.Facet) -> Facet:
    """Return the filter by permissions; the values found are sets of permissions."""
    options = []
    for one, label in PERMISSIONS.items():
        wanted, is_chosen = {one, *query.permission}, one in query.permission
        number = sum(n for value, n in found.values if wanted <= set(value.split("+")))
        if number or is_chosen:
            text = _number(number, is_capped=found.is_capped)
            options.append(Option(one, str(label), is_chosen, text))
    return Facet(PERMISSION, str(TITLES[PERMISSION]), query.permission, options)


def _up_to(query: Query, found: facets.Facet, *, has_choice: bool = False) -> Facet:
    """Return the filter by the highest content rating; without a choice, it has no options."""
    counts = dict(found.values)
    levels = UP_TO if query.max_maturity or len(counts) > 1 or (has_choice and counts) else {}
    options = [
        Option(
            level.value,
            str(label),
            level == query.max_maturity,
            _number(
                sum(counts.get(one, 0) for one in level.up_to),
                is_capped=found.is_capped,
            ),
        )
        for level, label in levels.items()
    ]
    return Facet("max_maturity", str(TITLES[RATING]), query.max_maturity, options)


#: Filters whose options are not the values that adapters have.
_SPECIAL = {PERMISSION: _permissions, RATING: _up_to}


def values_with(
    text: str, name: str, query: Query, found: facets.Facet, known: Sequence[str]
) -> Facet:
    """Return a filter whose values contain a text: those of the results first, with their counts.

    Args:
        text: Part of the values; "" for the most frequent ones.
        name: The filter.
        query: The current search.
        found: Values of the results.
        known: Values of all adapters that contain the text.
    """
    if not text:
        return _facet(name, query, found)
    text = text.casefold()
    there = [(value, number) for value, number in found.values if text in value.casefold()]
    facet = _facet(name, query, replace(found, values=there))
    shown = {option.value for option in facet.options}
    is_whole = not found.is_capped and len(found.values) < facets.MAX_OF_MANY
    if name in SEVERAL and facet.chosen and is_whole:
        known = ()  # no adapter has them together with the chosen ones
    others = [Option(value, value, is_chosen=False) for value in known if value not in shown]
    most = max(MAX_OPEN, sum(option.is_chosen for option in facet.options))
    return replace(facet, options=[*facet.options, *others][:most])


def sorts(query: Query) -> list[Option]:
    """Return the sort orders. The first one has no value: it depends on whether there are words."""
    default = "relevance" if query.q else "new"
    others = [name for name in SORTS if name not in {default, "relevance"}]
    chosen = query.sort if query.sort in others else ""
    named = {"": SORTS[default], **{name: SORTS[name] for name in others}}
    return [Option(value, str(label), value == chosen) for value, label in named.items()]


def count_text(total: facets.Total) -> str:
    """Return the number of adapters that a query finds, as text."""
    text = ngettext("%(n)s adapter", "%(n)s adapters", total.adapters)
    return text % {"n": _number(total.adapters, is_capped=total.is_capped)}


def _number(adapters: int, *, is_capped: bool) -> str:
    """Return a number of adapters, with a plus sign if there are more."""
    return f"{count(adapters)}+" if is_capped else count(adapters)
