"""Frequent queries whose SQL is built once and run with different values.

Django builds the SQL of a queryset at each evaluation; for a query over five tables that takes ten
times as long as running it. A compiled query is still defined as a queryset, so that permissions
are defined in one place; it is built once with placeholders for the values.

The queryset must not branch on its values, such as on whether a name is empty. Several ids are one
value: ``pk__in=listed(ids)``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection, connections, router
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL

_LISTED = {
    "sqlite": "SELECT value FROM json_each(%s)",
    "postgresql": "SELECT value::integer FROM json_array_elements_text(%s::json)",
}


def integer(number: int) -> int:
    """Return a placeholder for an integer, which fits 32 bits and is no real value."""
    return 1_987_654_000 + number


def text(name: str) -> str:
    """Return a placeholder for a text."""
    return f"\ue000{name}\ue000"


def as_list(ids: Iterable[int]) -> str:
    """Return ids as one value."""
    return json.dumps(list(ids))


def listed(ids: str) -> RawSQL:
    """Return the ids in a result of ``as_list`` as a subquery.

    Django and the database would take a thousand parameters one by one.
    """
    return RawSQL(_LISTED[connection.vendor], [ids])  # noqa: S611 - the ids are a parameter


@dataclass(frozen=True, slots=True)
class _Written:
    """SQL, and for each parameter its name, or None and its constant value."""

    model: type[Model]
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
        with self._run(values) as cursor:
            row: tuple[Any, ...] | None = cursor.fetchone()
        return row

    def rows(self, **values: str | int) -> list[tuple[Any, ...]]:
        """Return all rows.

        Raises:
            KeyError: a value is missing.
        """
        with self._run(values) as cursor:
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    @contextmanager
    def _run(self, values: Mapping[str, str | int]) -> Iterator[CursorWrapper]:
        written = self._written.get(connection.vendor) or self._write()
        filled = [
            always if name is None else type(always)(values[name])
            for name, always in written.places
        ]
        with connections[router.db_for_read(written.model)].cursor() as cursor:
            cursor.execute(written.sql, filled)
            yield cursor

    def _write(self) -> _Written:
        rows = self._build(**self._placeholders)
        sql, values = rows.query.sql_with_params()
        names = {value: name for name, value in self._placeholders.items()}
        places = tuple(
            (names.get(value) if isinstance(value, str | int) else None, value) for value in values
        )
        if absent := self._placeholders.keys() - {name for name, _value in places}:
            message = f"no place for {', '.join(sorted(absent))}"
            raise ValueError(message)
        written = self._written[connection.vendor] = _Written(rows.model, sql, places)
        return written
