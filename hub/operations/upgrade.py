"""Whether a hub can be updated to this release, and whether it can run meanwhile."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from django.db import connection
from django.db.migrations.executor import MigrationExecutor

import lorary
from hub.operations import backup_sets, migration_rules
from hub.operations.failures import place_problem
from hub.plurals import counted, size_text
from registry.jobs import selectors as job_selectors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.migrations import Migration
    from django.db.migrations.state import ProjectState

#: Age of the newest backup from which on the check warns.
OLD_BACKUP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Finding:
    """One result; ``error`` means that the update must wait or the hub must stop first."""

    part: Literal["migrations", "space", "workers", "backup"]
    state: Literal["ok", "warning", "error"]
    message: str


def check(backups: Path | None = None) -> Iterator[Finding]:
    """Yield what an operator should know before ``manage.py migrate``; nothing is changed.

    Args:
        backups: Folder of the hub's backups.
    """
    executor = MigrationExecutor(connection)
    plan = [one for one, _back in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    yield from _migrations(executor, plan)
    yield _space(is_needed=bool(plan))
    yield _workers()
    yield _backup(backups)


def _migrations(executor: MigrationExecutor, plan: list[Migration]) -> Iterator[Finding]:
    loader = executor.loader
    if newer := migration_rules.newer_in_database(executor):
        text = (
            f"{migration_rules.newer_text(newer)} Going back works unless the update's check "
            "reported a migration marked `contract` (docs/operations/deployment.md, “Go back”)."
        )
        yield Finding("migrations", "warning", text)
    elif not plan:
        yield Finding("migrations", "ok", "The database has the tables of this release.")
    if not plan:
        return
    nodes = [node for node in loader.applied_migrations if node in loader.graph.nodes]
    running = loader.project_state(nodes)
    state = running.clone()
    for migration in plan:
        found = migration_rules.contracts(migration, state, running)
        release = migration_rules.marked_release(migration)
        name = f"{migration.app_label}.{migration.name}"
        if not found and not release:
            text = (
                f"{name} only adds: the hub can run meanwhile.{_locks(migration, state, running)}"
            )
            yield Finding("migrations", "ok", text)
        else:
            until = f"from release {release} on" if release else "of the previous release"
            why = "; ".join([*found, *(["it is marked `contract`"] if release else [])])
            verb = "can run meanwhile; older ones must be stopped" if release else "must be stopped"
            text = f"{name}: processes {until} {verb} ({why})."
            yield Finding("migrations", "error", text)
        state = migration.mutate_state(state, preserve=False)


def _locks(migration: Migration, state: ProjectState, running: ProjectState) -> str:
    """Say which tables PostgreSQL locks besides those that change; SQLite has one lock for all."""
    tables = migration_rules.locked_by_foreign_keys(migration, state, running)
    if connection.vendor != "postgresql" or not tables:
        return ""
    return (
        f" It changes foreign keys and therefore also locks {', '.join(tables)} until it has "
        "ended: requests that use them wait. `manage.py migrate` tries again if requests keep it "
        "from a lock."
    )


def _space(*, is_needed: bool) -> Finding:
    """Compare the size of the database with the room: SQLite and PostgreSQL may copy a table."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_database_size(current_database())")
            size = int(cursor.fetchone()[0])
            cursor.execute(
                "SELECT coalesce(max(pg_total_relation_size(oid)), 0) FROM pg_class "
                "WHERE relkind = 'r' AND relname LIKE ANY (ARRAY['registry_%', 'previews_%'])"
            )
            largest = int(cursor.fetchone()[0])
            text = (
                f"The database has {size_text(size)}. Keep {size_text(2 * largest)} free on its "
                "server: twice the largest table."
            )
            return Finding("space", "ok", text)
    file = Path(connection.settings_dict["NAME"])
    size, free = file.stat().st_size, shutil.disk_usage(file.parent).free
    text = f"The database has {size_text(size)}; {size_text(free)} is free"
    if is_needed and free < 2 * size:
        return Finding("space", "error", f"{text}, and a migration can need twice its size.")
    return Finding("space", "ok", f"{text}.")


def _workers() -> Finding:
    release = lorary.__version__
    others = [row.name for row in job_selectors.alive() if row.facts.get("release") != release]
    if not others:
        return Finding("workers", "ok", f"No worker of a release other than {release} is running.")
    named = ", ".join(others[:5])
    text = (
        f"{counted(len(others), 'worker')} of another release: {named}. They leave unknown jobs to "
        "others; restart them after the web nodes."
    )
    return Finding("workers", "warning", text)


def _backup(folder: Path | None) -> Finding:
    if folder is None:
        return Finding("backup", "warning", "Not checked: name the folder with --backups.")
    try:
        found = backup_sets.sets(folder)
    except OSError as error:
        return Finding("backup", "error", place_problem(folder, error))
    whole = [one.made_at for one in found if one.is_whole]
    if not whole:
        none_whole = f"There is no complete backup in {folder}."
        message = none_whole if found else backup_sets.none_in(folder)
        if any(not one.has_files for one in found):
            message += (
                " Sets with only the database count only if they record that the files were in a "
                "bucket."
            )
        return Finding("backup", "error", message)
    age = datetime.now(UTC) - whole[-1]
    text = f"The newest complete backup is {age.total_seconds() / 3600:.1f} hours old."
    return Finding("backup", "warning" if age > OLD_BACKUP else "ok", text)
