from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction

from registry.adapters import manifests
from registry.adapters import selectors as adapter_selectors
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.errors import (
    AlreadyPublished,
    Forbidden,
    Invalid,
    NotFound,
    QuotaExceeded,
    StateConflict,
    UploadIncomplete,
    UploadNotReady,
)
from registry.hooks import version_published
from registry.models import (
    Adapter,
    Alias,
    Event,
    File,
    Revision,
    Upload,
    UploadState,
    User,
    Version,
)  # fmt: skip
from registry.publication import services as publication
from registry.uploads import services as uploads
from registry.versions import selectors as version_selectors
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import kohya
from tests.registry.files import LORA, OTHER, SD1, UNDECIDED, UNKNOWN

pytestmark = pytest.mark.django_db(transaction=True)


Release = Callable[..., Version]
Send = Callable[..., Upload]


def test_publishing_moves_main_and_fills_what_lists_show(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA, Details(trigger_words=["noir film"], strength=0.8))
    noir.refresh_from_db()
    assert (version.name, version.family, version.state) == ("v1", "sd1", "published")
    assert noir.latest_version == version
    assert noir.family == "sd1"
    assert manifests.main_of(noir) == version.revision
    assert Alias.objects.get(adapter=noir, name="v1").revision == version.revision
    assert [file.role for file in version.files] == ["weights", "card"]
    assert version.primary_file is not None
    assert adapter_selectors.search(None, adapter_selectors.Query(q="noir FILM")).results == [noir]


def test_previews_hear_of_it_after_the_commit(ada: User, noir: Adapter, release: Release) -> None:
    heard: list[tuple[int, str]] = []

    def listen(version_id: int, **_: object) -> None:
        heard.append((version_id, Version.objects.get(pk=version_id).state))

    version_published.connect(listen)
    version = release(ada, noir, LORA)
    version_published.disconnect(listen)
    assert heard == [(version.pk, "published")]


def test_publishing_twice_is_refused(ada: User, noir: Adapter, release: Release) -> None:
    version = release(ada, noir, LORA)
    with pytest.raises(AlreadyPublished):
        publication.publish(actor=ada, version=version)
    assert Event.objects.filter(verb="version_published").count() == 1


def test_the_same_manifest_again_is_the_same_version(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    version = release(ada, noir, LORA)
    again = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    assert again == version
    assert Revision.objects.filter(adapter=noir, files__path="noir.safetensors").count() == 1


def test_new_weights_replace_old_ones_and_the_card_stays(
    ada: User, noir: Adapter, release: Release, send: Send
) -> None:
    first = publication.create_draft(
        actor=ada,
        adapter=noir,
        uploads=[send(ada, LORA, "noir.safetensors"), send(ada, b"# Noir", "README.md")],
    )
    publication.publish(actor=ada, version=first)
    second = publication.create_draft(
        actor=ada, adapter=noir, uploads=[send(ada, OTHER, "noir-v2.safetensors")]
    )
    assert [file.path for file in second.files] == ["noir-v2.safetensors"]
    publication.publish(actor=ada, version=second)
    kept = manifests.entries_of(manifests.main_of(noir))
    assert sorted(entry.path for entry in kept) == ["README.md", "noir-v2.safetensors"]


def test_a_draft_lands_on_top_of_what_was_published_meanwhile(
    ada: User, noir: Adapter, send: Send
) -> None:
    first = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    second = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])
    publication.publish(actor=ada, version=second)
    publication.publish(actor=ada, version=first)
    assert first.revision.parent == second.revision
    assert manifests.main_of(noir) == first.revision
    # What it was drafted as is gone: nothing but the root and versions are left.
    assert Revision.objects.filter(versions=None).count() == 1


def test_a_number_is_never_given_again(ada: User, noir: Adapter, send: Send) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    versions.discard(actor=ada, version=draft)
    again = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    assert again.name == "v2"


def test_a_draft_is_seen_only_by_those_who_may_publish(
    ada: User, bob: User, noir: Adapter, send: Send
) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    assert version_selectors.get(ada, noir, "v1") == draft
    for reader in (bob, None):
        with pytest.raises(NotFound):
            version_selectors.get(reader, noir, "v1")
        with pytest.raises(NotFound, match="“ada/noir” has no published version yet"):
            version_selectors.get(reader, noir, "latest")


