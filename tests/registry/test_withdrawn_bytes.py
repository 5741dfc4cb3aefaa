"""What becomes of the bytes of withdrawn versions, and what comes after them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as current
from django.utils import timezone

from registry import sweep as sweeping
from registry.adapters import manifests
from registry.adapters import services as adapters
from registry.models import Adapter, Blob, File, Revision, Upload, UploadState, User, Version
from registry.publication import services as publication
from registry.uploads import services as uploads
from registry.versions import selectors as version_selectors
from registry.versions import withdraw
from tests import catalogue
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from pytest_django import Settings

pytestmark = pytest.mark.django_db

Release = Callable[..., Version]
Send = Callable[..., Upload]

WHY = "Rights of the photographer."
RESTORED = "version"


@pytest.fixture
def version(ada: User, noir: Adapter, release: Release) -> Version:
    return noir.versions.first() or release(ada, noir, LORA)


@pytest.fixture
def at_once(settings: Settings) -> Callable[[], None]:
    """Return a sweep without a grace period, and without days for uploads."""
    settings.LORARY = dataclasses.replace(current.LORARY, grace_days=0)

    def sweep() -> None:
        for _round in range(2):  # marked, then gone
            sweeping.run()

    return sweep


def test_a_sweep_says_what_waits_for_the_end_of_its_grace_period(
    ada: User, noir: Adapter, release: Release, django_assert_num_queries: Any, version: Version
) -> None:
    first, second = version, release(ada, noir, OTHER)
    assert sweeping.waiting() == (0, 0, None)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    grace = timedelta(days=current.LORARY.grace_days)
    began = timezone.now()
    sweeping.run(is_dry=True)
    with django_assert_num_queries(1):
        files, size, next_at = sweeping.waiting()
    assert (files, size) == (1, len(LORA))
    assert next_at is not None
    assert began + grace <= next_at <= timezone.now() + grace  # nothing is marked yet
    sweeping.run()
    marked = Blob.objects.get(sha256__in=digests(first)).unreferenced_since
    assert marked is not None
    assert sweeping.waiting() == (1, len(LORA), marked + grace)

    withdraw.withdraw(actor=ada, version=second, reason=WHY)
    Blob.objects.filter(unreferenced_since=marked).update(unreferenced_since=marked - grace / 2)
    assert sweeping.waiting() == (2, len(LORA) + len(OTHER), marked + grace / 2)
    Blob.objects.filter(sha256__in=digests(first)).update(unreferenced_since=marked - 2 * grace)
    for is_dry in (True, False):  # what goes does not wait
        assert sweeping.run(is_dry=is_dry).blobs == 1
        assert sweeping.waiting()[:2] == (1, len(OTHER))


def digests(version: Version) -> set[str]:
    return {file.sha256 for file in version.files}


def test_its_bytes_go_with_the_sweeper(
    ada: User, noir: Adapter, release: Release, at_once: Callable[[], None], version: Version
) -> None:
    first, second = version, release(ada, noir, OTHER)
    at_once()
    assert catalogue.stored() == digests(first) | digests(second)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    at_once()
    assert catalogue.stored() == digests(second)
    assert not first.files.get(is_primary=True).blob.is_stored
    assert second.files.get(is_primary=True).blob.is_stored


def test_bytes_that_another_version_has_are_kept(
    ada: User, noir: Adapter, release: Release, at_once: Callable[[], None], version: Version
) -> None:
    twin = adapters.create(actor=ada, name="twin")
    first, other = version, release(ada, twin, LORA)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    at_once()
    assert catalogue.stored() == digests(other)
    withdraw.withdraw(actor=ada, version=other, reason=WHY)
    at_once()
    assert catalogue.stored() == set()


def test_a_draft_keeps_the_bytes_it_shares_with_a_withdrawn_version(
    ada: User, noir: Adapter, version: Version, send: Send, at_once: Callable[[], None]
) -> None:
    first = version
    twin = adapters.create(actor=ada, name="twin")
    draft = publication.create_draft(actor=ada, adapter=twin, uploads=[send(ada, LORA)])
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    Upload.objects.update(state=UploadState.EXPIRED)
    at_once()
    assert catalogue.stored() == digests(draft)


def test_a_revision_without_a_version_keeps_what_no_withdrawn_version_had(
    ada: User, noir: Adapter, release: Release, send: Send, at_once: Callable[[], None]
) -> None:
    """An edited card on top of v1 has v1's weights as well, and must not keep them alone."""
    version, card = release(ada, noir, LORA), send(ada, b"# Noir", "README.md")
    assert card.blob is not None
    entries = manifests.entries_of(version.revision)
    lines = [*entries, manifests.Entry("README.md", card.blob, "card")]
    edited = manifests.commit(
        actor=ada, adapter=noir, parent=version.revision, entries=lines, message="card"
    )
    manifests.move(actor=ada, revision=edited, name=manifests.MAIN, is_branch=True)
    Upload.objects.update(state=UploadState.EXPIRED)
    at_once()
    assert catalogue.stored() == digests(version) | {card.blob.sha256}
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    at_once()
    assert catalogue.stored() == {card.blob.sha256}


