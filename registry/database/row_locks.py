"""Locks on rows that last until the end of the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

    Row = TypeVar("Row", bound=Model)


def locked(rows: QuerySet[Row]) -> QuerySet[Row]:
    """Return the rows locked against changes, such that two transactions do not deadlock.

    Several rows are locked in the order of their keys. References to them can still be written:
    PostgreSQL checks the foreign keys of a transaction when it commits, in an order of its own, and
    would wait there for the lock of a row that may be deleted. SQLite has one writer at a time and
    locks no rows.

    Source: PostgreSQL's manual, "Row-Level Locks".
    """
    return rows.select_for_update(no_key=True).order_by("pk")
