"""Which migrations the release before survives: those that only add ("expand").

During an update without a stop, processes of the release before read and write the new tables. They
name none of the new columns, and all of the old ones. A migration that such processes do not
survive ("contract") belongs to a later release, and says which one is the first that can run on it:

```
# contract: release 0.3
```
"""

from __future__ import annotations

import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

from django.db.migrations import operations as ops
from django.db.migrations.utils import resolve_relation
from django.db.models import NOT_PROVIDED, Field, ForeignKey, ManyToManyField

from hub.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.migrations import Migration
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader
    from django.db.migrations.operations.base import Operation
    from django.db.migrations.state import ProjectState

_MARK = re.compile(r"^# contract: release (\S{1,40})$", re.MULTILINE)
_SQL = re.compile(
    r"\b(DROP\s{1,9}(?:TABLE|COLUMN|VIEW)|RENAME|TRUNCATE|SET\s{1,9}NOT\s{1,9}NULL)\b",
    re.IGNORECASE,
)
_GONE = (ops.RemoveField, ops.RenameField, ops.DeleteModel, ops.RenameModel, ops.AlterModelTable)
_TIGHTER = (ops.AddConstraint, ops.AlterUniqueTogether, ops.AlterIndexTogether)


def marked_release(migration: Migration) -> str:
    """Return the release that a migration names in ``# contract: release X``, else ""."""
    found = _MARK.search(inspect.getsource(sys.modules[type(migration).__module__]))
    return found[1] if found else ""


def of_newer_release(names: Iterable[tuple[str, str]], loader: MigrationLoader) -> list[str]:
    """Return the migrations that belong to a newer release than this one, the last one last.

    Unknown ones before a known one were deleted since, because others replace them.

    Args:
        names: Applied migrations, as app and name, in their order.
        loader: That of this release.
    """
    newer: list[tuple[str, str]] = []
    for app, name in names:
        if (app, name) in loader.disk_migrations:
            newer = [one for one in newer if one[0] != app]
        elif app in loader.migrated_apps:
            newer.append((app, name))
    return [".".join(one) for one in newer]


def newer_in_database(executor: MigrationExecutor) -> list[str]:
    """Return the applied migrations that belong to a newer release; see ``of_newer_release``."""
    applied = executor.recorder.migration_qs.order_by("applied", "id").values_list("app", "name")
    return of_newer_release(applied, executor.loader)


def newer_text(newer: list[str]) -> str:
    """Return a sentence about the result of ``newer_in_database``, which is not empty."""
    return (
        f"A newer release has migrated the database: {counted(len(newer), 'migration')} that this "
        f"one does not know; the last is {newer[-1]}."
    )


def contracts(
    migration: Migration, before: ProjectState, running: ProjectState | None = None
) -> list[str]:
    """Return the operations that processes of the release before may not survive, as sentences.

    Args:
        before: The state of the models before the migration.
        running: The state that those processes know, if other migrations are pending before this
            one. They do not use tables that are missing in it.
    """
    state, known = before.clone(), (running or before).models
    found = []
    for operation in _in_database(migration.operations):
        model = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        is_known = not model or (migration.app_label, model) in known
        if is_known and (reason := _reason(operation, state, migration.app_label)):
            found.append(f"{operation.describe()}: {reason}")
        operation.state_forwards(migration.app_label, state)
    return found


def locked_by_foreign_keys(
    migration: Migration, before: ProjectState, running: ProjectState | None = None
) -> list[str]:
    """Return the tables that PostgreSQL locks because foreign keys to them change.

    It also locks the tables that a migration changes. To remove a foreign key, it keeps readers and
    writers from the table that the key refers to; to add one, only writers. Custom SQL is not read.

    Args:
        before: As in ``contracts``.
        running: As in ``contracts``.
    """
    state, known = before.clone(), (running or before).models
    found: set[tuple[str, str]] = set()
    for operation in _in_database(migration.operations):
        found |= set(_referred_to(operation, state, migration.app_label))
        operation.state_forwards(migration.app_label, state)
    return sorted(
        known[key].options.get("db_table") or "_".join(key) for key in found if key in known
    )