def test_the_uploads_that_it_was_made_of_are_over(
    ada: User, noir: Adapter, version: Version, send: Send
) -> None:
    later = send(ada, LORA, "later.safetensors")
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    states = dict(Upload.objects.values_list("path", "state"))
    assert states == {"noir.safetensors": "cancelled", "later.safetensors": "accepted"}
    assert later.blob is not None


def test_room_is_given_back_once(ada: User, noir: Adapter, release: Release) -> None:
    twin = adapters.create(actor=ada, name="twin")
    first, same, other = (
        release(ada, noir, LORA), release(ada, twin, LORA), release(ada, noir, OTHER),
    )  # fmt: skip

    def used() -> int:
        return User.objects.get(pk=ada.pk).namespace.used_bytes

    assert used() == len(LORA) + len(OTHER)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    assert used() == len(LORA) + len(OTHER)
    withdraw.withdraw(actor=ada, version=same, reason=WHY)
    assert used() == len(OTHER)
    withdraw.withdraw(actor=ada, version=other, reason=WHY)
    assert used() == 0
    release(ada, noir, LORA)
    assert used() == len(LORA)


def test_what_its_owner_withdrew_may_come_back_under_a_new_number(
    ada: User, noir: Adapter, release: Release, at_once: Callable[[], None], version: Version
) -> None:
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    at_once()
    again = release(ada, noir, LORA)
    assert (again.name, again.state) == ("v2", "published")
    assert catalogue.stored() == digests(again)
    assert version_selectors.get(None, noir, "v1").state == "withdrawn"


def test_what_went_with_a_version_is_not_carried_into_the_next(
    ada: User, noir: Adapter, send: Send, at_once: Callable[[], None]
) -> None:
    card = b"# Noir"
    both = [send(ada, LORA), send(ada, card, "README.md")]
    first = publication.release(actor=ada, adapter=noir, uploads=both)
    withdraw.withdraw(actor=ada, version=first, reason=WHY)
    at_once()
    second = publication.release(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])
    assert [file.path for file in second.files] == ["noir.safetensors"]


def test_a_card_that_an_older_version_has_as_well_is_carried_on(
    ada: User, noir: Adapter, send: Send
) -> None:
    card = send(ada, b"# Noir", "README.md")
    publication.release(actor=ada, adapter=noir, uploads=[send(ada, LORA), card])
    second = publication.release(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])
    withdraw.withdraw(actor=ada, version=second, reason=WHY)
    third = publication.release(actor=ada, adapter=noir, uploads=[send(ada, OTHER)])
    assert third.name == "v3"
    assert [file.path for file in third.files] == ["noir.safetensors", "README.md"]


def test_another_s_upload_of_the_same_bytes_needs_them_sent(
    ada: User, bob: User, noir: Adapter, version: Version
) -> None:
    """Bytes of a withdrawn version are nobody's to have by their digest."""
    withdraw.withdraw(actor=ada, version=version, reason=WHY)
    (digest,) = digests(version)
    upload = uploads.create(actor=bob, path="noir.safetensors", size_bytes=len(LORA), sha256=digest)
    assert upload.state == UploadState.RECEIVING
    assert catalogue.accept(bob, LORA).blob == Blob.objects.get(sha256=digest)
    assert File.objects.count() == 1
    assert Revision.objects.count() == 2
