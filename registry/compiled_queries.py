"""Frequent queries whose SQL is built once and run with different values.

Django builds the SQL of a queryset at each evaluation; for a query over five tables that takes ten
times as long as running it. A compiled query is still defined as a queryset, so that permissions
are defined in one place; it is built once with placeholders for the values.

The queryset must not branch on its values, such as on whether a name is empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet


def integer(number: int) -> int:
    """Return a placeholder for an integer, which fits 32 bits and is no real value."""
    return 1_987_654_000 + number


def text(name: str) -> str:
    """Return a placeholder for a text."""
    return f"\ue000{name}\ue000"


@dataclass(frozen=True, slots=True)
class _Written:
    """SQL, and for each parameter its name, or None and its constant value."""

    sql: str
    places: tuple[tuple[str | None, Any], ...]


class Compiled:
    """A queryset of ``values_list`` with parameters.

    Results are raw values of the database's driver: a boolean from SQLite is 0 or 1.

    Args:
        placeholders: Name → ``text(…)`` or ``integer(…)``, each once.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **placeholders: str | int) -> None:
        self._build, self._placeholders = build, placeholders
        self._written: dict[str, _Written] = {}

    def first(self, **values: str | int) -> tuple[Any, ...] | None:
        """Return the first row, None without one.

        Raises:
            KeyError: a value is missing.
        """
        written = self._written.get(connection.vendor) or self._write()
        filled = [
            always if name is None else type(always)(values[name])
            for name, always in written.places
        ]
        with connection.cursor() as cursor:
            cursor.execute(written.sql, filled)
            row: tuple[Any, ...] | None = cursor.fetchone()
        return row

    def _write(self) -> _Written:
        sql, values = self._build(**self._placeholders).query.sql_with_params()
        names = {value: name for name, value in self._placeholders.items()}
        places = tuple((names.get(value), value) for value in values)
        if absent := self._placeholders.keys() - {name for name, _value in places}:
            message = f"no place for {', '.join(sorted(absent))}"
            raise ValueError(message)
        written = self._written[connection.vendor] = _Written(sql, places)
        return written
