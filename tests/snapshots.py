"""Rows and files that many tests begin with: made once a process, then put back in milliseconds.

A module names the fixture that makes them, and the fixture returns what is there already::

    RESTORED = "version"

    @pytest.fixture
    def version(noir, release):
        return noir.versions.first() or release(noir)
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.core.management.color import no_style
from django.db import connection, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

#: Fixtures of tests whose bytes are elsewhere than in the data directory.
OTHER_STORES = {"bucket", "either_store", "place"}
#: Their rows follow from the code or from other rows, and are always there.
KEPT = {
    "contenttypes.ContentType",
    "auth.Permission",
    "registry.FacetChange",
    "registry.FacetCount",
}


#: Statements that insert the rows of a table, with these rows.
Inserts = list[tuple[str, list[tuple[Any, ...]]]]


@dataclass
class Snapshot:
    """All rows and files after a function was called on an empty hub.

    Attributes:
        make: Makes them, through the services; it may ask for fixtures of the first test.
    """

    make: Callable[[pytest.FixtureRequest], object]
    _inserts: Inserts = field(default_factory=list)
    _models: list[Any] = field(default_factory=list)
    _folder: TemporaryDirectory[str] | None = None

    def put_for(self, request: pytest.FixtureRequest, name: str) -> None:
        """Put everything in place for a test that uses a fixture of this name, directly or not.

        Call it from an autouse fixture: nothing may have been written before. The fixture finds
        the rows, or makes them itself for a test that commits or has its bytes elsewhere.
        """
        names, mark = set(request.fixturenames), request.node.get_closest_marker("django_db")
        if name not in names or names & OTHER_STORES:
            return
        if mark is None or mark.kwargs.get("transaction"):
            return  # such a test commits, or publishes with a README.md: it has more rows
        request.getfixturevalue("db")
        if self._folder is None:
            self.make(request)
            self._take()
        else:
            self._put()

    def _put(self) -> None:
        assert self._folder is not None
        shutil.copytree(self._folder.name, settings.LORARY.data / "files", dirs_exist_ok=True)
        # The ORM would take ten times as long.
        with transaction.atomic(), connection.cursor() as cursor:
            for statement, values in self._inserts:
                cursor.executemany(statement, values)
            # A flush by an earlier test may have put the sequences back to 1.
            for statement in connection.ops.sequence_reset_sql(no_style(), self._models):
                cursor.execute(statement)

    def _take(self) -> None:
        models: list[Any] = [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.managed and not model._meta.proxy and model._meta.label not in KEPT
        ]
        # A guard lets nobody add files to a published version, so files come before versions.
        models.sort(key=lambda model: model._meta.label != "registry.File")
        with connection.cursor() as cursor:
            for model in models:
                fields = model._meta.local_concrete_fields
                names = ", ".join(connection.ops.quote_name(field.column) for field in fields)
                table = connection.ops.quote_name(model._meta.db_table)
                cursor.execute(f"SELECT {names} FROM {table}")
                if rows := cursor.fetchall():
                    marks = ", ".join(["%s"] * len(fields))
                    insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"
                    self._inserts.append((insert, rows))
                    self._models.append(model)
        self._folder = TemporaryDirectory(prefix="lorary-snapshot-")
        shutil.copytree(Path(settings.LORARY.data) / "files", self._folder.name, dirs_exist_ok=True)


@cache
def of_fixture(module: str, name: str) -> Snapshot:
    """Return the snapshot of what a fixture of a module makes."""
    del module
    return Snapshot(lambda request: request.getfixturevalue(name))
