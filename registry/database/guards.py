"""Database triggers that refuse changes of published rows.

Services follow these rules as well; the triggers enforce them for all other writes: from a shell, a
script, or a faulty service. Each refusal is an integrity error (SQLite ``RAISE(ABORT)``, PostgreSQL
23001) whose text begins with ``GUARD``.

The triggers that count facets (``facet_counters``) are created and removed with them.

Migrations do not contain the triggers. SQLite changes a table by building another and renaming it,
which drops the table's triggers and fails while another trigger refers to the table. So all
triggers are removed before migrations run and created again afterwards (``pre_migrate`` and
``post_migrate``, see ``registry.apps``). Code that runs migrations in another way uses ``lifted``.

The names contain a digest of the rule, so that a changed rule replaces the old one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from registry.database import facet_counters
from registry.database.facet_counters import COUNTERS, PREFIX, CountingTrigger

#: First words of every refusal.
GUARD = "lorary keeps"

_PREFIX = "lorary_guard_"


@dataclass(frozen=True, slots=True)
class Rule:
    """A change that is refused."""

    name: str  # short name, unique
    table: str  # the table that is guarded
    event: str  # INSERT, UPDATE or DELETE
    when: str  # SQL condition on OLD and NEW
    keeps: str  # what is protected, as the end of the error message
    columns: tuple[str, ...] = ()  # columns whose change counts; empty for INSERT and DELETE
    when_postgresql: str = ""  # the condition there, if PostgreSQL does not understand ``when``

    @property
    def trigger(self) -> str:
        """Name of its trigger (at most 63 characters, PostgreSQL's limit)."""
        parts = [self.table, self.event, self.when, self.keeps, *self.columns]
        rule = "\n".join(parts + [self.when_postgresql] * bool(self.when_postgresql))
        return f"{_PREFIX}{self.name}_{hashlib.sha256(rule.encode()).hexdigest()[:8]}"

    @property
    def head(self) -> str:
        """``UPDATE OF a, b`` or the event alone."""
        named = ", ".join(f'"{column}"' for column in self.columns)
        return f"{self.event} OF {named}" if named else self.event

    def sql(self, vendor: str) -> str:
        """Return the statement that creates it."""
        text = f"{GUARD} {self.keeps}".replace("'", "''")
        begun = f'CREATE TRIGGER "{self.trigger}" BEFORE {self.head} ON "{self.table}" FOR EACH ROW'
        if vendor == "sqlite":
            return f"{begun} WHEN {self.when} BEGIN SELECT RAISE(ABORT, '{text}'); END"
        row = "OLD" if self.event == "DELETE" else "NEW"
        return f"""
            CREATE OR REPLACE FUNCTION "{self.trigger}"() RETURNS trigger
            LANGUAGE plpgsql AS $guard$ BEGIN
                IF {self.when_postgresql or self.when} THEN
                    RAISE EXCEPTION '{text}' USING ERRCODE = 'restrict_violation';
                END IF;
                RETURN {row};
            END $guard$;
            {begun} EXECUTE FUNCTION "{self.trigger}"();
        """


def _differs(*columns: str) -> str:
    return " OR ".join(f'NEW."{column}" <> OLD."{column}"' for column in columns)


def _sealed(row: str) -> str:
    """Return the condition that a version other than a draft has the revision of a file."""
    return (
        'EXISTS (SELECT 1 FROM "registry_version" AS "v" '  # noqa: S608 - words of this module
        f'WHERE "v"."revision_id" = {row}."revision_id" AND "v"."state" <> \'draft\')'
    )


_FILE = ("revision_id", "path", "role", "variant", "is_primary", "blob_id")
_REVISION = ("adapter_id", "commit", "manifest_sha256", "message", "author_id", "created_at")
_NAMES = ("registry_adaptername", "registry_namespacename", "registry_packname")
_HISTORIES = (
    ("move", "registry_aliasmove", "revision_id"),
    ("pack_move", "registry_packaliasmove", "after_id"),
)


def _of_standing_pack(variant: str) -> str:
    """Whether the version of a pack's variant was not withdrawn."""
    return (
        'EXISTS (SELECT 1 FROM "registry_packvariant" AS "w" '  # noqa: S608 - words of this module
        'JOIN "registry_packversion" AS "v" ON "v"."id" = "w"."version_id" '
        f'WHERE "w"."id" = {variant} AND "v"."state" <> \'withdrawn\')'
    )


_OF_PACK = (
    Rule(
        "pack_version_named", "registry_packversion", "UPDATE",
        _differs("pack_id", "number", "manifest_sha256"),
        "the number and the manifest's digest of a pack's version",
        ("pack_id", "number", "manifest_sha256"),
    ),
    Rule(
        "pack_manifest", "registry_packversion", "UPDATE",
        "NEW.\"state\" <> 'withdrawn' AND (NEW.\"manifest\" <> OLD.\"manifest\" OR "
        'COALESCE(NEW."blob_id", 0) <> COALESCE(OLD."blob_id", 0))',
        "the manifest of a pack's version until it is withdrawn", ("manifest", "blob_id"),
    ),
    Rule(
        "pack_version_state", "registry_packversion", "UPDATE",
        "OLD.\"state\" = 'withdrawn' AND NEW.\"state\" <> 'withdrawn'",
        "withdrawn versions of packs withdrawn", ("state",),
    ),
    Rule(
        "pack_version_removed", "registry_packversion", "DELETE", "1 = 1",
        "every version of a pack; withdraw it instead",
    ),
    Rule(
        "pack_number_given", "registry_pack", "UPDATE", 'NEW."last_number" < OLD."last_number"',
        "numbers of packs' versions from being given twice", ("last_number",),
    ),
    Rule(
        "pack_part_changed", "registry_packpart", "UPDATE", "1 = 1",
        "the parts of packs: none can be changed",
    ),
    Rule(
        "pack_part_removed", "registry_packpart", "DELETE", _of_standing_pack('OLD."variant_id"'),
        "the parts of a pack until its version is withdrawn",
    ),
    Rule(
        "pack_variant_changed", "registry_packvariant", "UPDATE", "1 = 1",
        "the variants of packs: none can be changed",
    ),
    Rule(
        "pack_variant_removed", "registry_packvariant", "DELETE", _of_standing_pack('OLD."id"'),
        "the variants of a pack until its version is withdrawn",
    ),
)  # fmt: skip

#: Least number of days for which events are kept, whatever the setting says.
AUDIT_DAYS = 30
# ``Hub.audit_days`` is the setting, as the last removal of old events stored it; without a row, and
# for 0, nothing is removed. Whoever can write that row can still not remove younger events than
# ``AUDIT_DAYS``.
_YOUNG = f"""
    OLD."created_at" > COALESCE((SELECT CASE "audit_days" WHEN 0 THEN '' ELSE strftime(
        '%Y-%m-%d %H:%M:%f', 'now', '-' || MAX("audit_days", {AUDIT_DAYS}) || ' days'
    ) END FROM "registry_hub"), '')"""  # noqa: S608 - a number of this module
_YOUNG_POSTGRESQL = f"""
    OLD."created_at" > COALESCE((SELECT CASE "audit_days" WHEN 0 THEN '-infinity'::timestamptz
        ELSE now() - GREATEST("audit_days", {AUDIT_DAYS}) * interval '1 day'
    END FROM "registry_hub"), '-infinity'::timestamptz)"""  # noqa: S608 - as above
_OF_EVENTS = (
    Rule(
        "event_changed", "registry_event", "UPDATE", "1 = 1",
        "events as they were written: none can be changed",
    ),
    Rule(
        "event_removed", "registry_event", "DELETE", _YOUNG,
        "events for LORARY_AUDIT_DAYS, and none can be removed before", (), _YOUNG_POSTGRESQL,
    ),
    # SQLite's ``INSERT OR REPLACE`` removes a row without the trigger of removals.
    Rule(
        "event_replaced", "registry_event", "INSERT",
        'EXISTS (SELECT 1 FROM "registry_event" WHERE "id" = NEW."id")',
        "events as they were written: none can be replaced", (), "1 = 0",
    ),
    Rule(
        "event_address_changed", "registry_eventaddress", "UPDATE", "1 = 1",
        "the addresses of events as they were written; they can only be removed",
    ),
)  # fmt: skip

RULES: tuple[Rule, ...] = (
    Rule(
        "blob_bytes", "registry_blob", "UPDATE", _differs("sha256", "size_bytes"),
        "the sha256 and the size of a blob: they never change", ("sha256", "size_bytes"),
    ),
    Rule(
        "file_added", "registry_file", "INSERT", _sealed("NEW"),
        "the files of a published version: none can be added",
    ),
    Rule(
        "file_changed", "registry_file", "UPDATE",
        f"({_differs(*_FILE)}) AND ({_sealed('OLD')} OR {_sealed('NEW')})",
        "the files of a published version: none can be changed", _FILE,
    ),
    Rule(
        "file_removed", "registry_file", "DELETE", _sealed("OLD"),
        "the files of a published version: none can be removed",
    ),
    Rule(
        "revision_changed", "registry_revision", "UPDATE",
        f'{_differs(*_REVISION)} OR COALESCE(NEW."parent_id", 0) <> COALESCE(OLD."parent_id", 0)',
        "revisions as they were written", (*_REVISION, "parent_id"),
    ),
    Rule(
        "version_named", "registry_version", "UPDATE",
        f"{_differs('adapter_id', 'number')} OR "
        f"(OLD.\"state\" <> 'draft' AND {_differs('revision_id')})",
        "a version's adapter and number, and once it is published its revision",
        ("adapter_id", "number", "revision_id"),
    ),
    Rule(
        "version_state", "registry_version", "UPDATE",
        "(OLD.\"state\" <> 'draft' AND NEW.\"state\" = 'draft') OR "
        "(OLD.\"state\" = 'withdrawn' AND NEW.\"state\" <> 'withdrawn')",
        "published versions published and withdrawn ones withdrawn", ("state",),
    ),
    Rule(
        "version_removed", "registry_version", "DELETE", "OLD.\"state\" <> 'draft'",
        "every version that was published; withdraw it instead",
    ),
    Rule(
        "number_given", "registry_adapter", "UPDATE", 'NEW."last_number" < OLD."last_number"',
        "numbers of versions from being given twice", ("last_number",),
    ),
    *_OF_PACK,
    *_OF_EVENTS,
    *(
        Rule(
            f"{prefix}_changed", table, "UPDATE", "1 = 1",
            "the history of aliases: no move can be changed",
            ("alias_id", target, "actor_id", "created_at"),
        )
        for prefix, table, target in _HISTORIES
    ),
    *(
        Rule(
            f"{prefix}_removed", table, "DELETE", "1 = 1",
            "the history of aliases: no move can be removed",
        )
        for prefix, table, _target in _HISTORIES
    ),
    *(
        Rule(
            f"{table.removeprefix('registry_')}_removed", table, "DELETE", "1 = 1",
            "every name that was ever used, so that nobody else gets it",
        )
        for table in _NAMES
    ),
)  # fmt: skip


def triggers() -> tuple[Rule | CountingTrigger, ...]:
    """Return every trigger of a hub."""
    return (*RULES, *COUNTERS)


def install(connection: BaseDatabaseWrapper) -> None:
    """Create all missing triggers, and remove those of rules that changed.

    Tables that do not exist (any more) are skipped.
    """
    _settle(connection)
    there, tables = _present(connection), set(connection.introspection.table_names())
    every = triggers() if facet_counters.can_count(connection) else RULES
    wanted = {one.trigger: one for one in every if one.table in tables}
    with connection.cursor() as cursor:
        for name, table in there.items():
            if name not in wanted:
                cursor.execute(_dropped(connection.vendor, name, table))
        for name, one in wanted.items():
            if name not in there:
                cursor.execute(one.sql(connection.vendor))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Remove all triggers."""
    _settle(connection)
    with connection.cursor() as cursor:
        for name, table in _present(connection).items():
            cursor.execute(_dropped(connection.vendor, name, table))


def definitions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the SQL that creates each existing trigger of PostgreSQL again, by its name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname, pg_get_functiondef(tgfoid), pg_get_triggerdef(pg_trigger.oid) "
            "FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
            "WHERE NOT tgisinternal AND pg_table_is_visible(pg_class.oid)"
        )
        return {
            name: f"{function};\n{trigger};"
            for name, function, trigger in cursor.fetchall()
            if name.startswith((_PREFIX, PREFIX))
        }


def put_back(connection: BaseDatabaseWrapper, defined: dict[str, str]) -> list[str]:
    """Create the triggers of a running release again, and return those that cannot be created.

    A rule whose new form is there already is left out: two would count a change twice.
    """
    there, lacking = {_undigested(name) for name in _present(connection)}, []
    for name, sql in defined.items():
        if _undigested(name) not in there:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(sql)
            except DatabaseError:
                lacking.append(name)
    return lacking


def _undigested(trigger: str) -> str:
    return trigger.rpartition("_")[0]


@contextmanager
def lifted(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Remove the triggers for the duration of a block; they are created again in any case."""
    remove(connection)
    try:
        yield
    finally:
        install(connection)


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the names of triggers that this database does not have."""
    there = _present(connection)
    return [one.name for one in triggers() if one.trigger not in there]


def _settle(connection: BaseDatabaseWrapper) -> None:
    """Run deferred checks: PostgreSQL changes no triggers of a table with pending checks."""
    if connection.vendor == "postgresql" and connection.in_atomic_block:
        connection.check_constraints()


_PRESENT = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": (
        "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE NOT tgisinternal AND pg_table_is_visible(pg_class.oid)"
    ),
}


def _present(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return trigger → table for the existing triggers."""
    with connection.cursor() as cursor:
        cursor.execute(_PRESENT[connection.vendor])
        return {
            name: table for name, table in cursor.fetchall() if name.startswith((_PREFIX, PREFIX))
        }


def _dropped(vendor: str, name: str, table: str) -> str:
    if vendor == "sqlite":
        return f'DROP TRIGGER IF EXISTS "{name}"'
    return f'DROP TRIGGER IF EXISTS "{name}" ON "{table}"; DROP FUNCTION IF EXISTS "{name}"()'
