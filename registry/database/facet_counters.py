"""Counters of the values of listed adapters, kept by database triggers.

```
adapters, their tags ──trigger──▶ FacetChange ──fold──▶ FacetCount
```

Triggers run in the transaction of a change, whoever makes it, so that counters and rows agree after
a crash as well. They only insert: if they updated counters, publications would wait for each other,
and some would end as deadlocks. ``registry.database.guards`` creates and removes them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections, transaction

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

PREFIX = "lorary_count_"
#: Changes that are moved into the counters in one transaction.
FOLDED_AT_ONCE = 5000

RATING = "maturity"
#: The value is a set of permissions, ``commercial+changes``.
PERMISSION = "permission"
#: Field → column of the adapter.
COLUMNS = {
    "family": "family",
    "kind": "kind",
    "lineage": "lineage",
    "method": "algorithm",
    RATING: "maturity",
    "licence": "licence",
    PERMISSION: "permissions",
    "parts": "parts",
    "trainer": "trainer",
}
#: Changes from which on a write moves them; until then lists read them.
FOLDED_FROM = 500
#: Table of the counters.
COUNTS = "registry_facetcount"
#: The number of listed adapters; its value is empty.
TOTAL = "total"
#: The value is the id of the namespace.
OWNER = "owner"
TAG = "tag"

_ADAPTER, _TAGS = "registry_adapter", "registry_adapter_tags"
#: Columns that decide whether an adapter is listed.
_LISTED_BY = (
    "visibility", "blocked_reason", "withdrawn_reason", "latest_version_id", "published_at",
)  # fmt: skip


def is_listed(row: str) -> str:
    """Return the SQL condition that everybody finds an adapter (``AdapterQuerySet.listed_for``)."""
    return (
        f"""({row}."visibility" = 'public' AND {row}."blocked_reason" = ''"""
        f""" AND {row}."withdrawn_reason" = '' AND {row}."latest_version_id" IS NOT NULL"""
        f""" AND {row}."published_at" IS NOT NULL)"""
    )


@dataclass(frozen=True, slots=True)
class CountingTrigger:
    """A trigger that inserts changes of counters.

    Attributes:
        name: Short name, unique.
        table: The table that is watched.
        event: INSERT, UPDATE or DELETE.
        statement: What it runs; understood by both databases.
        columns: Columns whose change counts; empty for INSERT and DELETE.
    """

    name: str
    table: str
    event: str
    statement: str
    columns: tuple[str, ...] = ()

    @property
    def trigger(self) -> str:
        """Name of its trigger, which contains a digest of the statement."""
        parts = "\n".join([self.table, self.event, self.statement, *self.columns])
        return f"{PREFIX}{self.name}_{hashlib.sha256(parts.encode()).hexdigest()[:8]}"

    def sql(self, vendor: str) -> str:
        """Return the statement that creates it."""
        named = ", ".join(f'"{column}"' for column in self.columns)
        event = f"{self.event} OF {named}" if named else self.event
        begun = f'CREATE TRIGGER "{self.trigger}" AFTER {event} ON "{self.table}" FOR EACH ROW'
        if vendor == "sqlite":
            return f"{begun} BEGIN {self.statement}; END"
        return f"""
            CREATE OR REPLACE FUNCTION "{self.trigger}"() RETURNS trigger
            LANGUAGE plpgsql AS $count$ BEGIN
                {self.statement};
                RETURN NULL;
            END $count$;
            {begun} EXECUTE FUNCTION "{self.trigger}"();
        """


def _fields(row: str) -> dict[str, str]:
    """Return field → expression of its value, for an adapter."""
    columns = {field: f'{row}."{column}"' for field, column in COLUMNS.items()}
    return {**columns, TOTAL: "''", OWNER: f'CAST({row}."namespace_id" AS text)'}


def _values(row: str, sign: int) -> str:
    """Return a query of the values of an adapter, if it is listed, with a sign for each."""
    listed = is_listed(row)
    own = [
        f"SELECT '{field}' AS f, {value} AS v, {sign} AS d WHERE {listed}"
        for field, value in _fields(row).items()
    ]
    tags = (
        f'SELECT \'{TAG}\', t."name", {sign} FROM "{_TAGS}" AS m '  # noqa: S608 - see above
        f'JOIN "registry_tag" AS t ON t."id" = m."tag_id" '
        f'WHERE m."adapter_id" = {row}."id" AND {listed}'
    )
    return " UNION ALL ".join([*own, tags])


def _inserted(*queries: str) -> str:
    """Return the statement that inserts the sums of values that changed."""
    return (
        'INSERT INTO "registry_facetchange" ("field", "value", "delta") '  # noqa: S608 - see above
        f"SELECT s.f, s.v, SUM(s.d) FROM ({' UNION ALL '.join(queries)}) AS s "
        f"WHERE s.v <> '' OR s.f = '{TOTAL}' GROUP BY s.f, s.v HAVING SUM(s.d) <> 0"
    )


def _tagged(row: str, sign: int) -> str:
    """Return the statement that inserts the change of one tag of an adapter."""
    return (
        'INSERT INTO "registry_facetchange" ("field", "value", "delta") '  # noqa: S608 - see above
        f'SELECT \'{TAG}\', t."name", {sign} FROM "{_ADAPTER}" AS a, "registry_tag" AS t '
        f'WHERE a."id" = {row}."adapter_id" AND t."id" = {row}."tag_id" AND {is_listed("a")}'
    )


COUNTERS: tuple[CountingTrigger, ...] = (
    CountingTrigger("added", _ADAPTER, "INSERT", _inserted(_values("NEW", 1))),
    CountingTrigger(
        "changed", _ADAPTER, "UPDATE", _inserted(_values("OLD", -1), _values("NEW", 1)),
        (*COLUMNS.values(), "namespace_id", *_LISTED_BY),
    ),
    CountingTrigger("removed", _ADAPTER, "DELETE", _inserted(_values("OLD", -1))),
    CountingTrigger("tag_added", _TAGS, "INSERT", _tagged("NEW", 1)),
    CountingTrigger("tag_removed", _TAGS, "DELETE", _tagged("OLD", -1)),
)  # fmt: skip


def _counted() -> str:
    """Return the query of all counters, over all adapters: field, value, count."""
    own = [
        f"SELECT '{field}' AS f, {value} AS v, COUNT(*) AS d "  # noqa: S608 - see above
        f'FROM "{_ADAPTER}" AS a '
        f"WHERE {is_listed('a')} AND ('{field}' = '{TOTAL}' OR {value} <> '') GROUP BY 2"
        for field, value in _fields("a").items()
    ]
    tags = (
        f'SELECT \'{TAG}\', t."name", COUNT(*) FROM "{_TAGS}" AS m '  # noqa: S608 - see above
        f'JOIN "{_ADAPTER}" AS a ON a."id" = m."adapter_id" '
        f'JOIN "registry_tag" AS t ON t."id" = m."tag_id" WHERE {is_listed("a")} GROUP BY 2'
    )
    return " UNION ALL ".join([*own, tags])


#: What the counters lack, as changes to add. One statement, so that it sees one state.
_LACKING = f"""
    SELECT s.f, s.v, SUM(s.d) FROM (
        {_counted()}
        UNION ALL SELECT "field", "value", -"count" FROM "registry_facetcount"
        UNION ALL SELECT "field", "value", -"delta" FROM "registry_facetchange"
    ) AS s GROUP BY s.f, s.v HAVING SUM(s.d) <> 0
