"""The order of matches by relevance, page by page.

A match scores by the most telling place in which all words occur: title or name as a whole, in the
name, trigger words, tags and base model, summary, card. Downloads and a recent publication add to
it, at most as much as a step and a half. ``LORARY_MAX_COUNTED`` matches are all ranked. Of more,
``MAX_RANKED`` are, so that a frequent word takes no longer than a rare one: those from the most
telling places, the newest first. Other orders list all matches.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.translation import gettext as _

from registry.errors import CursorInvalid
from registry.models import SearchDocument
from registry.search import index, words
from registry.search.schema import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from registry.search.matching import Found
    from registry.search.syntax import Word

#: Candidates that are ranked if there are more than ``LORARY_MAX_COUNTED`` matches.
MAX_RANKED = 500
#: Points of a title or name that is the query.
EXACT = 7.0
#: Last column that may hold a word → points.
POINTS = {"name": 5.0, "triggers": 4.0, "owner": 3.0, "summary": 2.0, "card": 1.0}
#: Points → columns that are worth them; what is in none of them is in the card.
_LEVELS = [
    (value, COLUMNS[COLUMNS.index(before) + 1 : COLUMNS.index(last) + 1])
    for before, (last, value) in zip(("exact", *POINTS), list(POINTS.items())[:-1], strict=False)
]
_OF_ADAPTER = [f"adapter__{field}" for field in ("title", "name", "downloads", "published_at")]
#: Points that an unfinished word costs where it is only the beginning of a word.
UNFINISHED = 0.5
#: Most points of a name without further words, of downloads (reached at 10,000), of being new.
BREVITY, POPULARITY, FRESHNESS = 0.5, 1.0, 0.5
MOST_DOWNLOADS, HALF_LIFE_DAYS = 10_000, 180


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page starts: after this score and id, as ranked on a day."""

    score: float
    pk: int
    day: int


def page(found: Found, *, cursor: str, limit: int) -> tuple[list[int], str]:
    """Return the ids of a page, best first, and the cursor of the next page, "" on the last one.

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
    exact = f" {words.as_one(words.split(_text(found)))} " if _has_exact(found) else ""
    sought = [_Sought.of(word) for word in found.plain]
    parts = sum(len(word.parts) for word in found.plain)
    rows = SearchDocument.objects.filter(pk__in=_candidates(found)).order_by()
    for pk, title, name, downloads, published, *texts in rows.values_list(
        "pk", *_OF_ADAPTER, *COLUMNS[:-1]
    ):
        columns = {column: f" {text} " for column, text in zip(COLUMNS, texts, strict=False)}
        is_exact = bool(exact) and exact in columns["exact"]
        points = EXACT if is_exact else min(one.points_in(columns) for one in sought)
        if points >= POINTS["name"] - UNFINISHED:
            points += BREVITY * min(1.0, parts / max(1, len((title or name).split())))
        yield round(points + _popularity(downloads) + _freshness(published, day), 4), pk


@dataclass(frozen=True, slots=True)
class _Sought:
    """A word as it is looked for in the columns of a document.

    Attributes:
        whole: What stands there if it occurs, with the spaces around.
        beginnings: The same without the last space, for an unfinished word.
        levels: Points → columns to look in.
    """

    whole: tuple[str, ...]
    beginnings: tuple[str, ...]
    levels: tuple[tuple[float, tuple[str, ...]], ...]

    @classmethod
    def of(cls, word: Word) -> _Sought:
        """Return what to look for."""
        texts = [" ".join(parts) for parts, _is_open in index.ways(word)]
        levels = [
            (value, tuple(name for name in names if word.column in ("", name)))
            for value, names in _LEVELS
        ]
        return cls(
            tuple(f" {text} " for text in texts),
            tuple(f" {text}" for text in texts) if word.is_unfinished else (),
            tuple(levels),
        )

    def points_in(self, columns: Mapping[str, str]) -> float:
        """Return the points of its most telling place; what is in no other is in the card."""
        best = POINTS["card"]
        for value, names in self.levels:
            for name in names:
                text = columns[name]
                if any(one in text for one in self.whole):
                    return max(best, value)
                if any(one in text for one in self.beginnings):
                    best = max(best, value - UNFINISHED)
        return best


def _popularity(downloads: int) -> float:
    return POPULARITY * min(1.0, math.log1p(downloads) / math.log1p(MOST_DOWNLOADS))


def _freshness(published: datetime | None, day: int) -> float:
    if published is None:
        return 0.0
    age = max(0, day - published.astimezone(UTC).date().toordinal())
    return FRESHNESS * math.exp2(-age / HALF_LIFE_DAYS)


def _candidates(found: Found) -> list[int]:
    """Return the ids to rank: all matches, or of too many those in the most telling places."""
    if not found.is_cut:
        return list(found.newest)
    unwanted, ids = found.parsed.unwanted, dict[int, None]()
    texts = [index.as_exact(_text(found), unwanted)] if _has_exact(found) else []
    for last in ("name", "owner"):
        columns = COLUMNS[: COLUMNS.index(last) + 1]
        texts.append(index.expression(found.plain, unwanted, columns))
    for text in texts:
        ids |= dict.fromkeys(index.ids(found.candidates, text, MAX_RANKED))
        if len(ids) >= MAX_RANKED:
            break
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
