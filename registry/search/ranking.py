"""Ranks matches by relevance, page by page.

A match scores by the most significant place in which all words occur: whole title or name, part of
the name, trigger words, tags and base model, summary, card. Downloads and a recent publication add
points, at most one and a half steps between places. Up to ``LORARY_MAX_COUNTED`` matches are all
ranked. If there are more, ``MAX_RANKED`` of them are, so that a frequent word takes no longer than
a rare one: those in the most significant places, newest first. Other orders list all matches.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import FloatField
from django.db.models.expressions import RawSQL
from django.utils import timezone
from django.utils.translation import gettext as _

from registry.database.compiled_queries import as_list, listed
from registry.errors import CursorInvalid
from registry.models import SearchDocument
from registry.search import index, words
from registry.search.schema import COLUMNS, TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.search.matching import Found
    from registry.search.syntax import Word

#: Number of candidates that are ranked if there are more than ``LORARY_MAX_COUNTED`` matches.
MAX_RANKED = 240
#: Points if the title or name equals the query.
EXACT = 7.0
#: Columns that may contain a word → points; a word in none of them is in the card.
LEVELS = (
    (5.0, ("exact", "name")),
    (4.0, ("triggers",)),
    (3.0, ("tags", "base", "kind", "owner")),
    (2.0, ("summary",)),
)
IN_NAME, IN_CARD = LEVELS[0][0], 1.0
_OF_ADAPTER = [f"adapter__{field}" for field in ("title", "name", "downloads", "published_at")]
#: Vendor → functions that find a text in another one, and that return the smallest number.
_FUNCTIONS = {"sqlite": ("instr", "MIN"), "postgresql": ("strpos", "LEAST")}
#: Points deducted for an unfinished word that only matches the beginning of a word.
UNFINISHED = 0.5
#: Maximum points for a name without further words, for downloads (reached at 10,000), for recency.
BREVITY, POPULARITY, FRESHNESS = 0.5, 1.0, 0.5
MOST_DOWNLOADS, HALF_LIFE_DAYS = 10_000, 180


@dataclass(frozen=True, slots=True)
class Place:
    """The start of a page: after this score and id, as ranked on a day."""

    score: float
    pk: int
    day: int


def page(found: Found, *, cursor: str, limit: int) -> tuple[list[int], str]:
    """Return the ids of a page, best first, and the cursor of the next page; "" on the last page.

    Raises:
        CursorInvalid: the cursor is not from this list.
    """
    place = _read(cursor) if cursor else None
    day = place.day if place else timezone.now().date().toordinal()
    ranked = sorted(_scored(found, day), reverse=True)
    if place is not None:
        ranked = [one for one in ranked if one < (place.score, place.pk)]
    last = ranked[limit - 1] if len(ranked) > limit else None
    ids = [pk for _score, pk in ranked[:limit]]
    return ids, _written(Place(*last, day)) if last else ""


def _scored(found: Found, day: int) -> Iterator[tuple[float, int]]:
    parts = sum(len(word.parts) for word in found.plain)
    rows = SearchDocument.objects.filter(pk__in=listed(as_list(_candidates(found)))).order_by()
    columns = rows.annotate(points=_points(found)).values_list("pk", "points", *_OF_ADAPTER)
    for pk, points, title, name, downloads, published in columns:
        if points >= IN_NAME - UNFINISHED:
            points += BREVITY * min(1.0, parts / max(1, len((title or name).split())))  # noqa: PLW2901 - a sum
        yield round(points + _popularity(downloads) + _freshness(published, day), 4), pk


def _points(found: Found) -> RawSQL:
    """Return the points of a document, computed in SQL, so that the words are not fetched."""
    each, values = list[str](), list[str]()
    for word in found.plain:
        case, texts = _points_of(word)
        each.append(case)
        values += texts
    least = each[0] if len(each) == 1 else f"{_FUNCTIONS[connection.vendor][1]}({', '.join(each)})"
    if _has_exact(found):
        exact = f" {words.as_one(words.split(_text(found)))} "
        least = f"CASE WHEN {_holds(['exact'])} THEN {EXACT} ELSE {least} END"
        values.insert(0, exact)
    return RawSQL(f"CAST({least} AS double precision)", values, FloatField())  # noqa: S611 - texts are parameters


def _points_of(word: Word) -> tuple[str, list[str]]:
    """Return the expression for the most significant place of a word, and its parameters."""
    ways = [" ".join(parts) for parts, _is_open in index.ways(word)]
    whole = [f" {text} " for text in ways]
    beginnings = [f" {text}" for text in ways] if word.is_unfinished else []
    cases, values = list[str](), list[str]()
    for points, columns in LEVELS:
        names = [name for name in columns if word.column in ("", name)]
        for texts, cost in ((whole, 0.0), (beginnings, UNFINISHED)):
            if names and texts:
                found = " OR ".join([_holds(names)] * len(texts))
                cases.append(f"WHEN {found} THEN {points - cost}")
                values += texts
    return f"CASE {' '.join(cases)} ELSE {IN_CARD} END", values


def _holds(columns: Sequence[str]) -> str:
    """Return the condition that one of some columns contains a text surrounded by spaces."""
    between = f" || ' {words.BOUNDARY} ' || "
    text = between.join(f'"{TABLE}"."{column}"' for column in columns)
    return f"{_FUNCTIONS[connection.vendor][0]}(' ' || {text} || ' ', %s) > 0"


def _popularity(downloads: int) -> float:
    return POPULARITY * min(1.0, math.log1p(downloads) / math.log1p(MOST_DOWNLOADS))


def _freshness(published: datetime | None, day: int) -> float:
    if published is None:
        return 0.0
    age = max(0, day - published.astimezone(UTC).date().toordinal())
    return FRESHNESS * math.exp2(-age / HALF_LIFE_DAYS)


def _candidates(found: Found) -> list[int]:
    """Return the ids to rank: all matches, or the most significant ones if too many."""
    if not found.is_cut:
        return list(found.newest)
    unwanted, ids = found.parsed.unwanted, dict[int, None]()
    if _has_exact(found):
        exact = index.as_exact(_text(found), unwanted)
        ids |= dict.fromkeys(index.ids(found.candidates, exact, MAX_RANKED))
    for last in ("name", "owner"):
        if len(ids) >= MAX_RANKED:
            break
        columns = COLUMNS[: COLUMNS.index(last) + 1]
        text = index.expression(found.plain, unwanted, columns)
        ids |= dict.fromkeys(index.ids(found.candidates, text, MAX_RANKED, found.newest))
    return list(ids | dict.fromkeys(found.newest))[:MAX_RANKED]


def _has_exact(found: Found) -> bool:
    return not any(word.column for word in found.plain)


def _text(found: Found) -> str:
    return " ".join(word.text for word in found.plain)


def _written(place: Place) -> str:
    text = json.dumps(["relevance", place.score, place.pk, place.day])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read(cursor: str) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found: Any = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        order, score, pk, day = found
        place = Place(float(score), int(pk), int(day))
        is_from_here = order == "relevance" and math.isfinite(place.score) and place.day > 0
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CursorInvalid(_("Start again from the first page.")) from error
    if not is_from_here:
        raise CursorInvalid(_("Start again from the first page."))
    return place
