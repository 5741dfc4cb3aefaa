"""Bulk inserts of many rows into many tables, with memory for one batch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.management.color import no_style
from django.db import connection, models
from django.db.models.fields import NOT_PROVIDED

from registry.database import bulk_inserts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

#: Page cache of SQLite while rows are inserted, in KiB.
CACHE_KIB = 256 * 1024


class Table:
    """The rows to insert into the table of a model, with ids counted by this class.

    Columns that are not named have the defaults of their fields, so that a new column with a
    default needs no change here.
    """

    def __init__(self, model: type[models.Model], columns: str) -> None:
        """Begin after the highest id.

        Args:
            model: The model.
            columns: Names of the fields that ``add`` takes, separated by spaces; without the id.
        """
        fields = {field.name: field for field in model._meta.concrete_fields}  # noqa: SLF001 - Django's documented API
        named = [fields.pop(name) for name in columns.split()]
        key = model._meta.pk  # noqa: SLF001 - see above
        fields.pop(key.name, None)
        self.model = model
        self.has_own_id = isinstance(key, models.AutoField)
        self._rest = tuple(_default(field) for field in fields.values())
        keys = [key] if self.has_own_id else []
        self._columns = [str(field.column) for field in (*keys, *named, *fields.values())]
        self._rows: list[tuple[Any, ...]] = []
        highest = model._default_manager.aggregate(most=models.Max("pk"))["most"]  # noqa: SLF001
        self.last_id: int = (highest or 0) if self.has_own_id else 0

    def add(self, *values: Any) -> int:  # noqa: ANN401 - a value for each column
        """Add a row and return its id; ``insert`` writes it."""
        if not self.has_own_id:
            self._rows.append((*values, *self._rest))
            return 0
        self.last_id += 1
        self._rows.append((self.last_id, *values, *self._rest))
        return self.last_id

    def insert(self) -> int:
        """Insert the rows that were added, and return how many; call it inside a transaction."""
        rows, self._rows = self._rows, []
        if rows:
            bulk_inserts.insert(self.model._meta.db_table, self._columns, rows)  # noqa: SLF001
        return len(rows)


def _default(field: models.Field[Any, Any]) -> Any:  # noqa: ANN401 - a value of the column
    """Return the value of a column that no row sets."""
    if field.null and field.default is NOT_PROVIDED:
        return None
    value = field.get_default()
    if isinstance(field, models.JSONField):
        return as_json(value)
    if isinstance(field, models.DateTimeField):
        msg = f"{field.model.__name__}.{field.name} needs a date in each row."
        raise TypeError(msg)
    return value


def as_json(value: object) -> str:
    """Return a value for a JSON column."""
    return json.dumps(value)


def as_time(moment: datetime) -> Any:  # noqa: ANN401 - as the database takes it
    """Return a time for a column of times."""
    return connection.ops.adapt_datetimefield_value(moment)


def prepare() -> None:
    """Have the database spend more memory on inserts, and not wait for the disk."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        else:
            cursor.execute("SET synchronous_commit = off")


def finish(tables: Iterable[Table]) -> None:
    """Have the database count ids from the highest one, and measure the tables for its plans."""
    chosen = [table.model for table in tables]
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), chosen):
            cursor.execute(statement)
    analyze()


def analyze() -> None:
    """Have the database measure the tables for its plans."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
