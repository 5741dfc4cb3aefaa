"""Locks on rows that last until the end of the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    Row = TypeVar("Row", bound=Model)


def locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Return the rows, locked against changes in the order of their keys.

    Transactions that lock the same rows thus wait instead of ending in a deadlock. Of different
    models, lock adapters first, then blobs, then namespaces, then users.

    References to the rows can still be written (``FOR NO KEY UPDATE``). PostgreSQL checks foreign
    keys at the commit, where it would wait for rows that are locked by ``FOR UPDATE``. SQLite has
    one writer at a time and locks no rows.

    Source: PostgreSQL's manual, "Row-Level Locks".
    """
    return rows.select_for_update(no_key=True).order_by("pk")
