"""Search documents follow their adapters through every service that changes one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction

from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.database import bulk_inserts
from registry.models import Adapter, SearchDocument, SpellingKey, Version
from registry.search import maintenance, schema, spelling
from registry.versions import services as versions
from registry.versions import withdraw
from registry.versions.details import Details
from tests import catalogue
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from registry.models import User

pytestmark = pytest.mark.django_db


def words(adapter: Adapter, column: str) -> set[str]:
    return set(getattr(SearchDocument.objects.get(pk=adapter.pk), column).split())


@pytest.fixture(autouse=True)
def _always_current(db: None) -> Iterator[None]:
    yield
    checked = maintenance.check()
    assert checked.is_well, checked


def test_creating(ada: User) -> None:
    noir = adapters.create(
        actor=ada, name="noir", title="Film Noir", kind="style", tags=["Dark mood"],
        summary="Grey shadows", card="# Use\n\nWith *rain*.",
    )  # fmt: skip
    assert words(noir, "name") >= {"film", "noir", "filmnoir"}
    assert words(noir, "exact") == {"filmnoir", "noir"}
    assert words(noir, "tags") >= {"dark", "mood"}
    assert words(noir, "summary") == {"gray", "shadows"}
    assert words(noir, "card") == {"use", "with", "rain"}
    assert words(noir, "owner") == {"ada"}
    assert words(noir, "kind") == {"style"}


def test_describing_and_renaming(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    cards.edit_adapter(
        actor=ada, adapter=noir, title="Rain", tags=["wet"], kind="pose", card="umbrella"
    )
    assert words(noir, "name") >= {"rain", "noir"}
    assert words(noir, "tags") == {"wet"}
    assert words(noir, "card") == {"umbrella"}
    adapters.rename(actor=ada, adapter=noir, name="night")
    assert words(noir, "name") >= {"rain", "night"}
    assert "noir" not in words(noir, "name")


def test_versions(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    first = catalogue.release(noir, LORA, Details(trigger_words=("ohwx",)))
    assert words(noir, "triggers") == {"ohwx"}
    assert words(noir, "base") >= {"stable", "diffusion", "sd15"}
    document = SearchDocument.objects.get(pk=noir.pk)
    assert (document.rank, document.size_bytes) == (first.rank, first.size_bytes)
    second = catalogue.release(noir, OTHER, Details(trigger_words=("zyxw",)))
    assert words(noir, "triggers") == {"zyxw"}
    optional = Details(trigger_words=("zyxw",), optional_trigger_words=("fog",))
    versions.describe(actor=ada, version=second, details=optional)
    assert words(noir, "triggers") >= {"zyxw", "fog"}
    versions.describe(
        actor=ada,
        version=second,
        details=Details(
            trigger_words=("abcd",),
            optional_trigger_words=(),
        ),
    )
    assert words(noir, "triggers") == {"abcd"}
    versions.yank(actor=ada, version=second, reason="Overtrained")
    assert words(noir, "triggers") == {"ohwx"}
    versions.restore(actor=ada, version=second)
    assert words(noir, "triggers") == {"abcd"}
    withdraw.withdraw(actor=ada, version=second, reason="Not mine")
    assert words(noir, "triggers") == {"ohwx"}
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="Not mine")
    assert words(noir, "triggers") == set()


def test_names_of_files(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    first = catalogue.release(noir, LORA, path="old-grain-v1.safetensors")
    catalogue.release(noir, OTHER, path="Rain_Style2.safetensors")
    assert words(noir, "exact") == {"noir", "oldgrainv1", "rainstyle2"}
    assert words(noir, "card") >= {"old", "grain", "rain"}
    withdraw.withdraw(actor=ada, version=first, reason="Not mine")
    assert words(noir, "exact") == {"noir", "rainstyle2"}


def test_measuring_again(ada: User) -> None:
    noir = adapters.create(actor=ada, name="noir")
    version = catalogue.release(noir, LORA)
    Version.objects.filter(pk=version.pk).update(rank=1, family="sdxl")
    version.refresh_from_db()
    assert versions.remeasure(version=version)
    assert SearchDocument.objects.get(pk=noir.pk).rank == version.rank


def test_what_is_undone_leaves_no_document(ada: User) -> None:
    with transaction.atomic():
        adapters.create(actor=ada, name="noir", title="Zebra")
        transaction.set_rollback(True)
    assert not SearchDocument.objects.exists()
    assert not SpellingKey.objects.exists()


def test_a_check_finds_what_is_missing_or_stale_and_a_rebuild_mends_it(
    published: Callable[..., Adapter],
) -> None:
    one, two, three = (published(name, name.title()) for name in ("first", "second", "third"))
    SearchDocument.objects.filter(pk=one.pk).delete()
    Adapter.objects.filter(pk=two.pk).update(title="Zebra")
    SearchDocument.objects.filter(pk=three.pk).update(form=0)
    SpellingKey.objects.all().delete()
    found = maintenance.check()
    assert (found.missing, found.stale, found.is_well) == (1, 2, False)
    assert maintenance.check(is_quick=True).stale == 1
    assert maintenance.rebuild() == 3
    assert words(two, "name") >= {"zebra"}
    assert SpellingKey.objects.filter(word="zebra").exists()
    SpellingKey.objects.create(key="gone", word="gone")
    assert maintenance.rebuild() == 0
    assert not SpellingKey.objects.filter(word="gone").exists()


def stored_keys() -> set[tuple[str, str]]:
    return set(SpellingKey.objects.values_list("key", "word"))


def test_a_rebuild_stores_the_keys_that_publications_store(
    published: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zebra", "giraffe", "mystl3-portrait"):
        published(name, name.title(), trigger_words=["ohwxstyle"], tags=["Dark mood"])
    before = stored_keys()
    assert {("zebra", "zebra"), ("ebra", "zebra"), ("gira-", "giraffe")} <= before
    monkeypatch.setattr(spelling, "_MANY", 2)
    SpellingKey.objects.all().delete()
    maintenance.rebuild()
    assert stored_keys() == before
    # A publication stores a word after the rebuild has looked for it.
    SpellingKey.objects.filter(key="zebra", word="zebra").delete()
    maintenance.rebuild()
    assert stored_keys() == before


def test_words_that_are_stored_during_a_rebuild_stay(
    ada: User, published: Callable[..., Adapter]
) -> None:
    first = published("first")

    def edit(_done: int, _total: int) -> None:
        cards.edit_adapter(actor=ada, adapter=first, title="Giraffe")

    maintenance.rebuild(progress=edit)
    assert SpellingKey.objects.filter(word="giraffe").exists()
    Adapter.objects.filter(pk=first.pk).update(title="Zebra")
    maintenance.rebuild()
    assert not SpellingKey.objects.filter(word="giraffe").exists()


def test_a_known_word_that_is_used_again_during_a_rebuild_stays(ada: User) -> None:
    """No document had it when the rebuild read them."""
    spelling.learn(["giraffe", "zebra"])
    before = {row for row in stored_keys() if row[1] == "zebra"}
    marker_id = spelling.begin_rebuild()
    adapters.create(actor=ada, name="noir", title="Zebra")
    spelling.rebuild({"other"}, marker_id)
    assert {row for row in stored_keys() if row[1] == "zebra"} == before
    assert not SpellingKey.objects.filter(word="giraffe").exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_rebuild_lets_a_request_pass_that_stores_the_same_words() -> None:
    marker_id = spelling.begin_rebuild()
    insert = "INSERT INTO registry_spellingkey (key, word) VALUES (%s, %s)"
    zebra, giraffe = (
        [(key, word) for key in spelling.all_keys(word)] for word in ("zebra", "giraffe")
    )
    waiting = (
        "SELECT count(*) FROM pg_locks WHERE NOT granted "
        "AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    )

    def rebuild() -> None:
        try:
            spelling.rebuild({"giraffe", "zebra"}, marker_id)
        finally:
            connection.close()

    request = connection.copy()
    try:
        request.set_autocommit(False)
        with ThreadPoolExecutor(1) as pool, request.cursor() as cursor:
            cursor.executemany(insert, zebra)
            rebuilt = pool.submit(rebuild)
            while not cursor.execute(waiting).fetchone()[0]:
                assert not rebuilt.done()
            cursor.executemany(insert, giraffe)
            request.commit()
            rebuilt.result()
    finally:
        request.close()
    assert stored_keys() == {*zebra, *giraffe}
    assert spelling.is_complete()


def test_an_interrupted_rebuild_is_noticed_and_the_next_one_continues(
    published: Callable[..., Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("zebra", "giraffe", "portrait"):
        published(name)
    before = stored_keys()
    SpellingKey.objects.all().delete()
    insert = bulk_inserts.insert

    def until_portrait(table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        def interrupted() -> Iterator[tuple[Any, ...]]:
            for row in rows:
                yield row
                if row == ("portrai", "portrait"):
                    raise KeyboardInterrupt

        insert(table, columns, interrupted())

    monkeypatch.setattr(spelling, "_MANY", 1)
    with monkeypatch.context() as patched:
        patched.setattr(bulk_inserts, "insert", until_portrait)
        with pytest.raises(KeyboardInterrupt):
            maintenance.rebuild()
    assert {word for _key, word in stored_keys()} >= {"giraffe"}
    assert not {word for _key, word in stored_keys()} & {"portrait", "zebra"}
    for is_quick in (True, False):
        found = maintenance.check(is_quick=is_quick)
        assert (found.missing, found.stale, found.has_spelling, found.is_well) == (
            0, 0, False, False,
        )  # fmt: skip
    maintenance.rebuild()
    assert stored_keys() == before


def test_a_lost_index_is_noticed_and_put_back(published: Callable[..., Adapter]) -> None:
    published("first")
    if connection.vendor == "sqlite":
        schema.remove_triggers(connection)
    else:
        connection.check_constraints()  # or their checks are pending, and no table can be changed
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {schema.TABLE} DROP COLUMN words")
    assert not schema.is_installed(connection)
    published("second")
    assert not maintenance.check().has_index
    connection.check_constraints()
    schema.install(connection)
    assert schema.is_installed(connection)
