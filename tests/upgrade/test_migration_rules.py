"""Migrations that the release before survives, and the check before an update."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from django.utils import timezone

import lorary
from hub.operations import doctor, migration_rules
from hub.operations.migration_rules import contracts, locked_by_foreign_keys
from registry.jobs import workers
from registry.models import Worker

if TYPE_CHECKING:
    from django.db.migrations.operations.base import Operation

#: The last migrations from before the rule.
FIRST_UNDER_RULE = {"registry": 39, "previews": 20}


def with_operations(*operations: Operation) -> migrations.Migration:
    kind = type("Migration", (migrations.Migration,), {"operations": list(operations)})
    made: migrations.Migration = kind("0002_test", "shop")
    return made


@pytest.fixture
def before() -> ProjectState:
    state = ProjectState()
    fields: dict[str, models.Field[Any, Any]] = {
        "id": models.AutoField(primary_key=True),
        "name": models.CharField(max_length=40),
        "note": models.TextField(null=True),
    }
    migrations.CreateModel("Ware", list(fields.items())).state_forwards("shop", state)
    return state


CHAR = models.CharField
EXPANDING = [
    migrations.AddField("ware", "size", models.IntegerField(null=True)),
    migrations.AddField("ware", "size", models.IntegerField(default=1, db_default=1)),
    migrations.AlterField("ware", "name", CHAR(max_length=80)),
    migrations.AlterField("ware", "name", CHAR(max_length=40, choices=[("a", "A")])),
    migrations.AddIndex("ware", models.Index(fields=["name"], name="by_name")),
    migrations.RunPython(migrations.RunPython.noop),
    migrations.RunSQL("CREATE INDEX renamed ON shop_ware (name)"),
    migrations.SeparateDatabaseAndState(state_operations=[migrations.RemoveField("ware", "note")]),
]
CONTRACTING = [
    migrations.AddField("ware", "size", models.IntegerField(default=1)),
    migrations.RemoveField("ware", "note"),
    migrations.RenameField("ware", "note", "text"),
    migrations.AlterField("ware", "note", models.TextField(default="")),
    migrations.AlterField("ware", "name", CHAR(max_length=20)),
    migrations.AlterField("ware", "name", CHAR(max_length=40, unique=True)),
    migrations.AlterField("ware", "name", models.IntegerField()),
    migrations.AddConstraint("ware", models.UniqueConstraint(fields=["name"], name="once")),
    migrations.DeleteModel("Ware"),
    migrations.RenameModel("Ware", "Item"),
    migrations.RunSQL("ALTER TABLE shop_ware DROP COLUMN note"),
    migrations.RunSQL([("ALTER TABLE shop_ware ALTER note SET  NOT NULL", None)]),
    migrations.SeparateDatabaseAndState([migrations.RemoveField("ware", "note")]),
]


@pytest.mark.parametrize("operation", EXPANDING, ids=lambda one: type(one).__name__)
def test_what_only_adds_is_safe(operation: Operation, before: ProjectState) -> None:
    assert contracts(with_operations(operation), before) == []


@pytest.mark.parametrize("operation", CONTRACTING, ids=lambda one: type(one).__name__)
def test_what_takes_away_or_requires_is_not(operation: Operation, before: ProjectState) -> None:
    (found,) = contracts(with_operations(operation), before)
    assert found.count(": ") == 1


def test_a_table_of_the_same_migration_is_nobodys_yet(before: ProjectState) -> None:
    made = migrations.CreateModel("Shelf", [("id", models.AutoField(primary_key=True))])
    filled = migrations.AddField("shelf", "row", models.IntegerField(default=1))
    assert contracts(with_operations(made, filled), before) == []


def test_a_table_of_an_earlier_pending_migration_is_nobodys_yet(before: ProjectState) -> None:
    running = before.clone()
    made = migrations.CreateModel("Shelf", [("id", models.AutoField(primary_key=True))])
    made.state_forwards("shop", before)
    filled = with_operations(
        migrations.AddField("shelf", "row", models.IntegerField(default=1)),
        migrations.AddField("ware", "row", models.IntegerField(default=1)),
    )
    (found,) = contracts(filled, before, running)
    assert "to ware" in found
    assert len(contracts(filled, before)) == 2


def test_new_migrations_only_add_or_say_from_which_release_on() -> None:
    loader = MigrationLoader(None)
    for (app, name), migration in loader.disk_migrations.items():
        number = int(re.match(r"[0-9]{1,5}", name)[0])  # type: ignore[index]  # a test checks names
        if number < FIRST_UNDER_RULE.get(app, 10_000):
            continue
        state = loader.project_state((app, name), at_end=False)
        found = contracts(migration, state)
        assert not found or migration_rules.marked_release(migration), (
            f"{app}.{name} breaks processes of the release before: {found}. Make it only add, or "
            "move it to a later release and write “# contract: release X” (CONTRIBUTING.md)."
        )


def test_the_rule_finds_what_earlier_releases_did() -> None:
    """A check of the check: a migration that removed a column is found."""
    loader = MigrationLoader(None)
    key = ("registry", "0021_without_search_text")
    found = contracts(loader.disk_migrations[key], loader.project_state(key, at_end=False))
    assert ["search_text" in sentence for sentence in found] == [True]


def referring(*, is_constraint: bool = True, **options: Any) -> models.ForeignKey[Any, Any]:
    return models.ForeignKey("shop.Ware", models.CASCADE, db_constraint=is_constraint, **options)


SHELF = [("id", models.AutoField(primary_key=True))]
LOCKING = [
    migrations.CreateModel("Shelf", [*SHELF, ("ware", referring())]),
    migrations.CreateModel("Shelf", [*SHELF, ("wares", models.ManyToManyField("shop.Ware"))]),
    migrations.AddField("offer", "other", referring(null=True)),
    migrations.RemoveField("offer", "ware"),
    migrations.DeleteModel("Offer"),
    migrations.AlterField("offer", "ware", referring(is_constraint=False)),
]
NOT_LOCKING = [
    migrations.CreateModel("Shelf", [*SHELF, ("ware", referring(is_constraint=False))]),
    migrations.AlterField("offer", "ware", referring(related_name="offers")),
    migrations.AddField("ware", "size", models.IntegerField(null=True)),
    migrations.AddIndex("ware", models.Index(fields=["name"], name="by_name")),
]


@pytest.fixture
def with_offers(before: ProjectState) -> ProjectState:
    fields = [("id", models.AutoField(primary_key=True)), ("ware", referring())]
    migrations.CreateModel("Offer", fields).state_forwards("shop", before)
    return before


@pytest.mark.parametrize("operation", LOCKING, ids=lambda one: type(one).__name__)
def test_a_foreign_key_locks_the_table_it_refers_to(
    operation: Operation, with_offers: ProjectState
) -> None:
    assert locked_by_foreign_keys(with_operations(operation), with_offers) == ["shop_ware"]


@pytest.mark.parametrize("operation", NOT_LOCKING, ids=lambda one: type(one).__name__)
def test_what_changes_no_foreign_key_locks_no_other_table(
    operation: Operation, with_offers: ProjectState
) -> None:
    assert locked_by_foreign_keys(with_operations(operation), with_offers) == []


def test_another_type_of_a_key_locks_the_tables_that_refer_to_it(with_offers: ProjectState) -> None:
    wider = migrations.AlterField("ware", "id", models.BigAutoField(primary_key=True))
    assert locked_by_foreign_keys(with_operations(wider), with_offers) == ["shop_offer"]


def test_the_audit_log_locks_the_tables_that_its_events_referred_to() -> None:
    loader = MigrationLoader(None)
    key = ("registry", "0043_events_as_audit_log")
    state = loader.project_state(key, at_end=False)
    assert locked_by_foreign_keys(loader.disk_migrations[key], state) == [
        "registry_adapter",
        "registry_event",
        "registry_pack",
        "registry_user",
    ]


def test_migrations_that_are_not_one_transaction_can_be_repeated() -> None:
    """``migrate`` repeats a migration that gets no lock. Add one only if it does no harm twice."""
    found = {name for name, one in MigrationLoader(None).disk_migrations.items() if not one.atomic}
    assert found == {("registry", "0030_fill_more_facets")}


def test_a_mark_is_read_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m0009_marked.py"
    file.write_text(
        "# contract: release 0.3\nfrom django.db import migrations\n\n\n"
        "class Migration(migrations.Migration):\n    operations = []\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    module: ModuleType = __import__("m0009_marked")
    assert migration_rules.marked_release(module.Migration("m0009_marked", "shop")) == "0.3"


def check(*arguments: str) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Return the exit code and the findings by part."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("upgrade", "--check", "--json", *arguments, stdout=out)
    found: dict[str, list[dict[str, str]]] = {}
    for one in json.loads(out.getvalue())["findings"]:
        found.setdefault(one["part"], []).append(one)
    return int(ended.value.code or 0), found


def manifest(folder: Path, age: timedelta) -> None:
    made = datetime.now(UTC) - age
    place = folder / "sets" / (made.strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z")
    place.mkdir(parents=True)
    document: dict[str, Any] = {
        "format": 1, "made_at": made.isoformat(), "blobs": 0, "rows": "rows.dump",
        "rows_sha256": "0" * 64, "blobs_sha256": "0" * 64,
        "missing": [], "damaged": [], "failed": [],
    }  # fmt: skip
    (place / "manifest.json").write_text(json.dumps(document))


@pytest.mark.django_db
def test_a_hub_of_this_release_needs_nothing(tmp_path: Path) -> None:
    manifest(tmp_path, timedelta(hours=2))
    code, found = check("--backups", str(tmp_path))
    states = {part: [one["state"] for one in rows] for part, rows in found.items()}
    assert (code, states) == (
        0,
        {"migrations": ["ok"], "space": ["ok"], "workers": ["ok"], "backup": ["ok"]},
    )
    assert "2.0 hours" in found["backup"][0]["message"]


@pytest.mark.django_db
def test_pending_migrations_workers_and_backups_are_told(tmp_path: Path) -> None:
    loader = MigrationLoader(connection)
    last = {app: max(name for known, name in loader.disk_migrations if known == app)
            for app in ("registry", "previews")}  # fmt: skip
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("previews", last["previews"])
    workers.register(queues=["checks"], facts={})
    Worker.objects.create(name="old:1", seen_at=timezone.now(), facts={})
    manifest(tmp_path, timedelta(days=3))
    code, found = check("--backups", str(tmp_path))
    assert any(last["previews"] in one["message"] for one in found["migrations"])
    assert code == int(any(one["state"] == "error" for one in found["migrations"]))
    (told,) = found["workers"]
    assert (told["state"], "1 worker " in told["message"], "old:1" in told["message"]) == (
        "warning",
        True,
        True,
    )
    assert Worker.objects.exclude(name="old:1").get().facts["release"] == lorary.__version__
    assert [one["state"] for one in found["backup"]] == ["warning"]
    assert "free" in found["space"][0]["message"]


@pytest.mark.django_db
def test_a_database_of_a_newer_release_is_told() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("registry", "9001_newer")
    recorder.record_applied("previews", "9001_newest")
    recorder.record_applied("an_app_that_is_gone", "0001_initial")
    _code, found = check()
    (finding,) = found["migrations"]
    assert finding["state"] == "warning"
    assert (
        "2 migrations that this one does not know; the last is previews.9001" in finding["message"]
    )
    assert "marked `contract`" in finding["message"]
    [report] = [one for one in doctor.examine() if one.probe == "database"]
    assert report.state == "warning"
    assert "9001_newest" in report.message


@pytest.mark.django_db
def test_migrations_that_others_have_replaced_are_of_no_newer_release() -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_applied("registry", "0001_replaced")
    recorder.migration_qs.filter(name="0001_replaced").update(
        applied=timezone.now() - timedelta(days=4000)
    )
    _code, found = check()
    assert [one["state"] for one in found["migrations"]] == ["ok"]


@pytest.mark.django_db
def test_a_migration_that_removes_something_stops_the_check() -> None:
    """As if ``registry.0021``, which removed a column, were pending with all that follow it."""
    recorder = MigrationRecorder(connection)
    loader = MigrationLoader(connection)
    for app, name in loader.disk_migrations:
        if (app == "registry" and name >= "0021") or app == "previews":
            recorder.record_unapplied(app, name)
    code, found = check()
    told = next(one for one in found["migrations"] if "0021_without_search_text" in one["message"])
    assert (code, told["state"]) == (1, "error")
    assert "search_text" in told["message"]
    assert found["backup"][0]["state"] == "warning"


@pytest.mark.django_db
def test_a_marked_migration_is_told_by_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = MigrationLoader(connection)
    last = max(name for app, name in loader.disk_migrations if app == "previews")
    MigrationRecorder(connection).record_unapplied("previews", last)
    monkeypatch.setattr(migration_rules, "marked_release", lambda _one: "0.3")
    code, found = check()
    (told,) = found["migrations"]
    assert (code, told["state"]) == (1, "error")
    assert "from release 0.3 on can run meanwhile" in told["message"]
    assert "it is marked `contract`" in told["message"]


@pytest.mark.django_db
def test_an_app_that_the_release_before_did_not_have_does_not_stop_the_check() -> None:
    """``otp_totp`` creates a table, and adds columns to it that have no default."""
    recorder = MigrationRecorder(connection)
    for app, name in MigrationLoader(connection).disk_migrations:
        if app == "otp_totp":
            recorder.record_unapplied(app, name)
    code, found = check()
    assert (code, {one["state"] for one in found["migrations"]}) == (0, {"ok"})
    assert len(found["migrations"]) > 1


@pytest.mark.django_db
def test_a_folder_without_a_complete_backup_is_an_error(tmp_path: Path) -> None:
    code, found = check("--backups", str(tmp_path))
    assert (code, found["backup"][0]["state"]) == (1, "error")


def test_nothing_happens_without_check() -> None:
    with pytest.raises(CommandError, match="--check"):
        call_command("upgrade")