def test_a_version_answers_to_number_alias_revision_and_latest(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    noir.refresh_from_db()
    for name in ("v1", "main", version.revision.commit, "latest"):
        assert version_selectors.get(None, noir, name) == version
    for name in ("v2", "nope", "0" * 40, "v0", "v99999999999"):
        with pytest.raises(NotFound):
            version_selectors.get(None, noir, name)


def test_a_yanked_version_stays_but_is_not_offered(
    ada: User, noir: Adapter, release: Release
) -> None:
    first = release(ada, noir, LORA)
    second = release(ada, noir, OTHER)
    versions.yank(actor=ada, version=second, reason="wrong epoch")
    noir.refresh_from_db()
    assert noir.latest_version == first
    assert version_selectors.get(None, noir, "v2").yanked_reason == "wrong epoch"
    versions.restore(actor=ada, version=second)
    noir.refresh_from_db()
    assert noir.latest_version == second


def test_an_adapter_whose_only_version_is_yanked_is_not_listed(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    versions.yank(actor=ada, version=version, reason="broken")
    assert adapter_selectors.search(None, adapter_selectors.Query()).results == []
    own = adapter_selectors.search(ada, adapter_selectors.Query(family=version.family)).results
    assert own == [noir]
    assert [one.latest_version for one in own] == [None]


def test_a_yank_needs_a_reason_that_people_can_read(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    for reason in ("", " \n ", "x" * 281, "bell\x07"):
        with pytest.raises(Invalid) as refusal:
            versions.yank(actor=ada, version=version, reason=reason)
        assert list(refusal.value.facts["fields"]) == ["reason"]
    assert versions.yank(actor=ada, version=version, reason=" too\n strong ").yanked_reason == (
        "too strong"
    )


def test_what_changes_nothing_is_no_event(ada: User, noir: Adapter, release: Release) -> None:
    version = release(ada, noir, LORA)
    versions.restore(actor=ada, version=version)
    for _again in range(2):
        versions.yank(actor=ada, version=version, reason="too strong")
    for _again in range(2):
        versions.restore(actor=ada, version=version)
    verbs = Event.objects.filter(verb__in=["version_yanked", "version_restored"]).order_by("pk")
    assert list(verbs.values_list("verb", "facts")) == [
        ("version_yanked", {"reason": "too strong"}),
        ("version_restored", {"reason": ""}),
    ]


def test_a_draft_cannot_be_yanked(ada: User, noir: Adapter, send: Send) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    with pytest.raises(StateConflict):
        versions.yank(actor=ada, version=draft, reason="x")


def test_a_published_version_cannot_be_discarded(
    ada: User, noir: Adapter, release: Release
) -> None:
    with pytest.raises(AlreadyPublished):
        versions.discard(actor=ada, version=release(ada, noir, LORA))


def test_a_draft_that_another_call_discarded_is_not_there(
    ada: User, noir: Adapter, send: Send
) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    versions.discard(actor=ada, version=Version.objects.get(pk=draft.pk))
    for act in (publication.publish, versions.discard):
        with pytest.raises(NotFound):
            act(actor=ada, version=draft)
    assert list(Event.objects.filter(verb="version_discarded").values_list("subject")) == [("v1",)]


def test_an_upload_that_is_not_complete_or_still_checked_cannot_be_published(
    ada: User, noir: Adapter
) -> None:
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=10)
    with pytest.raises(UploadIncomplete, match="not sent completely"):
        publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    upload.state = UploadState.CHECKING
    with pytest.raises(UploadNotReady):
        publication.create_draft(actor=ada, adapter=noir, uploads=[upload])


def test_a_version_needs_weights(ada: User, noir: Adapter, send: Send) -> None:
    with pytest.raises(Invalid):
        publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, b"# x", "README.md")])


def test_a_stranger_cannot_publish(ada: User, bob: User, noir: Adapter, send: Send) -> None:
    with pytest.raises(Forbidden, match="cannot change adapters of"):
        publication.create_draft(actor=bob, adapter=noir, uploads=[send(bob, LORA)])


MISFITS = [
    (Details(declared_family="sd9"), "family"),
    (Details(trigger_words=["a\x00b"]), "trigger_words"),
    (Details(trigger_words=["w"] * 33), "trigger_words"),
    (Details(strength=float("nan")), "strength"),
    (Details(strength=11.0), "strength"),
    (Details(strength_min=1.0, strength_max=0.5), "strength"),
    (Details(label="x" * 49), "label"),
]