"""  # noqa: S608 - words of this module
_REPAIR = f'INSERT INTO "registry_facetchange" ("field", "value", "delta") {_LACKING}'
_CHOSEN = 'SELECT "id" FROM "registry_facetchange" ORDER BY "id" LIMIT %s'
_TAKE = 'DELETE FROM "registry_facetchange" WHERE "id" IN ({}) RETURNING "field", "value", "delta"'
#: About how many changes there are, by two look-ups in the index.
_PENDING = """
    SELECT (SELECT MAX("id") FROM "registry_facetchange")
         - (SELECT MIN("id") FROM "registry_facetchange") + 1
"""
_ADD = """
    INSERT INTO "registry_facetcount" ("field", "value", "count") VALUES (%s, %s, %s)
    ON CONFLICT ("field", "value")
    DO UPDATE SET "count" = "registry_facetcount"."count" + EXCLUDED."count"
"""


def can_count(connection: BaseDatabaseWrapper) -> bool:
    """Whether a database has the tables and columns that the triggers need."""
    with connection.cursor() as cursor:
        if COUNTS not in connection.introspection.table_names(cursor):
            return False
        there = connection.introspection.get_table_description(cursor, _ADAPTER)
    return {*COLUMNS.values()} <= {column.name for column in there}


def lacking(connection: BaseDatabaseWrapper) -> list[tuple[str, str, int]]:
    """Return what the counters lack: field, value, difference; reads all adapters."""
    with connection.cursor() as cursor:
        cursor.execute(_LACKING)
        return [(field, value, int(count)) for field, value, count in cursor.fetchall()]


def repair(connection: BaseDatabaseWrapper) -> int:
    """Correct the counters, and return how many were wrong; adapters may change meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(_REPAIR)
        wrong: int = cursor.rowcount
    fold(connection)
    return wrong


def fold(connection: BaseDatabaseWrapper) -> int:
    """Move changes into the counters, and return how many; safe to run at any time."""
    folded = 0
    while count := _fold(connection):
        folded += count
    return folded


def fold_if_many(connection: BaseDatabaseWrapper) -> None:
    """Move changes into the counters if lists would become slow by reading them."""
    with connection.cursor() as cursor:
        cursor.execute(_PENDING)
        pending = cursor.fetchone()[0] or 0
    if pending >= FOLDED_FROM:
        fold(connection)


def fold_soon() -> None:
    """Have changes moved into the counters after the commit, if there are many."""
    transaction.on_commit(lambda: fold_if_many(connections[DEFAULT_DB_ALIAS]), robust=True)


def _fold(connection: BaseDatabaseWrapper) -> int:
    """Move the oldest changes, except those that another process is moving."""
    is_postgresql = connection.vendor == "postgresql"
    chosen = f"{_CHOSEN} FOR UPDATE SKIP LOCKED" if is_postgresql else _CHOSEN
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(_TAKE.format(chosen), [FOLDED_AT_ONCE])
        changes = cursor.fetchall()
        sums = Counter[tuple[str, str]]()
        for field, value, delta in changes:
            sums[field, value] += delta
        # In order, so that two processes do not wait for each other.
        cursor.executemany(_ADD, [(*key, delta) for key, delta in sorted(sums.items()) if delta])
        cursor.execute('DELETE FROM "registry_facetcount" WHERE "count" = 0')
    return len(changes)
