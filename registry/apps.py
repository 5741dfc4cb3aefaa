"""Django application of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _

from registry import hooks
from registry.database import facet_counters, guards, planner, table_locks
from registry.search import schema as search_schema

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


class RegistryConfig(AppConfig):
    """Name and label of the catalogue."""

    name = "registry"
    label = "registry"
    verbose_name = _("Registry")

    def ready(self) -> None:
        """Prepare connections; remove the triggers before migrations, and put them back after."""
        connection_created.connect(_prepare, dispatch_uid="registry.database.planner")
        # Models can be imported from here on.
        from registry.accounts import sign_ins  # noqa: PLC0415
        from registry.comparisons import services as comparisons  # noqa: PLC0415
        from registry.derived import expiry  # noqa: PLC0415
        from registry.packs.selectors import stored_bytes  # noqa: PLC0415

        sign_ins.connect()
        hooks.stored_bytes.add(stored_bytes)
        hooks.sweepers.update({expiry.sweep, comparisons.sweep})
        pre_migrate.connect(_lift, sender=self, dispatch_uid="registry.database.guards")
        post_migrate.connect(_put_back, sender=self, dispatch_uid="registry.database.guards")


def _prepare(*, connection: BaseDatabaseWrapper, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    planner.expect_short_queries(connection)


def _lift(*, plan: list[Any], using: str, **_: Any) -> None:  # noqa: ANN401 - a signal's extras
    if plan:
        connection = connections[using]
        # Each trigger is removed in a transaction of its own, so removing them can be repeated.
        table_locks.retried(connection, lambda: guards.remove(connection), name="Removing triggers")
        search_schema.remove_triggers(connection)


def _put_back(
    *,
    using: str,
    plan: list[Any] | None = None,  # None after `flush`
    **_: Any,  # noqa: ANN401 - a signal's extras
) -> None:
    connection = connections[using]
    # What is there already is left out, so both can be repeated. They must not wait for long: the
    # writers of a running hub would wait behind them.
    table_locks.retried(connection, lambda: guards.install(connection), name="Creating triggers")
    table_locks.retried(
        connection, lambda: search_schema.install(connection), name="Creating the search index"
    )
    if plan:
        planner.refresh(connection)
    if plan and facet_counters.can_count(connection):
        facet_counters.repair(connection)  # migrations change rows without triggers
