"""Facets: counters that agree with the rows whoever writes, and figures of searches."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from importlib import import_module
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.db.models import Count, F

from registry.accounts import users
from registry.adapters import facets, licences, selectors, services
from registry.adapters.selectors import Query
from registry.cards import services as cards
from registry.database import facet_counters, guards
from registry.models import (
    Adapter,
    FacetChange,
    FacetCount,
    Membership,
    Namespace,
    Tag,
    User,
    Version,
    VersionAnatomy,
)
from registry.search import matching
from registry.versions import services as versions
from registry.versions import withdraw
from registry.versions.details import Details
from tests.builders.adapters import kohya
from tests.registry.files import LORA, SD1

if TYPE_CHECKING:
    from collections.abc import Callable

    Release = Callable[..., Version]

pytestmark = pytest.mark.django_db

TRAINED = kohya(SD1, metadata={"ot_branch": "master"})


def shown(user: User | None = None, **filters: Any) -> dict[str, dict[str, int]]:
    _total, found = facets.matching(user, Query(**filters))
    return {name: dict(facet.values) for name, facet in found.items()}


def publish(owner: Namespace, number: int, **columns: object) -> Adapter:
    """Write an adapter with a published version, without its files."""
    assert owner.user is not None
    adapter = services.create(actor=owner.user, name=f"a{number}")
    root = adapter.revisions.get()
    version = Version.objects.create(
        adapter=adapter, number=1, revision=root, author=owner.user, state="published",
        published_at="2026-01-01T00:00Z",
    )  # fmt: skip
    tags = columns.pop("tags", ())
    assert isinstance(tags, (list, tuple))
    adapter.tags.set([Tag.objects.get_or_create(name=tag)[0] for tag in tags])
    values = {"latest_version": version, "published_at": version.published_at, **columns}
    Adapter.objects.filter(pk=adapter.pk).update(**values)
    adapter.refresh_from_db()
    return adapter


@pytest.fixture
def home(ada: User) -> Namespace:
    return ada.namespace


def test_counters_follow_the_services(ada: User, noir: Adapter, release: Release) -> None:
    first = release(ada, noir, LORA)
    assert shown()["method"] == {"lora": 1}
    assert shown()["owner"] == {"ada": 1}
    cards.edit_adapter(actor=ada, adapter=noir, kind="pose", tags=["dark", "wet"], licence="mit")
    assert shown()["kind"] == {"pose": 1}
    assert shown()["tag"] == {"dark": 1, "wet": 1}
    assert shown()["licence"] == {"mit": 1}
    versions.yank(actor=ada, version=first, reason="Too dark.")
    assert facets.total(None, Query()).adapters == 0
    assert shown()["tag"] == {}
    versions.restore(actor=ada, version=first)
    assert facets.total(None, Query()).adapters == 1
    withdraw.withdraw_adapter(actor=ada, adapter=noir, reason="Copied.")
    assert facets.total(None, Query()).adapters == 0
    assert all(not values for values in shown().values())
    assert facet_counters.lacking(connection) == []


def test_parts_trainer_and_permissions_follow_the_services(
    ada: User, noir: Adapter, release: Release
) -> None:
    first = release(ada, noir, TRAINED)
    cards.edit_adapter(actor=ada, adapter=noir, licence="MIT")
    assert shown()["parts"] == {"denoiser": 1}
    assert shown()["trainer"] == {"OneTrainer": 1}
    assert shown()["permission"] == {"commercial+pictures+changes": 1}
    second = release(ada, noir, LORA)
    assert shown()["trainer"] == {}
    versions.yank(actor=ada, version=second, reason="Too dark.")
    assert shown()["trainer"] == {"OneTrainer": 1}
    cards.edit_adapter(actor=ada, adapter=noir, licence="cc-by-nc-4.0")
    assert shown()["permission"] == {"changes": 1}
    cards.edit_adapter(actor=ada, adapter=noir, licence="my own", title="Noir")
    assert shown()["permission"] == {}
    assert (first.parts, first.trainer) == ("denoiser", "OneTrainer")
    assert facet_counters.lacking(connection) == []


def test_an_adapter_without_published_versions_shows_its_newest_yanked_one(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, TRAINED)
    versions.yank(actor=ada, version=version, reason="Too dark.")
    Adapter.objects.update(parts="", trainer="", family="")
    import_module("registry.migrations.0030_fill_more_facets").fill(apps, None)
    noir.refresh_from_db()
    assert (noir.parts, noir.trainer) == ("denoiser", "OneTrainer")
    Adapter.objects.update(lineage="", parts="")
    details = Details.of(version)
    versions.describe(actor=ada, version=version, details=replace(details, lineage="Anything V5"))
    noir.refresh_from_db()
    assert (noir.lineage, noir.parts) == ("Anything V5", "denoiser")


def test_the_migration_fills_the_new_columns(ada: User, noir: Adapter, release: Release) -> None:
    cards.edit_adapter(actor=ada, adapter=noir, licence="MIT")
    release(ada, noir, TRAINED)
    columns = {"parts": "denoiser", "trainer": "OneTrainer"}
    Version.objects.update(parts="", trainer="")
    Adapter.objects.update(parts="", trainer="", permissions="")
    bare = services.create(actor=ada, name="bare")
    import_module("registry.migrations.0030_fill_more_facets").fill(apps, None)
    assert Version.objects.values(*columns).get() == columns
    noir.refresh_from_db()
    assert (noir.parts, noir.trainer, noir.permissions) == (
        "denoiser", "OneTrainer", "commercial+pictures+changes",
    )  # fmt: skip
    bare.refresh_from_db()
    assert (bare.parts, bare.trainer, bare.permissions) == ("", "", "")
    VersionAnatomy.objects.create(
        version=Version.objects.get(),
        document={"parts": {"text_encoder_2": 3}, "training": {"trainer": "peft"}},
    )
    import_module("registry.migrations.0030_fill_more_facets").fill(apps, None)
    assert shown()["parts"] == {"text_encoder": 1}
    assert shown()["trainer"] == {"peft": 1}


def test_counters_agree_with_the_rows_after_random_writes(home: Namespace) -> None:
    rng, made = random.Random(7), [publish(home, number) for number in range(12)]
    tags = [Tag.objects.get_or_create(name=name)[0] for name in ("ink", "noir", "film")]
    changes: list[dict[str, object]] = [
        {"kind": "style"}, {"kind": "pose"}, {"family": "sdxl", "lineage": "Pony"},
        {"family": "", "lineage": ""}, {"visibility": "public"}, {"visibility": "private"},
        {"visibility": "unlisted"},
        {"blocked_reason": "x"}, {"blocked_reason": ""}, {"withdrawn_reason": "x"},
        {"withdrawn_reason": ""}, {"latest_version": None}, {"algorithm": "dora"},
        {"licence": "mit", "permissions": "commercial"}, {"parts": "denoiser"},
        {"trainer": "peft"}, {"trainer": ""}, {"maturity": "mature"},
        {"latest_version": F("versions__pk")},
    ]  # fmt: skip
    for turn in range(400):
        adapter = rng.choice(made)
        change = rng.choice(changes)
        if "versions__pk" in str(change):
            change = {"latest_version": adapter.versions.get()}
        action = rng.randrange(4)
        if action == 0:
            adapter.tags.add(rng.choice(tags))
        elif action == 1:
            adapter.tags.remove(rng.choice(tags))
        else:
            Adapter.objects.filter(pk=adapter.pk).update(**change)
        if turn % 100 == 50:
            facet_counters.fold(connection)
        if turn % 40 == 0:
            _agree()
    _agree()
    with transaction.atomic():
        Adapter.objects.update(kind="tool")
        transaction.set_rollback(True)
    _agree()
    Adapter.objects.update(kind="tool")
    _agree()


def _agree() -> None:
    assert facet_counters.lacking(connection) == []
    rows = Adapter.objects.listed_for(None).filter(published_at__isnull=False)
    columns = {"tag": "tags__name", **facet_counters.COLUMNS}
    for name, column in columns.items():
        counted = rows.values_list(column).annotate(n=Count("pk")).order_by()
        assert shown()[name] == {value: n for value, n in counted if value}, name
    assert facets.total(None, Query()).adapters == rows.count()


def test_a_deleted_adapter_is_no_longer_counted(home: Namespace) -> None:
    adapter = publish(home, 1, tags=["ink"])
    assert shown()["tag"] == {"ink": 1}
    adapter.tags.clear()
    with guards.lifted(connection):
        pass  # they are created again
    adapter.tags.add(Tag.objects.get(name="ink"))
    assert shown()["tag"] == {"ink": 1}
    Adapter.objects.filter(pk=adapter.pk).update(latest_version=None)
    assert shown()["tag"] == {}


def test_changes_are_folded_into_counters_and_read_until_then(home: Namespace) -> None:
    for number in range(3):
        publish(home, number, tags=["ink"], kind="pose")
    before = shown()
    assert FacetChange.objects.count() > 3
    assert not FacetCount.objects.exists()
    assert facet_counters.fold(connection) > 3
    assert not FacetChange.objects.exists()
    assert shown() == before
    Adapter.objects.update(kind="style")
    assert shown()["kind"] == {"style": 3}
    facet_counters.fold(connection)
    assert shown()["kind"] == {"style": 3}
    assert not FacetCount.objects.filter(value="pose").exists()
    assert facet_counters.fold(connection) == 0


def test_many_changes_are_folded_by_the_write_that_makes_them(
    ada: User, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    facet_counters.fold_if_many(connection)
    monkeypatch.setattr(facet_counters, "FOLDED_FROM", 3)
    FacetChange.objects.create(field="tag", value="ink", delta=1)
    facet_counters.fold_if_many(connection)
    assert FacetChange.objects.count() == 1
    FacetChange.objects.bulk_create(
        FacetChange(field="tag", value="ink", delta=1) for _number in range(4)
    )
    facet_counters.fold_if_many(connection)
    assert FacetChange.objects.count() == 0
    assert FacetCount.objects.get(field="tag", value="ink").count == 5


def test_wrong_counters_are_found_and_repaired(home: Namespace) -> None:
    publish(home, 1, tags=["ink"], family="sdxl")
    facet_counters.fold(connection)
    FacetCount.objects.filter(field="tag").update(count=7)
    FacetCount.objects.filter(field="family").delete()
    FacetChange.objects.create(field="kind", value="odd", delta=2)
    lacking = facet_counters.lacking(connection)
    assert sorted(lacking) == [("family", "sdxl", 1), ("kind", "odd", -2), ("tag", "ink", -6)]
    assert facet_counters.repair(connection) == 3
    assert facet_counters.lacking(connection) == []
    assert shown()["tag"] == {"ink": 1}


def test_owners_count_their_own_private_adapters_too(home: Namespace) -> None:
    publish(home, 1, tags=["ink"], kind="pose")
    publish(home, 2, tags=["ink"], kind="pose", visibility="private", licence="mit")
    publish(home, 3, visibility="unlisted", withdrawn_reason="x")
    bob = users.create_user(name="bob")
    assert shown(home.user)["tag"] == {"ink": 2}
    assert shown(home.user)["licence"] == {"mit": 1}
    assert facets.total(home.user, Query()).adapters == 2
    assert facets.total(home.user, Query(kind="pose")).adapters == 2
    assert facets.total(home.user, Query(owner="Ada")).adapters == 2
    for stranger in (None, bob):
        assert shown(stranger)["tag"] == {"ink": 1}
        assert facets.total(stranger, Query(kind="pose")).adapters == 1
        assert facets.total(stranger, Query(owner="Ada")).adapters == 1
    group = Namespace.objects.create(kind="organisation", name="group", key="group")
    Membership.objects.create(namespace=group, user=bob, role="read")
    Adapter.objects.filter(key="a2").update(namespace=group)
    assert shown(bob)["owner"] == {"ada": 1, "group": 1}
    assert shown(home.user)["owner"] == {"ada": 1}


def test_each_facet_ignores_its_own_filter(home: Namespace) -> None:
    publish(home, 1, kind="pose", family="sdxl", tags=["ink"])
    publish(home, 2, kind="style", family="sdxl", tags=["ink", "noir"])
    publish(home, 3, kind="style", family="sd1", tags=["noir"])
    one = shown(kind="style")
    assert one["kind"] == {"pose": 1, "style": 2}
    assert one["family"] == {"sdxl": 1, "sd1": 1}
    assert one["tag"] == {"ink": 1, "noir": 2}
    two = shown(kind="style", family="sdxl")
    assert two["kind"] == {"pose": 1, "style": 1}
    assert two["family"] == {"sdxl": 1, "sd1": 1}
    assert two["tag"] == {"ink": 1, "noir": 1}
    assert facets.total(None, Query(kind="style", family="sdxl")) == (1, False)
    assert facets.total(None, Query(tag=("NOIR",))) == (2, False)
    assert facets.total(None, Query(tag=("none",))) == (0, False)
    assert shown(q="a1")["kind"] == {"pose": 1}
    assert shown(q="a1", kind="style")["kind"] == {"pose": 1}
    assert shown(q="a1", kind="style")["family"] == {}
    assert shown(tag=("none",))["kind"] == {}


def test_several_tags_must_all_be_there_and_their_facet_counts_what_is_left(
    home: Namespace,
) -> None:
    publish(home, 1, kind="pose", tags=["ink", "noir", "film"])
    publish(home, 2, kind="style", tags=["ink", "noir"])
    publish(home, 3, kind="style", tags=["ink"])
    assert facets.total(None, Query(tag=("ink", "NOIR"))) == (2, False)
    assert facets.total(None, Query(tag=("ink", "none"))) == (0, False)
    assert shown(tag=("ink",))["tag"] == {"ink": 3, "noir": 2, "film": 1}
    both = shown(tag=("noir", "ink"))
    assert both["tag"] == {"ink": 2, "noir": 2, "film": 1}
    assert both["kind"] == {"pose": 1, "style": 1}
    one = shown(tag=("noir", "ink"), kind="pose")
    assert one["kind"] == {"pose": 1, "style": 1}
    assert one["tag"] == {"ink": 1, "noir": 1, "film": 1}


def test_permissions_are_summed_from_counters(
    home: Namespace, django_assert_num_queries: Any
) -> None:
    for number, permissions in enumerate(("changes", "commercial+changes", "commercial+changes")):
        publish(home, number, permissions="", kind="pose")
        value = licences.permissions_of("mit") if "commercial" in permissions else permissions
        Adapter.objects.filter(key=f"a{number}").update(permissions=value)
    for _state in ("changes", "counters"):
        with django_assert_num_queries(2):
            assert facets.total(None, Query(permission=("commercial",))).adapters == 2
        assert facets.total(None, Query(permission=("changes",))).adapters == 3
        assert facets.total(None, Query(permission=("changes", "pictures"))).adapters == 2
        assert facets.total(None, Query(permission=("no_credit",))).adapters == 0
        facet_counters.fold(connection)
    found = shown(permission=("commercial",), kind="pose")
    assert found["permission"] == {"changes": 1, "commercial+pictures+changes": 2}
    assert found["kind"] == {"pose": 2}


def test_figures_of_searches_are_capped(home: Namespace, own_settings: Callable[..., None]) -> None:
    own_settings(max_counted=4)
    for number in range(7):
        publish(home, number, kind="pose", family="sdxl" if number else "sd1", tags=["ink"])
    assert facets.total(None, Query(kind="pose")) == (7, False)
    assert facets.total(None, Query(kind="pose", tag=("ink",))) == (4, True)
    found_total, found = facets.matching(None, Query(kind="pose", tag=("ink",)))
    assert found_total == (4, True)
    assert found["tag"].is_capped
    assert found["tag"].values == [("ink", 4)]
    assert sum(count for _value, count in found["family"].values) == 4
    found_total, found = facets.matching(None, Query(family="sd1", tag=("ink",)))
    assert found_total == (1, False)
    assert found["family"].is_capped
    assert not found["kind"].is_capped


def test_the_most_frequent_values_are_right_while_changes_wait(
    home: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facets, "MAX_OF_MANY", 2)
    for number, tags in enumerate((["a", "b", "c"], ["a", "b", "c"], ["a", "b"], ["a"])):
        publish(home, number, tags=tags)
    facet_counters.fold(connection)
    assert facets.overall(None)["tag"].values == [("a", 4), ("b", 3)]
    for adapter in Adapter.objects.all():
        adapter.tags.remove(Tag.objects.get(name="a"))
    assert facets.overall(None)["tag"].values == [("b", 3), ("c", 2)]
    for adapter in Adapter.objects.all():
        adapter.tags.add(Tag.objects.get_or_create(name="new")[0])
    assert facets.overall(None)["tag"].values == [("new", 4), ("b", 3)]
    assert Counter(dict(facets.overall(None)["tag"].values))["c"] == 0


def test_lists_can_be_filtered_by_every_facet(home: Namespace) -> None:
    wanted = publish(
        home, 1, lineage="Pony", algorithm="dora", maturity="mature", licence="mit", tags=["ink"],
        parts="denoiser", trainer="OneTrainer", permissions="pictures+changes",
    )  # fmt: skip
    publish(home, 2)
    filters: dict[str, Any] = {
        "lineage": "Pony", "method": "dora", "maturity": "mature", "licence": "mit",
        "tag": ("Ink",), "parts": "denoiser", "trainer": "OneTrainer",
        "permission": ("pictures", "changes"),
    }  # fmt: skip
    for name, value in filters.items():
        assert facets.total(None, Query(**{name: value})) == (1, False), name
        found = selectors.search(None, Query(**{name: value})).results
        assert found == [wanted], name
    assert facets.total(None, Query(pictures=True)) == (0, False)
    assert facets.total(None, Query(owner="nobody")) == (0, False)


def test_pages_of_tags_and_owners_agree_with_the_rows(home: Namespace) -> None:
    bob = users.create_user(name="bob").namespace
    for number in range(6):
        owner = home if number % 3 else bob
        publish(owner, number, tags=["all", f"t{number % 2}", *(["one"] if not number else [])])
    publish(home, 9, tags=["mine"], visibility="private")
    everything = [("all", 6), ("t0", 3), ("t1", 3), ("one", 1)]
    for _state in ("changes", "counters"):
        assert facets.tags(None, "", begin=0, size=9) == (everything, 4)
        assert facets.tags(None, "", begin=1, size=2) == (everything[1:3], 4)
        assert facets.tags(None, "T", begin=0, size=1) == ([("t0", 3)], 2)
        assert facets.tags(home.user, "mi", begin=0, size=9) == ([("mine", 1)], 1)
        assert facets.tags(home.user, "", begin=0, size=9)[1] == 5
        assert facets.owners(None, "", begin=0, size=9) == ([("ada", 4), ("bob", 2)], 2)
        assert facets.owners(home.user, "", begin=0, size=1) == ([("ada", 5)], 2)
        assert facets.owners(None, "BO", begin=0, size=9) == ([("bob", 2)], 1)
        assert facets.owners(None, "x", begin=0, size=9) == ([], 0)
        facet_counters.fold(connection)
    Adapter.objects.filter(tags__name="one").update(visibility="private")
    assert facets.tags(None, "", begin=0, size=9) == ([("all", 5), ("t1", 3), ("t0", 2)], 3)


def test_frequent_and_rare_tags_find_the_same(
    home: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        publish(home, number, tags=["ink"] if number % 2 else ["noir"])
    facet_counters.fold(connection)
    both = Adapter.objects.get(key="a1")
    both.tags.add(Tag.objects.get(name="noir"))
    assert set(selectors.matching(None, Query(tag=("ink", "noir")))) == {both}
    rare = set(selectors.matching(None, Query(tag=("ink",))))
    monkeypatch.setattr(matching, "FREQUENT", 1)
    assert set(selectors.matching(None, Query(tag=("INK",)))) == rare
    assert set(selectors.matching(None, Query(tag=("ink", "noir")))) == {both}
    assert not selectors.matching(None, Query(tag=("ink", "none")))
    assert len(rare) == 2
    assert not selectors.matching(None, Query(tag=("none",)))


def test_several_tags_find_the_same_however_many_have_them(
    home: Namespace, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        some = [name for name, each in (("ink", 1), ("noir", 2), ("soft", 3)) if not number % each]
        publish(home, number, tags=some, kind="style" if number < 6 else "pose")
    publish(home, 12, tags=["ink", "noir", "soft"], visibility="private")
    facet_counters.fold(connection)
    for frequent, most in product((5000, 3, 1), (1000, 5, 4, 3, 1)):
        monkeypatch.setattr(matching, "FREQUENT", frequent)
        own_settings(max_counted=most)
        for tags, numbers in {
            ("ink", "noir"): [10, 8, 6, 4, 2, 0],
            ("Soft", "noir", "ink"): [6, 0],
            ("soft", "none"): [],
        }.items():
            for kind in ("", "style"):
                names = [f"a{n}" for n in numbers if n < 6 or not kind]
                query = Query(tag=tags, kind=kind)
                page = selectors.search(None, query, limit=2)
                more = selectors.search(None, query, cursor=page.next_cursor, limit=99)
                found = page.results + (more.results if page.next_cursor else [])
                assert [one.name for one in found] == names, (frequent, most, query)
                total = (min(len(names), most), len(names) > most)
                assert facets.total(None, query) == total, (frequent, most, query)
                count, values = facets.matching(None, query, page)
                assert count == total
                of_style = sum(n < 6 for n in numbers)
                assert dict(values["kind"].values).get("style", 0) <= of_style
                if len(numbers) <= most:
                    assert dict(values["kind"].values).get("style", 0) == of_style


def test_frequent_and_rare_values_find_the_same(
    home: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, maturity in enumerate(("general", "suggestive", "mature", "mature")):
        publish(home, number, maturity=maturity, permissions="changes" if number % 2 else "")
    facet_counters.fold(connection)
    expected = {
        "rating:mature": 2, "-rating:mature": 2, "rating:<=suggestive": 2, "rating:>mature": 0,
        "-rating:>general": 1, "": 2,
    }  # fmt: skip
    for frequent in (5000, 1):
        monkeypatch.setattr(matching, "FREQUENT", frequent)
        for text, count in expected.items():
            query = Query(q=text) if text else Query(permission=("changes",))
            assert selectors.matching(None, query).count() == count, text
            assert len(selectors.search(None, query).results) == count, text
        assert selectors.matching(None, Query(max_maturity="suggestive")).count() == 2


def test_ratings_up_to_a_level_are_summed_from_counters(
    home: Namespace, django_assert_num_queries: Any
) -> None:
    for number, maturity in enumerate(("general", "suggestive", "suggestive", "mature")):
        publish(home, number, maturity=maturity, kind="pose" if number else "style")
    publish(home, 9, maturity="explicit")
    publish(home, 10, maturity="suggestive", visibility="private")
    by_rating = [("suggestive", 2), ("explicit", 1), ("general", 1), ("mature", 1)]
    for _state in ("changes", "counters"):
        for level, count in (("general", 1), ("suggestive", 3), ("mature", 4), ("explicit", 5)):
            query = Query(max_maturity=level)
            assert facets.total(None, query) == (count, False)
            assert len(selectors.search(None, query).results) == count
            assert facets.total(home.user, query).adapters == count + (level != "general")
            total, found = facets.matching(None, query)
            assert (total.adapters, found["maturity"].values) == (count, by_rating)
            assert sum(n for _kind, n in found["kind"].values) == count
        facet_counters.fold(connection)
    with django_assert_num_queries(2):
        facets.total(None, Query(max_maturity="mature"))
    assert facets.total(None, Query(max_maturity="mature", kind="pose")).adapters == 3
    assert facets.matching(None, Query(max_maturity="general", kind="pose"))[1]["maturity"].values
    exact = Query(maturity="mature", max_maturity="suggestive")
    assert facets.total(None, exact).adapters == 0
    assert not selectors.search(None, exact).results
    both = Query(maturity="mature", max_maturity="explicit")
    assert facets.total(None, both).adapters == 1
