"""Empty the tables after a test that commits, in a sixth of the time of ``manage.py flush``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from django.core.management.color import no_style
from django.db import connections, transaction
from django.test import TransactionTestCase

from registry.database import guards
from registry.models import FacetChange

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: The rows of these follow from the code. ``flush`` deletes them and writes them again.
KEPT = {"django_content_type", "auth_permission"}


def install() -> None:
    """Have Django's transactional tests use this."""
    TransactionTestCase._fixture_teardown = _flush  # type: ignore[attr-defined]  # no stub


def _flush(test: TransactionTestCase) -> None:
    for name in test._databases_names(include_mirrors=False):  # type: ignore[attr-defined]  # no stub
        connection = connections[name]
        with transaction.atomic(using=name):
            tables = _tables(name)
            if connection.vendor == "sqlite":
                tables = _filled(connection, tables)
                _unguard(connection, tables)
            statements = connection.ops.sql_flush(no_style(), tables)
            connection.ops.execute_sql_flush(statements)
            FacetChange.objects.using(name).all().delete()  # which the deletions were counted in
            guards.install(connection)


def _unguard(connection: BaseDatabaseWrapper, tables: list[str]) -> None:
    """Remove the triggers that refuse to delete rows; few of them are in the way of a test."""
    with connection.cursor() as cursor:
        for rule in guards.RULES:
            if rule.event == "DELETE" and rule.table in tables:
                cursor.execute(f'DROP TRIGGER IF EXISTS "{rule.trigger}"')


@cache
def _tables(name: str) -> list[str]:
    introspection = connections[name].introspection
    found = introspection.django_table_names(only_existing=True, include_views=False)
    return sorted(set(found) - KEPT)


def _filled(connection: BaseDatabaseWrapper, tables: list[str]) -> list[str]:
    questions = " UNION ALL ".join(
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM \"{table}\")" for table in tables
    )
    with connection.cursor() as cursor:
        cursor.execute(questions)
        return [row[0] for row in cursor.fetchall()]
