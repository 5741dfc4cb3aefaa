"""Inserts many rows in one statement, without model instances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def insert(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, by COPY on PostgreSQL; call it inside a transaction.

    Args:
        table: Name of the table.
        columns: Names of the columns.
        rows: Values as the database takes them, in the order of the columns.

    Raises:
        IntegrityError: A row breaks a constraint; none was inserted.
    """
    quoted = connection.ops.quote_name(table)
    names = ", ".join(map(connection.ops.quote_name, columns))
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Django translates the errors of its own methods only.
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {quoted} ({names}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(row)
        else:
            marks = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {quoted} ({names}) VALUES ({marks})", list(rows))  # noqa: S608 - names of the models
