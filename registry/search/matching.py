"""Finds the adapters that match a query: their number, their order, and the corrected query."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection
from django.db.models import F, Q, Sum, Value
from django.db.models.functions import Concat
from django.db.models.lookups import In

from registry.blobs import by_hash
from registry.database.compiled_queries import as_list, listed
from registry.database.facet_counters import COLUMNS, RATING
from registry.models import Adapter, FacetCount, Maturity, NamespaceName, SearchDocument
from registry.names import key_of
from registry.search import index, spelling
from registry.search.syntax import Parsed, Word, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django.db.models import QuerySet

    from registry.search.index import Among
    from registry.search.syntax import Limit, Owner

#: Number of adapters from which a tag or a value counts as frequent.
FREQUENT = 5000
#: Maximum number of misspelt words of a query that are corrected.
MAX_CORRECTED = 3


def max_matches() -> int:
    """Return the maximum number of matches to count and rank; beyond it, pages show “1,000+”."""
    most: int = settings.LORARY.max_counted
    return most


@dataclass(frozen=True, slots=True)
class Found:
    """The adapters that match a query.

    Attributes:
        rows: The matching adapters, unordered.
        parsed: The query that matched: the original or the corrected one.
        candidates: The rows without the condition on words, for ``index.ids``.
        plain: The words that must occur and are not hashes.
        newest: The highest ids of matches, at most ``max_matches()`` + 1.
        corrected: Text of the corrected query; "" if the query was not corrected.
        holding: Adapter id → number of its version that has a hash of the query.
    """

    rows: QuerySet[Adapter]
    parsed: Parsed
    candidates: Among
    newest: tuple[int, ...]
    plain: tuple[Word, ...] = ()
    corrected: str = ""
    holding: Mapping[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of matches, at most ``max_matches()`` + 1."""
        return len(self.newest)

    @property
    def is_cut(self) -> bool:
        """Whether there are more than ``max_matches()``."""
        return self.total > max_matches()


def find(rows: QuerySet[Adapter], text: str, *, is_narrow: bool = False) -> Found:
    """Return the given adapters that match a query.

    If nothing matches because of misspelt words, the query is corrected.

    Args:
        rows: The adapters that the user can see.
        text: The query.
        is_narrow: Whether the rows may be few and found by an index, such as those of a tag or an
            owner.
    """
    parsed = parse(text)
    found = _matches(rows, parsed, is_narrow=is_narrow)
    if found.total or not parsed.wanted:
        return found
    corrected = correction(parsed)
    if corrected is None:
        return found
    other = _matches(rows, parse(corrected), is_narrow=is_narrow)
    return replace(other, corrected=corrected) if other.total else found


def _matches(rows: QuerySet[Adapter], parsed: Parsed, *, is_narrow: bool) -> Found:
    if parsed.is_empty:
        # A query of signs without words matches nothing; an empty query is not a search.
        kept = rows.none() if parsed.text.strip() else rows
        return Found(kept, parsed, None, tuple(_first_ids(kept)))
    limited, plain, holding = _limited(rows, parsed), list[Word](), dict[int, int]()
    for word in parsed.wanted:
        if held := _with_hash(word, limited):
            limited, is_narrow = limited.filter(pk__in=list(held)), True
            holding |= held
        else:
            plain.append(word)
    if not plain:
        for word in parsed.unwanted:
            limited = limited.exclude(pk__in=index.subquery(index.expression([word])))
    is_narrow = is_narrow or any(not owner.is_excluded for owner in parsed.owners)
    candidates = index.among(limited)
    few = _first_ids(limited) if is_narrow or not plain else None
    words, newest = _newest(candidates, few, plain, parsed.unwanted)
    found = Found(limited, parsed, candidates, tuple(newest), tuple(words), holding=holding)
    if not found.is_cut:
        return replace(found, rows=rows.filter(pk__in=listed(as_list(newest))))
    return replace(found, rows=_walked(limited, plain, parsed.unwanted)) if plain else found


def _walked(
    rows: QuerySet[Adapter], plain: Sequence[Word], unwanted: Sequence[Word]
) -> QuerySet[Adapter]:
    """Return the rows with frequent words, to be read in the order of another index."""
    matching = index.subquery(index.expression(plain, unwanted))
    if connection.vendor != "sqlite":
        return rows.filter(pk__in=matching)
    # SQLite would look up every match by its id and sort them. Writing the id as a sum prevents
    # this: SQLite then reads the index of the sort order until the page is full.
    hidden = rows.alias(pk_plus_nothing=F("pk") + 0)
    return hidden.filter(pk_plus_nothing__in=matching)