def _referred_to(operation: Operation, state: ProjectState, app: str) -> Iterator[tuple[str, str]]:
    """Yield the models whose tables an operation locks, as app and name."""
    name = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
    model = state.models.get((app, name))
    fields: list[Any] = []
    if isinstance(operation, ops.CreateModel):
        fields = [field for _name, field in operation.fields]
    elif isinstance(operation, ops.DeleteModel) and model:
        fields = list(model.fields.values())
    elif isinstance(operation, ops.AddField):
        fields = [operation.field]
    elif isinstance(operation, ops.RemoveField) and model:
        fields = [model.fields[operation.name]]
    elif isinstance(operation, ops.AlterField) and model:
        old: Any = model.fields[operation.name]
        if _column(old) != _column(operation.field):
            fields = [old, operation.field]
        if old.get_internal_type() != operation.field.get_internal_type():
            # The columns of the foreign keys that refer to it change their type, too.
            yield from (
                key
                for key, other in state.models.items()
                for field in other.fields.values()
                if (app, name) in _targets(field, *key)
            )
    for field in fields:
        yield from _targets(field, app, name)


def _column(field: Field[Any, Any]) -> tuple[Any, ...]:
    """Return what the database knows of a field."""
    _name, path, args, options = field.deconstruct()
    ignored = getattr(field, "non_db_attrs", ())
    return path, args, {key: value for key, value in options.items() if key not in ignored}


def _targets(field: Any, app: str, model: str) -> Iterator[tuple[str, str]]:  # noqa: ANN401 - of any kind
    """Yield the models to which a field has a foreign key in the database."""
    is_many = isinstance(field, ManyToManyField) and field.remote_field.db_constraint
    if is_many:
        yield app, model  # from the table of pairs
    if is_many or (isinstance(field, ForeignKey) and field.db_constraint):  # type: ignore[attr-defined]  # missing in the stubs
        yield resolve_relation(field.remote_field.model, app, model)


def _in_database(operations: Sequence[Operation]) -> Iterator[Operation]:
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _in_database(operation.database_operations)
        else:
            yield operation


def _reason(operation: Operation, state: ProjectState, app: str) -> str:
    if isinstance(operation, _GONE):
        return "the previous release uses the old name"
    if isinstance(operation, _TIGHTER):
        return "rows of the previous release may be refused"
    if isinstance(operation, ops.AddField) and _must_be_named(operation.field):
        return "the previous release inserts rows without it; give it a db_default or null"
    if isinstance(operation, ops.AlterField):
        old = state.models[app, operation.model_name_lower].fields.get(operation.name)
        if isinstance(old, Field) and _is_narrower(old, operation.field):
            return "rows of the previous release may be refused"
    if isinstance(operation, ops.RunSQL) and _SQL.search(str(operation.sql)):
        return "the SQL removes, renames or requires something"
    return ""


def _must_be_named(field: Field[Any, Any]) -> bool:
    """Whether an INSERT without the column fails."""
    is_filled = field.null or field.db_default is not NOT_PROVIDED or field.primary_key
    return not is_filled and not isinstance(field, ManyToManyField)


#: Changes of types that keep every value; the first rewrites the table in PostgreSQL.
_WIDER = {("AutoField", "BigAutoField"), ("SlugField", "CharField"), ("CharField", "TextField")}


def _is_narrower(old: Field[Any, Any], new: Field[Any, Any]) -> bool:
    """Whether a column refuses values that it took before."""
    is_shorter = (new.max_length or sys.maxsize) < (old.max_length or sys.maxsize)
    is_required = old.null and not new.null
    types = (old.get_internal_type(), new.get_internal_type())
    has_new_type = types[0] != types[1] and types not in _WIDER
    loses_default = old.db_default is not NOT_PROVIDED and _must_be_named(new)
    is_unique = new.unique and not old.unique
    return is_shorter or is_required or has_new_type or loses_default or is_unique
