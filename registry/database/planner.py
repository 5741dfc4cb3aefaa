"""Statistics and settings by which the database plans queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: Rows of each index that SQLite reads: a fifth of a second for a million rows in all tables. A
#: smaller sample makes a kind, which a third of all adapters have, look as rare as a base model.
SAMPLE = 20_000


def refresh(connection: BaseDatabaseWrapper) -> None:
    """Have SQLite sample its tables; PostgreSQL does that by itself.

    Without statistics, SQLite reads and sorts all adapters for each page of a list. A migration
    that builds a table again loses them.

    Source: https://www.sqlite.org/lang_analyze.html
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA analysis_limit = {SAMPLE}")
            cursor.execute("ANALYZE")


def expect_short_queries(connection: BaseDatabaseWrapper) -> None:
    """Have PostgreSQL neither compile queries nor share them among processes, and use indexes.

    The first two pay off for queries that take seconds. Those of pages and lists take milliseconds,
    even if PostgreSQL expects much more: compiling one took longer than the query, and a second
    process doubled the CPU time.

    By default PostgreSQL expects that reading a page through an index costs four times as much as
    reading the next one, as on a hard disk. It then read all adapters with a filter's value, where
    the first thousand were enough.

    Source: PostgreSQL's manual, "When to JIT?", ``max_parallel_workers_per_gather`` and
    ``random_page_cost``.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SET jit = off; SET max_parallel_workers_per_gather = 0; SET random_page_cost = 1.1"
            )