def _newest(
    candidates: Among, few: list[int] | None, plain: Sequence[Word], unwanted: Sequence[Word]
) -> tuple[Sequence[Word], list[int]]:
    """Return the words that were searched, and up to ``max_matches()`` + 1 of the highest ids.

    Args:
        candidates: The rows without the condition on words.
        few: The first ids of these rows, if there may be few.
        plain: The words.
        unwanted: Words that must not occur.
    """
    most = max_matches() + 1
    if few is not None and not plain:
        return plain, few
    if few is not None and len(few) < most:
        return plain, index.ids_among(few, index.expression(plain, unwanted))
    if any(word.is_unfinished for word in plain):
        # Whole words are faster to find, and rank higher. If there are enough, no others are
        # ranked.
        whole = [replace(word, is_unfinished=False) for word in plain]
        found = index.ids(candidates, index.expression(whole, unwanted), most)
        if len(found) == most:
            return whole, found
    return plain, index.ids(candidates, index.expression(plain, unwanted), most)


def _first_ids(rows: QuerySet[Adapter]) -> list[int]:
    return list(rows.order_by("-pk").values_list("pk", flat=True)[: max_matches() + 1])


def _limited(rows: QuerySet[Adapter], parsed: Parsed) -> QuerySet[Adapter]:
    """Apply the limits and owners of a query."""
    for limit in parsed.limits:
        if limit.field == "rating":
            rows = rows.filter(one_of(RATING, _ratings(limit)))
            continue
        condition = within(limit, has_words=bool(parsed.wanted))
        rows = rows.exclude(condition) if limit.is_excluded else rows.filter(condition)
    for owner in parsed.owners:
        condition = _of(owner)
        rows = rows.exclude(condition) if owner.is_excluded else rows.filter(condition)
    return rows


def within(limit: Limit, *, has_words: bool) -> Q:
    """Return the condition for a range.

    With words, the words are found first, and the version of each match is looked up; without, the
    index of the range is read.
    """
    column = "rank" if limit.field == "rank" else "size_bytes"
    ends = {f"{column}__gte": limit.low, f"{column}__lte": limit.high}
    ends = {name: value for name, value in ends.items() if value is not None}
    if has_words:
        return Q(**{f"latest_version__{name}": value for name, value in ends.items()})
    return Q(pk__in=SearchDocument.objects.filter(**ends).values("pk"))


def _ratings(limit: Limit) -> list[Maturity]:
    """Return the content ratings inside a range, or those outside if it is excluded."""
    low, high = limit.low or 0, len(Maturity) if limit.high is None else limit.high
    return [one for one in Maturity if (low <= one.rank <= high) != limit.is_excluded]


def one_of(field: str, values: Sequence[str]) -> Q:
    """Return the condition for adapters that have one of these values in a field of ``COLUMNS``.

    Rare values are read through the index of the column. If they are frequent, the database reads
    the list in its sort order and filters by the column until the page is full.
    """
    column = COLUMNS[field]
    known = FacetCount.objects.filter(field=field, value__in=values).aggregate(n=Sum("count"))
    if (known["n"] or 0) < FREQUENT:
        return Q(pk__in=Adapter.objects.filter(**{f"{column}__in": values}).values("pk"))
    if connection.vendor != "sqlite":
        return Q(**{f"{column}__in": values})
    # SQLite would read all rows through the index and sort them; see ``_walked``.
    return Q(In(Concat(F(column), Value("")), values))


def _of(owner: Owner) -> Q:
    names = NamespaceName.objects.filter(key=key_of(owner.name))
    return Q(namespace__in=list(names.values_list("namespace", flat=True)))


def _with_hash(word: Word, adapters: QuerySet[Adapter]) -> dict[int, int]:
    """Return adapter id → number of its newest version with a hash, rather a published one."""
    found = None if word.column else by_hash.versions_with(word.text, adapters)
    if found is None:
        return {}
    rows = found.order_by("-state", "number").values_list("adapter", "number")
    return dict(rows[: max_matches()])


def correction(parsed: Parsed) -> str | None:
    """Return the text of a query with corrected words; None if there is nothing to correct."""
    text, is_changed = parsed.text, False
    spelt = [word for word in parsed.wanted if any(map(spelling.is_spelt, word.parts))]
    unknown = [word for word in spelt if not _occurs(word)][:MAX_CORRECTED]
    for word in reversed(unknown):  # from the end, so that earlier positions stay valid
        parts = [_corrected(part) for part in word.parts]
        if parts != list(word.parts):
            between = " " if word.is_phrase else "-"
            text = text[: word.start] + between.join(parts) + text[word.end :]
            is_changed = True
    return text if is_changed else None


def _occurs(word: Word) -> bool:
    # For a word without matches, PostgreSQL reads all rows to find the first, but not to find a
    # thousand.
    return index.count(index.expression([word]), max_matches()) > 0


def _corrected(part: str) -> str:
    """Return the most likely correction of a word, or the word itself."""
    if _occurs(_plain(part)):
        return part
    best = min(_ranked(part), default=None)
    return best[-1] if best else part


def _ranked(part: str) -> Iterator[tuple[int, bool, int, str]]:
    """Yield the candidates: fewest errors first, then same first letter, then most frequent."""
    for distance, other in spelling.similar(part):
        documents = index.count(index.expression([_plain(other)]), max_matches())
        if documents:
            yield distance, other[0] != part[0], -documents, other


def _plain(part: str) -> Word:
    return Word(text=part, start=0, end=len(part), parts=(part,), raw=part, is_phrase=True)