def test_a_detail_that_does_not_fit_is_named(
    ada: User, noir: Adapter, send: Send, subtests: pytest.Subtests
) -> None:
    for details, field in MISFITS:
        with subtests.test(details=details, field=field):
            with pytest.raises(Invalid) as refusal:
                publication.create_draft(
                    actor=ada, adapter=noir, uploads=[send(ada, LORA)], details=details
                )
            assert list(refusal.value.facts["fields"]) == [field]
            assert not Version.objects.exists()


def test_bytes_are_charged_once_per_namespace(ada: User, noir: Adapter, release: Release) -> None:
    release(ada, noir, LORA)
    twin = adapters.create(actor=ada, name="twin")
    release(ada, twin, LORA)
    ada.namespace.refresh_from_db()
    readmes = File.objects.filter(path="README.md").values_list("blob__size_bytes", flat=True)
    assert len(readmes) == 2
    assert ada.namespace.used_bytes == len(LORA) + sum(readmes)


def test_a_publication_over_quota_changes_nothing(ada: User, noir: Adapter, send: Send) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    noir.namespace.quota_bytes = 1
    noir.namespace.save()
    with pytest.raises(QuotaExceeded):
        publication.publish(actor=ada, version=draft)
    noir.refresh_from_db()
    assert noir.latest_version is None
    assert manifests.main_of(noir).parent is None


def test_the_database_refuses_two_primary_files(ada: User, noir: Adapter, send: Send) -> None:
    version = publication.create_draft(actor=ada, adapter=noir, uploads=[send(ada, LORA)])
    file = version.primary_file
    assert file is not None
    with (
        pytest.raises(IntegrityError, match=r"file_one_primary|registry_file"),
        transaction.atomic(),
    ):
        File.objects.create(
            revision=version.revision,
            path="b.safetensors",
            blob=file.blob,
            role="weights",
            is_primary=True,
        )


def test_the_database_refuses_a_published_version_without_a_date(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, LORA)
    with pytest.raises(IntegrityError), transaction.atomic():
        Version.objects.filter(pk=version.pk).update(published_at=None)


def test_a_family_said_later_reaches_the_lists(ada: User, noir: Adapter, release: Release) -> None:
    version = release(ada, noir, UNKNOWN)
    assert version.family == ""
    cards.edit_version(actor=ada, version=version, details=Details(declared_family="sdxl"))
    assert adapter_selectors.search(None, adapter_selectors.Query(family="sdxl")).results == [noir]


def test_a_claim_that_the_tensors_allow_files_an_undecided_version(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, UNDECIDED)
    assert version.primary_file is not None
    assert version.primary_file.blob.anatomy.family == ""
    assert version.family == "flux1"


def test_a_family_said_by_a_person_counts_where_the_tensors_allow_it(
    ada: User, noir: Adapter, release: Release
) -> None:
    version = release(ada, noir, UNDECIDED)
    for said, counted in (("chroma", "chroma"), ("sdxl", "flux1")):
        cards.edit_version(actor=ada, version=version, details=Details(declared_family=said))
        version.refresh_from_db()
        assert (version.declared_family, version.family) == (said, counted)


def test_words_and_title_that_nobody_said_come_from_the_file(ada: User) -> None:
    said = {"modelspec.trigger_phrase": "noir light", "modelspec.title": "Noir Light"}
    adapter = adapters.create(actor=ada, name="light")
    version = catalogue.release(adapter, kohya(SD1, metadata=said))
    adapter.refresh_from_db()
    assert (version.trigger_words, adapter.title) == (["noir light"], "Noir Light")
    silent = adapters.create(actor=ada, name="silent")
    version = catalogue.release(silent, kohya(SD1, metadata=said), Details(trigger_words=[]))
    assert version.trigger_words == []


def test_words_that_nobody_said_again_stay(ada: User, noir: Adapter, release: Release) -> None:
    release(ada, noir, LORA, Details(trigger_words=["noir film"]))
    noir.refresh_from_db()
    second = release(ada, noir, OTHER)
    assert second.trigger_words == ["noir film"]
    noir.refresh_from_db()
    third = release(ada, noir, UNDECIDED, Details(trigger_words=[]))
    assert third.trigger_words == []


def test_files_that_differ_only_in_case_are_refused(ada: User, noir: Adapter, send: Send) -> None:
    pair = [send(ada, LORA, "a.safetensors"), send(ada, OTHER, "A.safetensors")]
    with pytest.raises(Invalid):
        publication.create_draft(actor=ada, adapter=noir, uploads=pair)
