"""Translates query words into expressions of the full-text index (``registry.search.schema``)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db import connection, connections, router
from django.db.models.expressions import RawSQL

from registry.models import SearchDocument
from registry.search import words
from registry.search.schema import ANYWHERE, COLUMNS, INDEX, LETTERS, TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import QuerySet

    from registry.models import Adapter
    from registry.search.syntax import Word

#: SQL that selects ids of rows, with its parameters; None for no rows.
Among = tuple[str, tuple[Any, ...]] | None

# Expressions are parameters; the rest of the statements are constants and Django's own SQL.
_MATCHES = {
    "sqlite": f"SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s",  # noqa: S608 - see above
    "postgresql": f"SELECT adapter_id FROM {TABLE} WHERE words @@ %s::tsquery",  # noqa: S608 - see above
}

#: PostgreSQL finds all matches through the index of words.
_HITS = (
    f"WITH hits AS MATERIALIZED (SELECT adapter_id AS id FROM {TABLE} WHERE words @@ %s::tsquery)"  # noqa: S608 - see above
)
#: Documents, the newest, that show PostgreSQL how frequent a word is.
SAMPLE = 10_000
#: Documents that may be read without counting the matches; and the reserve for a sample's error.
MANY, MARGIN = 10 * SAMPLE, 1.25


def expression(
    wanted: Sequence[Word], unwanted: Sequence[Word] = (), columns: Sequence[str] = COLUMNS
) -> str:
    """Return the expression for adapters that contain words.

    Args:
        wanted: Words that must all occur, at least one.
        unwanted: Words that must not occur in any column.
        columns: Columns to search for words that have no column of their own.
    """
    return _without([_one(word, columns) for word in wanted], unwanted)


def as_exact(text: str, unwanted: Sequence[Word] = ()) -> str:
    """Return the expression for adapters whose title or name equals a text."""
    word = words.as_one(words.split(text))
    is_sqlite = connection.vendor == "sqlite"
    found = f'exact : "{word}"' if is_sqlite else f"'{LETTERS['exact']}{word}'"
    return _without([found], unwanted)


def _without(found: Sequence[str], unwanted: Sequence[Word]) -> str:
    others = [_one(word, COLUMNS) for word in unwanted]
    if connection.vendor == "sqlite":
        return "".join([f"({' AND '.join(found)})", *(f" NOT {other}" for other in others)])
    return " & ".join([*found, *(f"!{other}" for other in others)])


def _one(word: Word, columns: Sequence[str]) -> str:
    return (_fts if connection.vendor == "sqlite" else _tsquery)(word, columns)


def subquery(text: str) -> RawSQL:
    """Return a subquery for the ids of adapters that match an expression."""
    return RawSQL(_MATCHES[connection.vendor], [text])  # noqa: S611 - the text is a parameter


def among(rows: QuerySet[Adapter]) -> Among:
    """Return the SQL of a queryset and its parameters, so that several searches can use it."""
    try:
        return rows.order_by().values("id").query.sql_with_params()
    except EmptyResultSet:
        return None


def ids(rows: Among, text: str, limit: int, newest: Sequence[int] = ()) -> list[int]:
    """Return the highest ids of rows that match an expression.

    Args:
        rows: Result of ``among``.
        text: The expression.
        limit: Maximum number of ids.
        newest: The highest ids of rows that match a wider expression, if they are known.
    """
    if rows is None:
        return []
    inner, values = rows
    if connection.vendor == "sqlite":
        # The index is read in the order of ids until enough rows are found.
        sql = f"{_MATCHES['sqlite']} AND {_is_among(inner, f'{INDEX}.rowid')}"
        return _first_column(f"{sql} ORDER BY rowid DESC LIMIT %s", [text, *values, limit])
    return _ids_of_postgresql(inner, text, values, limit, newest)


def _is_among(inner: str, column: str) -> str:
    return f"EXISTS (SELECT 1 FROM ({inner}) AS found WHERE found.id = {column})"  # noqa: S608 - Django's


def _ids_of_postgresql(
    inner: str, text: str, values: Sequence[Any], limit: int, newest: Sequence[int]
) -> list[int]:
    """Return the highest ids of rows that match an expression.

    PostgreSQL can read all matches through the index of words, or all documents in the order of ids
    until enough of them match. For several words it chooses by a guess, which may take seconds. So
    the choice is made here: by how many of the newest documents match.

    Args:
        inner: Query of the ids of the rows.
        text: The expression.
        values: Parameters of the query.
        limit: How many ids.
        newest: See ``ids``. Looking them up takes less time than reading all documents between.
    """
    matches = f"{_MATCHES['postgresql']} AND adapter_id > %s AND adapter_id <= %s"
    walk = f"{matches} AND {_is_among(inner, 'adapter_id')} ORDER BY adapter_id DESC LIMIT %s"
    [last] = _first_column(f"SELECT COALESCE(MAX(adapter_id), 0) FROM {TABLE}", [])  # noqa: S608 - constants
    if newest := newest[:SAMPLE]:
        start = newest[-1] - 1
        found = ids_among(newest, text)[:limit]
    else:
        start = last - SAMPLE
        found = _first_column(walk, [text, start, last, *values, limit])
    if len(found) == limit or start <= 0:
        return found
    # How many documents have to be read for enough rows, if all are like the newest.
    documents = (last - start) * limit / len(found) if found else math.inf
    if documents < MANY:
        end = last - round(MARGIN * documents)
        found += _first_column(walk, [text, end, start, *values, limit - len(found)])
        start = end
        if len(found) == limit or start <= 0:
            return found
    sample = [text, last - SAMPLE, last]
    [hits] = _first_column(f"SELECT COUNT(*) FROM ({matches}) AS found", sample)  # noqa: S608 - constants
    if documents < last / SAMPLE * hits:  # which is how many match the expression
        return found + _first_column(walk, [text, 0, start, *values, limit - len(found)])
    return _first_column(
        f"{_HITS} SELECT id FROM (SELECT id FROM hits ORDER BY id DESC) AS hits"  # noqa: S608 - see above
        f" WHERE {_is_among(inner, 'hits.id')} ORDER BY hits.id DESC LIMIT %s",
        [text, *values, limit],
    )


def ids_among(known: Sequence[int], text: str) -> list[int]:
    """Return the given ids that match an expression, highest first."""
    if not known:
        return []
    matches = _MATCHES[connection.vendor]
    if connection.vendor != "sqlite":
        # A list of values would make PostgreSQL read all matches through the index of words.
        sql = f"{matches} AND adapter_id IN (SELECT unnest(%s::integer[])) ORDER BY adapter_id DESC"
        return _first_column(sql, [text, list(known)])
    marks = ", ".join(["%s"] * len(known))
    # Without the sign, FTS5 would search once for each id.
    return _first_column(f"{matches} AND +rowid IN ({marks}) ORDER BY rowid DESC", [text, *known])


def _reader() -> BaseDatabaseWrapper:
    """Return the connection that querysets read from."""
    return connections[router.db_for_read(SearchDocument)]


def _first_column(sql: str, values: Sequence[Any]) -> list[int]:
    return [row[0] for row in _rows(sql, values)]


def _rows(sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with _reader().cursor() as cursor:
        cursor.execute(sql, list(values))
        return list(cursor.fetchall())


def count(text: str, most: int) -> int:
    """Return how many adapters match an expression, up to a maximum."""
    with _reader().cursor() as cursor:
        inner = f"{_MATCHES[connection.vendor]} LIMIT %s"
        cursor.execute(f"SELECT COUNT(*) FROM ({inner}) AS found", [text, most])  # noqa: S608 - constants
        return int(cursor.fetchone()[0])


def ways(word: Word) -> list[tuple[Sequence[str], bool]]:
    """Return the word sequences that match a word, and whether the last one is a prefix."""
    *before, last = word.parts
    ends = words.unfinished(word.raw) if word.is_unfinished else (last,)
    found: list[tuple[Sequence[str], bool]] = [((*before, end), word.is_unfinished) for end in ends]
    if before and not word.is_phrase:
        found.append(((words.as_one(word.parts),), word.is_unfinished))
    return found


def _fts(word: Word, columns: Sequence[str]) -> str:
    each = [f'"{" ".join(parts)}"{" *" if is_open else ""}' for parts, is_open in ways(word)]
    text = f"({' OR '.join(each)})"
    if not word.column and columns == COLUMNS:
        return text  # all columns; faster than listing them
    return f"({{{word.column or ' '.join(columns)}}} : {text})"


def _tsquery(word: Word, columns: Sequence[str]) -> str:
    if word.column:
        letters = [LETTERS[word.column]]
    else:
        letters = [ANYWHERE] if columns == COLUMNS else [LETTERS[name] for name in columns]
    each = []
    for parts, is_open in ways(word):
        for letter in letters:
            *before, last = [f"'{letter}{part}'" for part in parts]
            each.append(f"({' <-> '.join([*before, last + (':*' if is_open else '')])})")
    return f"({' | '.join(each)})"
