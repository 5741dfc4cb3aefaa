"""What the database itself refuses, whoever writes: each rule by SQL and by the ORM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from hub.operations import doctor
from registry.adapters import manifests
from registry.database import guards
from registry.database.guards import GUARD
from registry.models import (
    Adapter,
    AdapterName,
    AliasMove,
    Blob,
    File,
    NamespaceName,
    Pack,
    PackAliasMove,
    PackName,
    PackPart,
    PackVariant,
    PackVersion,
    Revision,
    Upload,
    User,
    Version,
)
from registry.packs import aliases, states
from registry.publication import services as publication
from tests import packs
from tests.registry.files import LORA, OTHER

pytestmark = pytest.mark.django_db

#: For tests of commands that begin and end transactions themselves.
real = pytest.mark.django_db(transaction=True)

Release = Callable[..., Version]
Send = Callable[..., Upload]
Write = Callable[[], object]

OUT = ["published", "yanked", "withdrawn"]
RESTORED = "version"


@pytest.fixture
def version(ada: User, noir: Adapter, release: Release) -> Version:
    return noir.versions.first() or release(ada, noir, LORA)


@pytest.fixture
def draft(ada: User, noir: Adapter, send: Send) -> Version:
    return publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])


def put(version: Version, state: str) -> Version:
    """Bring a published version into a state of those that are out, as nothing forbids."""
    Version.objects.filter(pk=version.pk).update(state=state, withdrawn_reason="copied")
    version.refresh_from_db()
    return version


def sql(statement: str, *values: str | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def refused(write: Write) -> str:
    with pytest.raises(IntegrityError, match=GUARD) as refusal, transaction.atomic():
        write()
    return str(refusal.value)


@pytest.mark.parametrize("state", OUT)
@pytest.mark.parametrize(
    "column",
    [{"path": "other.safetensors"}, {"role": "other", "is_primary": False},
     {"is_primary": False}, {"variant": "x"}],
)  # fmt: skip
def test_a_file_of_a_version_that_is_out_is_not_changed(
    version: Version, state: str, column: dict[str, Any]
) -> None:
    put(version, state)
    file = version.files.get(is_primary=True)
    for name, value in column.items():
        setattr(file, name, value)
    refused(file.save)
    refused(lambda: File.objects.filter(pk=file.pk).update(**column))
    name, value = next(iter(column.items()))
    assert refused(
        lambda: sql(f"UPDATE registry_file SET {name} = %s WHERE id = %s", value, file.pk)
    ).startswith(f"{GUARD} the files of a published version")
    assert version.files.get(is_primary=True).path == "noir.safetensors"


@pytest.mark.parametrize("state", OUT)
def test_a_file_of_a_version_that_is_out_does_not_get_other_bytes(
    version: Version, draft: Version, state: str
) -> None:
    put(version, state)
    other = draft.files.get(is_primary=True).blob
    refused(lambda: version.files.update(blob=other))
    refused(lambda: sql("UPDATE registry_file SET blob_id = %s", other.pk))


@pytest.mark.parametrize("state", OUT)
def test_files_of_a_version_that_is_out_are_neither_added_nor_moved_nor_removed(
    version: Version, draft: Version, state: str
) -> None:
    put(version, state)
    file = draft.files.get(is_primary=True)
    sealed = version.revision
    refused(lambda: File.objects.create(revision=sealed, path="b", role="other", blob=file.blob))
    refused(lambda: draft.files.update(revision=sealed, path="b", is_primary=False))
    refused(version.files.get(is_primary=True).delete)
    refused(lambda: sql("DELETE FROM registry_file WHERE revision_id = %s", sealed.pk))


def test_files_of_a_draft_may_change(draft: Version) -> None:
    draft.files.update(path="other.safetensors")
    draft.files.get(is_primary=True).delete()
    assert not draft.files.exists()


@pytest.mark.parametrize("column", ["manifest_sha256", "commit", "message"])
def test_a_revision_stays_as_it_was_written(draft: Version, column: str) -> None:
    value = "0" * (40 if column == "commit" else 64)
    revision = draft.revision
    setattr(revision, column, value)
    refused(revision.save)
    refused(lambda: sql(f'UPDATE registry_revision SET "{column}" = %s', value))


def test_a_revision_keeps_its_adapter_and_parent(
    ada: User, version: Version, noir: Adapter
) -> None:
    other = Adapter.objects.create(namespace=noir.namespace, name="other", key="other")
    mine = Revision.objects.filter(pk=version.revision_id)
    refused(lambda: mine.update(adapter=other))
    refused(lambda: mine.update(parent=None))
    refused(lambda: mine.update(parent=version.revision))
    root = Revision.objects.filter(parent=None)
    refused(lambda: root.update(parent=version.revision))
    refused(lambda: sql("UPDATE registry_revision SET parent_id = NULL WHERE parent_id > 0"))


@pytest.mark.parametrize("state", OUT)
def test_a_version_that_is_out_keeps_its_revision(
    version: Version, draft: Version, state: str
) -> None:
    put(version, state)
    version.revision = draft.revision
    refused(version.save)
    number = draft.revision_id
    refused(lambda: sql("UPDATE registry_version SET revision_id = %s WHERE number = 1", number))


def test_a_version_keeps_its_number_and_adapter_from_the_first(
    version: Version, draft: Version, noir: Adapter
) -> None:
    other = Adapter.objects.create(namespace=noir.namespace, name="other", key="other")
    for one in (version, draft):
        mine = Version.objects.filter(pk=one.pk)
        refused(lambda mine=mine: mine.update(number=9))  # type: ignore[misc]  # bound at once
        refused(lambda mine=mine: mine.update(adapter=other))  # type: ignore[misc]  # the same
    refused(lambda: sql("UPDATE registry_version SET number = number + 5"))


@pytest.mark.parametrize("state", OUT)
def test_a_version_that_is_out_is_no_draft_again(version: Version, state: str) -> None:
    put(version, state)
    mine = Version.objects.filter(pk=version.pk)
    refused(lambda: mine.update(state="draft", published_at=None))
    refused(lambda: sql("UPDATE registry_version SET state = 'draft', published_at = NULL"))


@pytest.mark.parametrize("state", ["draft", "published", "yanked"])
def test_a_withdrawn_version_stays_withdrawn(version: Version, state: str) -> None:
    put(version, "withdrawn")
    version.state = state
    refused(version.save)
    refused(lambda: sql("UPDATE registry_version SET state = %s", state))


@pytest.mark.parametrize("state", OUT)
def test_a_version_that_is_out_is_not_deleted(version: Version, state: str) -> None:
    put(version, state)
    refused(version.delete)
    refused(lambda: Version.objects.filter(pk=version.pk)._raw_delete("default"))
    refused(lambda: sql("DELETE FROM registry_version WHERE id = %s", version.pk))


def test_a_blob_keeps_digest_and_size(version: Version) -> None:
    blob = Blob.objects.get()
    blob.size_bytes += 1
    refused(blob.save)
    refused(lambda: Blob.objects.update(sha256="0" * 64))
    refused(lambda: sql("UPDATE registry_blob SET size_bytes = 1"))
    Blob.objects.update(is_stored=False, unreferenced_since=timezone.now())
    Blob.objects.get().save()


def test_numbers_are_not_given_again(version: Version, noir: Adapter) -> None:
    noir.last_number = 0
    refused(noir.save)
    refused(lambda: sql("UPDATE registry_adapter SET last_number = 0"))


def test_names_that_were_used_stay_taken(version: Version) -> None:
    refused(AdapterName.objects.all().delete)
    refused(NamespaceName.objects.all().delete)
    refused(lambda: sql("DELETE FROM registry_adaptername"))
    refused(lambda: sql("DELETE FROM registry_namespacename"))


def test_the_history_of_aliases_stays(version: Version, noir: Adapter) -> None:
    root = manifests.main_of(noir).parent
    refused(lambda: AliasMove.objects.update(revision=root))
    refused(lambda: sql("UPDATE registry_aliasmove SET created_at = created_at"))
    refused(AliasMove.objects.all().delete)
    refused(lambda: sql("DELETE FROM registry_aliasmove"))


def test_a_version_of_a_pack_keeps_its_manifest_and_parts(
    version: Version, ada: User, noir: Adapter
) -> None:
    pack_version = packs.published(ada, noir)
    aliases.point(actor=ada, pack=pack_version.pack, name="stable", to=pack_version)
    rows = PackVersion.objects.all()
    changes: list[dict[str, Any]] = [
        {"number": 2}, {"manifest_sha256": "0" * 64}, {"manifest": {}}, {"blob": None},
    ]  # fmt: skip
    for change in changes:
        refused(partial(rows.update, **change))
    refused(lambda: sql("DELETE FROM registry_packversion"))
    refused(lambda: Pack.objects.update(last_number=0))
    refused(lambda: PackPart.objects.update(strength=2))
    refused(PackPart.objects.all().delete)
    refused(lambda: PackVariant.objects.update(name="x"))
    refused(lambda: sql("DELETE FROM registry_packvariant"))
    refused(PackName.objects.all().delete)
    refused(lambda: PackAliasMove.objects.update(after=None))
    refused(PackAliasMove.objects.all().delete)
    states.withdraw(actor=ada, version=pack_version, reason="Copied")
    refused(lambda: rows.update(state="published"))


def test_every_rule_is_held_after_migrations() -> None:
    assert guards.missing(connection) == []
    names = [rule.name for rule in guards.RULES]
    assert len(set(names)) == len(names)
    assert all(len(rule.trigger) <= 63 for rule in guards.RULES)


@real
def test_what_is_missing_is_said_and_put_back_by_migrate(version: Version) -> None:
    try:
        guards.remove(connection)
        (lost,) = doctor.PROBES["guards"]()
        assert (lost.state, "version_removed" in lost.message) == ("error", True)
        assert "migrate" in lost.hint
        call_command("migrate", verbosity=0)
        (found,) = doctor.PROBES["guards"]()
        assert found.state == "ok"
        refused(version.delete)
    finally:
        guards.install(connection)


def test_a_rule_that_changed_replaces_the_one_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {one.trigger for one in guards.triggers()}
    first, *rest = guards.RULES
    changed = guards.Rule(first.name, first.table, first.event, "1 = 0", first.keeps, first.columns)
    try:
        monkeypatch.setattr(guards, "RULES", (changed, *rest))
        assert guards.missing(connection) == [first.name]
        guards.install(connection)
        guards.install(connection)
        assert guards.missing(connection) == []
        Blob.objects.create(sha256="a" * 64, size_bytes=1)
        Blob.objects.update(size_bytes=2)
    finally:
        monkeypatch.undo()
        guards.install(connection)
    assert set(guards._present(connection)) == before


def test_a_trigger_is_not_put_back_beside_the_new_form_of_its_rule() -> None:
    """A migration can fail after it has created some triggers; two would count a change twice."""
    before = guards._present(connection)
    for one in guards.triggers():
        old = f"{one.trigger.rpartition('_')[0]}_00000000"
        sql = one.sql(connection.vendor).replace(one.trigger, old)
        assert guards.put_back(connection, {old: sql}) == []
    assert guards._present(connection) == before


@real
def test_migrations_run_without_guards_and_end_with_them(version: Version) -> None:
    """SQLite builds the table of versions anew for a column, and its triggers go with the old."""
    try:
        call_command("migrate", "registry", "0024", verbosity=0)
    finally:
        call_command("migrate", verbosity=0)
    assert guards.missing(connection) == []
    refused(version.delete)


def test_lifting_ends_also_where_something_fails(version: Version) -> None:
    def fail() -> None:
        with guards.lifted(connection):
            Version.objects.update(state="draft", published_at=None)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert guards.missing(connection) == []


@real
def test_everything_can_still_be_emptied(version: Version) -> None:
    call_command("flush", interactive=False, verbosity=0)
    assert not Version.objects.exists()
    assert not File.objects.exists()
    assert guards.missing(connection) == []
