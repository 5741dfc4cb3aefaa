"""A version that the web publishes is out with its README.md, or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.cards import fields
from registry.cards import services as cards
from registry.commits import services as commits
from registry.errors import NotFound, StorageAway
from registry.models import AliasMove, Namespace, Version, VersionState
from registry.publication import services as publication
from registry.versions import contents
from registry.versions import publish as publishing
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db(transaction=True)

PUSHED = """---
license: mit
base_model: stable-diffusion-v1-5/stable-diffusion-v1-5
instance_prompt: noir
tags: [lora, film]
widget:
- text: noir, rain
---
# Noir
"""


@pytest.fixture
def adapter(ada: User) -> Adapter:
    return adapters.create(actor=ada, name="noir")


def draft(owner: User, adapter: Adapter, rank: int = 2, readme: str = "", **said: Any) -> Version:
    uploads = [catalogue.accept(owner, kohya(DENOISERS["sd1", "diffusers"], rank=rank))]
    if readme:
        uploads.append(catalogue.accept(owner, readme.encode(), "README.md"))
    return publication.create_draft(
        actor=owner, adapter=adapter, uploads=uploads, details=Details(**said)
    )


def publish(owner: User, adapter: Adapter, rank: int = 2, **said: Any) -> Version:
    return publication.publish(actor=owner, version=draft(owner, adapter, rank, **said))


def push(owner: User, adapter: Adapter, text: str = PUSHED) -> None:
    inline = commits.Inline("README.md", text.encode())
    commits.commit(actor=owner, adapter=adapter, inlines=[inline])


def readme(adapter: Adapter) -> str:
    line = contents.readme_of(manifests.entries_of(manifests.main_of(adapter)))
    return fields.text_of(line.blob) if line else ""


def matter(adapter: Adapter) -> dict[str, Any]:
    return fields.front_matter(readme(adapter))


def moves(adapter: Adapter) -> list[str]:
    """Return the messages of what ``main`` pointed at, the newest last."""
    rows = AliasMove.objects.filter(alias__adapter=adapter, alias__name="main").order_by("pk")
    return [move.revision.message for move in rows.select_related("revision") if move.revision]


def killed(*_args: object, **_named: object) -> NoReturn:
    raise SystemExit


def away(*_args: object) -> NoReturn:
    raise StorageAway


def test_a_version_and_its_card_are_one_revision(ada: User, adapter: Adapter) -> None:
    first = publish(ada, adapter, trigger_words=("noir",))
    assert moves(adapter)[1:] == ["v1"]
    push(ada, adapter)
    second = publish(ada, adapter, rank=4, trigger_words=("rain",))
    assert moves(adapter)[2:] == ["Update files", "v2"]
    assert manifests.main_of(adapter) == second.revision
    assert readme(adapter) == PUSHED.replace("instance_prompt: noir", "instance_prompt: rain")
    adapter.refresh_from_db()
    third = publish(ada, adapter, rank=8)
    assert moves(adapter)[4:] == ["v3"]
    cards = [version.files.get(path="README.md").sha256 for version in (first, second, third)]
    assert cards[0] != cards[1] == cards[2]
    assert third.size_bytes == sum(file.size_bytes for file in third.files)


def test_a_publication_with_its_card_does_not_read_the_card_again(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = draft(ada, adapter, trigger_words=("noir",))
    with monkeypatch.context() as patched:
        patched.setattr(cards, "_update_readme", killed)
        publication.publish(actor=ada, version=version)
    assert Version.objects.get(pk=version.pk).state == VersionState.PUBLISHED
    assert matter(adapter)["instance_prompt"] == "noir"


def test_who_dies_behind_a_publication_has_read_the_card_among_its_files(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = draft(ada, adapter, readme=PUSHED)
    with monkeypatch.context() as patched:
        patched.setattr(cards, "_update_readme", killed)
        with pytest.raises(SystemExit):
            publication.publish(actor=ada, version=version)
    adapter.refresh_from_db()
    assert (adapter.card, adapter.licence, adapter.lineage) == (
        "# Noir\n",
        "mit",
        "Stable Diffusion 1.5",
    )
    cards.edit_adapter(actor=ada, adapter=adapter, licence="apache-2.0")
    assert readme(adapter) == PUSHED.replace("license: mit", "license: apache-2.0")


def test_who_dies_before_the_card_publishes_nothing(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = draft(ada, adapter, trigger_words=("noir",))
    before = moves(adapter)
    with monkeypatch.context() as patched:
        patched.setattr(publishing, "send_published", killed)
        with pytest.raises(SystemExit):
            publication.publish(actor=ada, version=version)
    assert Version.objects.get(pk=version.pk).state == VersionState.DRAFT
    assert moves(adapter) == before
    publication.publish(actor=ada, version=version)
    assert matter(adapter)["instance_prompt"] == "noir"


def test_a_card_that_cannot_be_stored_keeps_no_version_back(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(ada, adapter, trigger_words=("noir",))
    version = draft(ada, adapter, rank=4, trigger_words=("rain",))
    with monkeypatch.context() as patched:
        patched.setattr(promote, "put", away)
        assert publication.publish(actor=ada, version=version).state == VersionState.PUBLISHED
    assert "is not updated yet" in caplog.text
    assert moves(adapter)[2:] == ["v2"]
    assert matter(adapter)["instance_prompt"] == "noir"
    adapter.refresh_from_db()
    cards.edit_adapter(actor=ada, adapter=adapter, summary="Rain.")
    assert matter(adapter)["instance_prompt"] == "rain"


def test_a_card_that_cannot_be_read_before_is_kept(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    publish(ada, adapter, trigger_words=("noir",))
    version = draft(ada, adapter, rank=4, trigger_words=("rain",))
    with monkeypatch.context() as patched:
        patched.setattr(fields, "text_of", away)
        publication.publish(actor=ada, version=version)
    assert "cannot be written" in caplog.text
    assert moves(adapter)[2:] == ["v2"]


def test_a_given_card_that_cannot_be_read_publishes_nothing(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = draft(ada, adapter, readme=PUSHED)
    monkeypatch.setattr(fields, "text_of", away)
    with pytest.raises(StorageAway):
        publication.publish(actor=ada, version=version)
    assert Version.objects.get(pk=version.pk).state == VersionState.DRAFT


def test_a_card_that_does_not_fit_keeps_no_version_back(ada: User, adapter: Adapter) -> None:
    version = draft(ada, adapter)
    Namespace.objects.filter(pk=adapter.namespace_id).update(quota_bytes=version.size_bytes)
    publication.publish(actor=ada, version=Version.objects.get(pk=version.pk))
    assert manifests.main_of(adapter) == Version.objects.get(pk=version.pk).revision
    assert Namespace.objects.get(pk=adapter.namespace_id).used_bytes == version.size_bytes


def test_a_card_pushed_meanwhile_is_not_overwritten(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(ada, adapter)
    version = draft(ada, adapter, rank=4, trigger_words=("rain",))
    prepare = publication._prepare

    def overtaken(version: Version) -> publication._Prepared | None:
        prepared = prepare(version)
        push(ada, adapter)
        return prepared

    monkeypatch.setattr(publication, "_prepare", overtaken)
    publication.publish(actor=ada, version=version)
    assert moves(adapter)[3:] == ["v2", "Update README.md"]
    assert readme(adapter) == PUSHED.replace("instance_prompt: noir", "instance_prompt: rain")


@pytest.mark.parametrize("part", ["adapter", "version"])
def test_an_edit_meanwhile_is_in_the_card(
    ada: User, adapter: Adapter, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    version = draft(ada, adapter, trigger_words=("noir",))
    prepare = publication._prepare

    def overtaken(version: Version) -> publication._Prepared | None:
        prepared = prepare(version)
        if part == "adapter":
            cards.edit_adapter(actor=ada, adapter=version.adapter, licence="mit")
        else:
            details = replace(Details.of(version), trigger_words=("rain",))
            cards.edit_version(
                actor=ada, version=Version.objects.get(pk=version.pk), details=details
            )
        return prepared

    monkeypatch.setattr(publication, "_prepare", overtaken)
    publication.publish(actor=ada, version=version)
    assert moves(adapter)[1:] == ["v1", "Update README.md"]
    key, value = ("license", "mit") if part == "adapter" else ("instance_prompt", "rain")
    assert matter(adapter)[key] == value


def test_a_draft_that_is_gone_is_told_as_such(ada: User, adapter: Adapter) -> None:
    version = draft(ada, adapter)
    stale = Version.objects.get(pk=version.pk)
    versions.discard(actor=ada, version=version)
    with pytest.raises(NotFound):
        publication.publish(actor=ada, version=stale)


def test_the_card_tells_of_the_version_in_front_of_it(ada: User, adapter: Adapter) -> None:
    first = draft(ada, adapter, trigger_words=("noir",))
    second = publish(ada, adapter, rank=4, trigger_words=("rain",))
    publication.publish(actor=ada, version=first)
    adapter.refresh_from_db()
    assert adapter.latest_version == second
    assert matter(adapter)["instance_prompt"] == "noir"
    assert moves(adapter)[-2:] == ["v2", "v1"]
