"""Questions that are asked all day: written to SQL once, then only their values change.

Django builds the SQL of a queryset each time that it is read; for a question over five tables that
is ten times the work of the answer. A question here is still a queryset, so who may see what is
said in one place; it is built once with values that stand for those to come.

The queryset must not branch on its values: whether a name is empty has to be asked before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet


def integer(number: int) -> int:
    """Return what stands for an integer; it fits 32 bits, and no question means it."""
    return 1_987_654_000 + number


def text(name: str) -> str:
    """Return what stands for a text, and for no other."""
    return f"\ue000{name}\ue000"


@dataclass(frozen=True, slots=True)
class _Written:
    """SQL, and for each of its places a name, or None and the value that is always there."""

    sql: str
    places: tuple[tuple[str | None, Any], ...]


class Compiled:
    """A queryset of ``values_list`` with open places.

    Values come back as the database's driver gives them: a boolean from SQLite is 0 or 1.

    Args:
        build: Returns the queryset for the values that stand for others.
        stands: What stands for the value of each name: ``text(…)`` or ``integer(…)``, each once.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]], **stands: str | int) -> None:
        self._build, self._stands = build, stands
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
        sql, values = self._build(**self._stands).query.sql_with_params()
        names = {stand: name for name, stand in self._stands.items()}
        places = tuple((names.get(value), value) for value in values)
        if absent := self._stands.keys() - {name for name, _value in places}:
            message = f"no place for {', '.join(sorted(absent))}"
            raise ValueError(message)
        written = self._written[connection.vendor] = _Written(sql, places)
        return written
