"""Packs: what is published, what it may show, and what becomes of it when a part goes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from registry import storage, sweep
from registry.accounts import quotas
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.errors import (
    Conflict,
    CursorInvalid,
    Forbidden,
    Gone,
    Invalid,
    Moved,
    NameInvalid,
    NameTaken,
    NotFound,
    QuotaExceeded,
    StateConflict,
)
from registry.models import (
    Adapter,
    Blob,
    Event,
    Maturity,
    Pack,
    PackPart,
    PackVersion,
    PackWord,
    User,
)
from registry.packs import aliases, manifest, parts, publish, selectors, services, states
from registry.packs.selectors import PackQuery
from registry.versions import services as versions
from registry.versions import withdraw
from tests import packs
from tests.packs import part, variant
from tests.registry.files import LORA, OTHER, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


@pytest.fixture
def grain(ada: User) -> Adapter:
    adapter = adapters.create(actor=ada, name="grain", kind="style")
    packs.release(adapter, OTHER)
    return adapter


@pytest.fixture
def noir(noir: Adapter) -> Adapter:
    packs.release(noir, LORA)
    noir.refresh_from_db()
    return noir


@pytest.fixture
def dusk(ada: User, noir: Adapter, grain: Adapter) -> PackVersion:
    return packs.published(ada, noir, grain, title="Dusk", tags=["Evening"])


def states_of(user: User | None, version: PackVersion) -> list[str]:
    found = selectors.version(version.pack, version.name)
    (rows,) = parts.parts_for(user, found.variants.all()).values()
    return [one.state.value for one in rows]


def rating_for(user: User | None, version: PackVersion) -> Maturity:
    found = selectors.version(version.pack, version.name)
    (rows,) = parts.parts_for(user, found.variants.all()).values()
    return parts.rating_of(version.pack, rows)


def faults_of(refusal: pytest.ExceptionInfo[Invalid]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = refusal.value.facts["fields"]
    return found


def test_a_version_is_a_canonical_manifest_kept_as_a_blob(
    dusk: PackVersion, noir: Adapter, ada: User
) -> None:
    with storage.store().open(dusk.manifest_sha256) as file:
        data = file.read()
    assert hashlib.sha256(data).hexdigest() == dusk.manifest_sha256
    assert json.loads(data) == dusk.manifest
    assert data == manifest.canonical(dusk.manifest)
    (found,) = dusk.manifest["variants"]
    assert found["parts"][0] == {
        "adapter": "ada/noir", "version": "v1", "file": "noir.safetensors",
        "sha256": hashlib.sha256(LORA).hexdigest(), "strength": 0.8, "role": "style",
    }  # fmt: skip
    assert [row.file.sha256 for row in PackPart.objects.order_by("position")] == [
        one["sha256"] for one in found["parts"]
    ]
    assert (dusk.name, dusk.state, dusk.pack.latest_version) == ("v1", "published", dusk)
    assert Event.objects.filter(pack=dusk.pack).count() == 2
    again = publish.publish(actor=ada, pack=dusk.pack, manifest=dusk.manifest)
    assert (again.pk, again.is_new) == (dusk.pk, False)
    assert manifest.prompt_of(found["prompt"], "a {cat}") == "noir style, a {cat}, film grain"


def test_what_a_part_leaves_out_is_completed(ada: User, noir: Adapter) -> None:
    pack = services.create(actor=ada, name="dusk")
    bare = variant({"adapter": "ADA/Noir", "role": "style"}, steps=20, width=512, height=768)
    version = publish.publish(actor=ada, pack=pack, manifest=packs.manifest(bare))
    (found,) = version.manifest["variants"]
    assert found["parts"][0]["adapter"] == "ada/noir"
    assert found["parts"][0]["strength"] == 1.0
    assert (found["steps"], "guidance" in found) == (20, False)


def test_all_faults_are_named_by_their_path(ada: User, noir: Adapter) -> None:
    pack = services.create(actor=ada, name="dusk")
    bad: list[Any] = [
        variant(
            part(noir, strength=3), part(noir, role="mood", sha256="x"), part("ada/absent"),
            part(noir, version="v9"), {"strength": True},
            prompt="no place", family="sd9", steps=1.5, width=500, frames=3, name="SD 1",
        ),
        variant(part(noir), part(noir), name="two", prompt="{prompt} {prompt}", extra=1),
        variant(part(noir, file="other.safetensors"), name="two", tested_with={"A": "\0"}),
        7,
    ]  # fmt: skip
    with pytest.raises(Invalid) as refusal:
        publish.publish(actor=ada, pack=pack, manifest={"variants": bad, "schema": 2})
    assert set(faults_of(refusal)) == {
        "schema", "variants[0].parts[0].strength", "variants[0].parts[1].role",
        "variants[0].parts[1].sha256", "variants[0].parts[2].adapter",
        "variants[0].parts[3].version", "variants[0].parts[4].adapter",
        "variants[0].parts[1].adapter", "variants[0].parts[4].strength",
        "variants[0].parts[4].role", "variants[0].prompt", "variants[0].family",
        "variants[0].steps", "variants[0].width", "variants[0].height", "variants[0].frames",
        "variants[0].name", "variants[1].parts[1].adapter", "variants[1].prompt",
        "variants[1].extra", "variants[2].parts[0].file", "variants[2].name",
        "variants[2].tested_with.A", "variants[3]",
    }  # fmt: skip
    empty: list[Any] = [[], {}, {"variants": []}, {"variants": [variant()]}]
    for value in empty:
        with pytest.raises(Invalid):
            publish.publish(actor=ada, pack=pack, manifest=value)
    assert not PackVersion.objects.exists()


def test_a_variant_has_one_family(ada: User, noir: Adapter) -> None:
    unknown = adapters.create(actor=ada, name="unknown")
    packs.release(unknown, UNKNOWN)
    pack = services.create(actor=ada, name="dusk")
    document = packs.manifest(variant(part(noir), family="sdxl"))
    with pytest.raises(Invalid, match="is for Stable Diffusion") as refusal:
        publish.publish(actor=ada, pack=pack, manifest=document)
    assert set(faults_of(refusal)) == {"variants[0].parts[0].adapter"}
    document = packs.manifest(variant(part(unknown)))
    with pytest.raises(Invalid, match="is not known"):
        publish.publish(actor=ada, pack=pack, manifest=document)


def test_no_pack_is_rated_lower_or_seen_wider_than_its_parts(
    ada: User, noir: Adapter, dusk: PackVersion
) -> None:
    adapters.describe(actor=ada, adapter=noir, visibility="unlisted", maturity="mature")
    pack = services.create(actor=ada, name="night")
    document = packs.manifest(variant(part(noir)))
    with pytest.raises(Invalid, match="make the pack unlisted") as refusal:
        publish.publish(actor=ada, pack=pack, manifest=document)
    assert len(faults_of(refusal)["variants[0].parts[0].adapter"]) == 2
    services.describe(actor=ada, pack=pack, visibility="unlisted", maturity="explicit")
    publish.publish(actor=ada, pack=pack, manifest=document)
    for card in ({"visibility": "public"}, {"maturity": "suggestive"}):
        with pytest.raises(Invalid) as refusal:
            services.describe(actor=ada, pack=pack, **card)
        assert set(faults_of(refusal)) == set(card)
    pack.refresh_from_db()
    assert (pack.visibility, pack.maturity) == ("unlisted", "explicit")
    assert rating_for(None, dusk) == Maturity.MATURE
    services.describe(actor=ada, pack=dusk.pack, visibility="private", maturity="suggestive")


def test_a_part_that_nobody_sees_tells_nothing_of_its_rating(
    ada: User, bob: User, grain: Adapter
) -> None:
    """Neither to those who look at the pack nor to its owner; what was published stays."""
    theirs = adapters.create(actor=bob, name="noir", maturity="suggestive")
    packs.release(theirs, LORA)
    pack = services.create(actor=ada, name="dusk", maturity="suggestive")
    document = packs.manifest(variant(part(theirs), part(grain)))
    version = publish.publish(actor=ada, pack=pack, manifest=document)
    adapters.rename(actor=bob, adapter=theirs, name="secret")
    adapters.describe(actor=bob, adapter=theirs, maturity="explicit", visibility="private")
    assert rating_for(ada, version) == rating_for(None, version) == Maturity.SUGGESTIVE
    assert rating_for(bob, version) == Maturity.EXPLICIT
    services.describe(actor=ada, pack=pack, title="Dusk", maturity="suggestive")
    services.describe(actor=ada, pack=pack, visibility="unlisted")
    cards = {"with the rating suggestive": {"maturity": "general"},
             "became private": {"visibility": "public"}}  # fmt: skip
    for text, card in cards.items():
        with pytest.raises(Invalid, match=text) as refusal:
            services.describe(actor=ada, pack=pack, **card)
        assert "secret" not in str(refusal.value.detail)
    pack.refresh_from_db()
    services.describe(actor=ada, pack=pack, visibility="private", maturity="mature")


@pytest.mark.parametrize("change", ["withdrawn", "private", "yanked", "rated"])
def test_a_part_that_changes_during_a_publication_is_refused(
    ada: User, noir: Adapter, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = services.create(actor=ada, name="dusk")
    latest = noir.latest_version
    assert latest is not None
    put = promote.put

    def put_late(chunks: list[bytes]) -> object:
        written = put(chunks)
        if change == "withdrawn":
            withdraw.withdraw(actor=ada, version=latest, reason="Copied")
        elif change == "yanked":
            versions.yank(actor=ada, version=latest, reason="Blurred")
        else:
            card = {"visibility": "private"} if change == "private" else {"maturity": "explicit"}
            adapters.describe(actor=ada, adapter=noir, **card)
        return written

    monkeypatch.setattr(promote, "put", put_late)
    with pytest.raises(Invalid) as refusal:
        publish.publish(actor=ada, pack=pack, manifest=packs.manifest(variant(part(noir))))
    (path,) = faults_of(refusal)
    assert path.startswith("variants[0].parts[0].")
    assert not PackVersion.objects.exists()


def test_a_private_part_needs_a_private_pack_of_its_owner(
    ada: User, bob: User, noir: Adapter
) -> None:
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    document = packs.manifest(variant(part(noir)))
    theirs = services.create(actor=bob, name="dusk", visibility="private")
    with pytest.raises(Invalid, match="no adapter"):
        publish.publish(actor=bob, pack=theirs, manifest=document)
    own = services.create(actor=ada, name="dusk", visibility="private")
    assert publish.publish(actor=ada, pack=own, manifest=document).name == "v1"
    with pytest.raises(NotFound):
        selectors.get(bob, "ada", "dusk")
    with pytest.raises(Invalid):
        services.describe(actor=ada, pack=own, visibility="unlisted")


def test_a_part_that_goes_is_said_and_the_rest_is_offered(
    ada: User, bob: User, noir: Adapter, grain: Adapter, dusk: PackVersion
) -> None:
    first = noir.latest_version
    assert first is not None
    versions.yank(actor=ada, version=first, reason="Blurred")
    assert states_of(bob, dusk) == ["yanked", "available"]
    document = packs.manifest(variant(part(noir)))
    with pytest.raises(Invalid, match="was yanked: Blurred"):
        publish.publish(actor=ada, pack=dusk.pack, manifest=document)
    versions.restore(actor=ada, version=first)
    adapters.describe(actor=ada, adapter=grain, visibility="private")
    assert states_of(bob, dusk) == ["available", "private"]
    assert states_of(ada, dusk) == ["available", "available"]
    assert states_of(None, dusk) == ["available", "private"]
    withdraw.withdraw(actor=ada, version=first, reason="Copied")
    assert states_of(bob, dusk) == ["withdrawn", "private"]
    blob = Blob.objects.get(sha256=hashlib.sha256(LORA).hexdigest())
    assert Blob.objects.filter(sweep._unreferenced(), pk=blob.pk).exists()
    kept = Blob.objects.get(sha256=dusk.manifest_sha256)
    assert not Blob.objects.filter(sweep._unreferenced(), pk=kept.pk).exists()


def test_versions_are_yanked_restored_and_withdrawn(ada: User, dusk: PackVersion) -> None:
    pack = dusk.pack
    other = variant(part("ada/noir", strength=0.5))
    second = publish.publish(actor=ada, pack=pack, manifest=packs.manifest(other), notes="Less")
    assert selectors.version(pack).name == "v2"
    states.yank(actor=ada, version=second, reason="Too dark")
    assert (selectors.version(pack).name, Pack.objects.get().latest_version) == ("v1", dusk)
    states.restore(actor=ada, version=second)
    assert selectors.version(pack).name == "v2"
    states.withdraw(actor=ada, version=second, reason="Copied")
    states.withdraw(actor=ada, version=second, reason="Copied")
    for change in (states.withdraw, states.yank):
        with pytest.raises(StateConflict):
            change(actor=ada, version=second, reason="Other")
    with pytest.raises(StateConflict):
        states.restore(actor=ada, version=second)
    second = PackVersion.objects.get(number=2)
    assert (second.manifest, second.blob, second.variants.count()) == ({}, None, 0)
    assert selectors.gone_version(second).facts["latest_version"] == "v1"
    again = publish.publish(actor=ada, pack=Pack.objects.get(), manifest=packs.manifest(other))
    assert again.name == "v3"


def test_a_withdrawn_pack_takes_no_changes(ada: User, dusk: PackVersion) -> None:
    pack = states.withdraw_pack(actor=ada, pack=dusk.pack, reason="Copied")
    states.withdraw_pack(actor=ada, pack=pack, reason="Copied")
    with pytest.raises(StateConflict):
        states.withdraw_pack(actor=ada, pack=pack, reason="Other")
    with pytest.raises(Gone):
        services.describe(actor=ada, pack=pack, title="Dawn")
    with pytest.raises(NameTaken):
        services.create(actor=ada, name="dusk")
    assert not selectors.search(ada, PackQuery()).exists()
    assert PackVersion.objects.get().state == "withdrawn"


def test_names_follow_the_rules_of_adapters_and_redirect(
    ada: User, bob: User, dusk: PackVersion
) -> None:
    for name in ("a--b", ".x", "con"):
        with pytest.raises(NameInvalid):
            services.create(actor=ada, name=name)
    services.create(actor=ada, name="noir")  # as an adapter is called
    pack = services.rename(actor=ada, pack=dusk.pack, name="Evening")
    with pytest.raises(Moved) as moved:
        selectors.get(None, "ada", "DUSK")
    assert moved.value.facts["full_name"] == "ada/Evening"
    with pytest.raises(NameTaken):
        services.create(actor=ada, name="Dusk")
    with pytest.raises(NameTaken):
        services.rename(actor=ada, pack=pack, name="noir")
    assert services.rename(actor=ada, pack=pack, name="dusk").full_name == "ada/dusk"
    with pytest.raises(Forbidden):
        services.rename(actor=bob, pack=pack, name="mine")
    with pytest.raises(Forbidden):
        services.create(actor=bob, owner=ada.namespace, name="mine")


def test_packs_are_found_by_words_and_facets(ada: User, bob: User, dusk: PackVersion) -> None:
    services.describe(actor=ada, pack=dusk.pack, summary="Grey evenings with FilmGrain")
    services.create(actor=ada, name="empty")

    def found(**query: str) -> list[str]:
        rows = selectors.with_lists(selectors.search(bob, PackQuery(**query)))
        return [pack.full_name for pack in rows]

    for query in ("", "dusk", "gray", "even film", "GRAIN"):
        assert found(q=query) == ["ada/dusk"], query
    assert found(q="dusk dawn") == []
    services.describe(actor=ada, pack=dusk.pack, title="x" * 80)
    assert found(q="x" * 80) == ["ada/dusk"]
    many = [f"{'dusk'[:n]} " for n in range(1, 5)] + ["even ", "grey ", "film ", "grain "]
    many += ["eve ", "wit ", "fil ", "gra "]
    assert found(q="".join([*many, "dawn"])) == ["ada/dusk"]  # the 13th word is left out
    assert found(owner="Ada", tag="evening", kind="style", family="sd1", output="image")
    assert not found(family="sd1", output="video")
    assert not found(owner="bob")
    for query in (
        "tag:even", "tag:evening dusk", "base:sd1", 'base:"stable diffusion"', "owner:ada dusk",
        '"grey evenings"', "-anime", "-base:sdxl", "-owner:bob", "rating:general", "rating:<mature",
        "rank:8 dusk", "FilmGrain", "kind:style", "-kind:scene", "family:sd1",
        "kind:sty", 'kind:"style"', "-kind:s", "-kind:sty",
    ):  # fmt: skip
        assert found(q=query) == ["ada/dusk"], query
    for query in (
        "tag:noon", "base:sdxl", "owner:bob", "-dusk", '"grey even"', "rating:>=mature",
        "-rating:general", "-owner:ada", "kind:lighting", "-kind:style", "-tag:evening",
        "kind:s", "kind:sty dusk", 'kind:"sty"',
    ):  # fmt: skip
        assert found(q=query) == [], query
    services.describe(actor=ada, pack=dusk.pack, visibility="unlisted", tags=[])
    assert found() == []
    assert not PackWord.objects.filter(word="evening", pack=dusk.pack).exists()
    assert selectors.get(bob, "ada", "dusk") == dusk.pack
    assert [one.name for one in selectors.unpublished(ada)] == ["empty"]
    assert not selectors.unpublished(bob)


def test_packs_that_a_search_names_come_first(ada: User, noir: Adapter, dusk: PackVersion) -> None:
    for name in ("dawn", "noon", "night"):
        packs.published(ada, noir, name=name, title="", summary="Between dusk and dawn")
    rows = selectors.search(None, PackQuery(q="dusk"))
    seen, cursor = list[str](), ""
    while len(seen) < 5 and (cursor or not seen):
        found, cursor = selectors.page(rows, cursor=cursor, limit=1)
        seen += [pack.name for pack in found]
    assert seen == ["dusk", "night", "noon", "dawn"]
    for strange in ("x", "7", "n", "n1x"):
        with pytest.raises(CursorInvalid):
            selectors.page(rows, cursor=strange, limit=1)
    with pytest.raises(CursorInvalid):
        selectors.page(selectors.search(None, PackQuery()), cursor="n7", limit=1)


def test_manifests_count_for_the_quota(
    ada: User, dusk: PackVersion, own_settings: Callable[..., None]
) -> None:
    used = quotas.used_by(ada.namespace)
    assert selectors.stored_bytes(ada.namespace) == len(manifest.canonical(dusk.manifest))
    own_settings(quota_bytes=used)
    other = packs.manifest(variant(part("ada/noir", strength=0.5)))
    with pytest.raises(QuotaExceeded):
        publish.publish(actor=ada, pack=dusk.pack, manifest=other)
    assert Pack.objects.get().last_number == 1


def test_aliases_move_and_keep_their_history(
    ada: User,
    bob: User,
    dusk: PackVersion,
    django_assert_num_queries: Callable[..., object],
) -> None:
    pack = dusk.pack
    other = packs.manifest(variant(part("ada/noir", strength=0.5)))
    second = publish.publish(actor=ada, pack=pack, manifest=other)
    aliases.point(actor=ada, pack=pack, name="stable", to=dusk, expected=None)
    aliases.point(actor=ada, pack=pack, name="stable", to=dusk)
    aliases.point(actor=ada, pack=pack, name="stable", to=second, expected=dusk)
    assert selectors.version(pack, "stable") == second
    with django_assert_num_queries(1):  # type: ignore[attr-defined]
        found = [(one.name, one.version, vars(one)["mover"]) for one in selectors.aliases(pack)]
    assert found == [("stable", second, "ada")]
    for expected in (None, dusk):
        with pytest.raises(Conflict) as refusal:
            aliases.point(actor=ada, pack=pack, name="stable", to=dusk, expected=expected)
        assert refusal.value.facts["current"] == "v2"
    with pytest.raises(NameTaken):
        aliases.point(actor=ada, pack=pack, name="Stable", to=dusk)
    for name in ("main", "v3", "latest"):
        with pytest.raises(NameInvalid):
            aliases.point(actor=ada, pack=pack, name=name, to=dusk)
    with pytest.raises(Forbidden):
        aliases.point(actor=bob, pack=pack, name="mine", to=dusk)
    aliases.remove(actor=ada, pack=pack, name="stable", expected=second)
    with pytest.raises(NotFound):
        selectors.alias(pack, "stable")
    with pytest.raises(NotFound):
        selectors.version(pack, "stable")
    moves = selectors.alias_history(pack, "stable")
    told = [(move.before and move.before.name, move.after and move.after.name) for move in moves]
    assert told == [("v2", None), ("v1", "v2"), (None, "v1")]
    states.withdraw(actor=ada, version=second, reason="Copied")
    with pytest.raises(Gone):
        aliases.point(actor=ada, pack=pack, name="stable", to=second)
