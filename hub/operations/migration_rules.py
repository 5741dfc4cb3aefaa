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
from django.db.models import NOT_PROVIDED, Field, ManyToManyField

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.migrations import Migration
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
