"""What counts against a user's quota, and that its limits hold when much comes at once."""

from __future__ import annotations

import hashlib
import io
import os
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from registry import storage
from registry import sweep as sweeping
from registry.accounts import quotas
from registry.adapters import services as adapters
from registry.blobs import promote
from registry.errors import Invalid, QuotaExceeded, UploadRefused
from registry.models import (
    Adapter,
    Blob,
    Membership,
    Namespace,
    Role,
    Upload,
    UploadState,
    User,
    VersionState,
    Visibility,
)
from registry.publication import services as publication
from registry.uploads import by_digest, check
from registry.uploads import services as uploads
from registry.versions import withdraw
from tests.catalogue import accept, release
from tests.races import at_once
from tests.registry.files import LORA, OTHER

pytestmark = pytest.mark.django_db(transaction=True)

SIZE = len(LORA)


def limit(user: User, size_bytes: int) -> None:
    Namespace.objects.filter(user=user).update(quota_bytes=size_bytes)
    user.namespace.refresh_from_db()


def used(user: User) -> int:
    return quotas.used_by(Namespace.objects.get(user=user))


def announce(user: User, size_bytes: int = SIZE) -> Upload:
    return uploads.create(actor=user, path="noir.safetensors", size_bytes=size_bytes)


def sweep() -> None:
    """Let the grace period pass, twice: bytes are marked, then they go."""
    for _round in range(2):
        sweeping.run()
        past = timezone.now() - timedelta(days=400)
        Blob.objects.filter(unreferenced_since__isnull=False).update(unreferenced_since=past)
        for path in storage.store().root.rglob("*"):  # type: ignore[attr-defined]  # LocalStore
            if path.is_file():
                os.utime(path, (time.time() - 400 * 86_400,) * 2)
        sweeping.run()


def test_the_quota_counts_a_draft(ada: User, noir: Adapter) -> None:
    publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    assert used(ada) == SIZE
    limit(ada, SIZE + 10)
    with pytest.raises(QuotaExceeded) as refusal:
        announce(ada, 11)
    facts = {"quota_bytes": SIZE + 10, "used_bytes": SIZE, "size_bytes": 11}
    assert refusal.value.facts.items() >= facts.items()
    announce(ada, 10)


def test_the_quota_counts_bytes_once_when_their_draft_is_published(
    ada: User, noir: Adapter
) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    publication.publish(actor=ada, version=draft)
    namespace = Namespace.objects.get(user=ada)
    assert used(ada) == namespace.used_bytes


def test_the_quota_counts_what_was_cancelled_until_the_sweeper_took_it(ada: User) -> None:
    uploads.cancel(actor=ada, upload=accept(ada, LORA))
    assert used(ada) == SIZE
    limit(ada, SIZE + 10)
    with pytest.raises(QuotaExceeded):
        announce(ada, 11)
    sweep()
    assert used(ada) == 0
    announce(ada, 11)


def test_the_quota_counts_what_was_withdrawn_until_the_sweeper_took_it(
    ada: User, noir: Adapter
) -> None:
    version = release(noir, LORA)
    card = used(ada) - SIZE
    withdraw.withdraw(actor=ada, version=version, reason="Rights.")
    assert SIZE <= used(ada) <= SIZE + card
    sweep()
    assert used(ada) <= card


def test_the_quota_counts_the_same_bytes_once(ada: User) -> None:
    accept(ada, LORA)
    accept(ada, LORA, "copy.safetensors")
    uploads.create(
        actor=ada,
        path="known.safetensors",
        size_bytes=SIZE,
        sha256=hashlib.sha256(LORA).hexdigest(),
    )
    assert used(ada) == SIZE


def test_the_quota_counts_what_is_open_and_not_what_was_dropped(ada: User) -> None:
    upload = announce(ada)
    assert used(ada) == SIZE
    uploads.cancel(actor=ada, upload=upload)
    assert used(ada) == 0


def test_a_known_digest_needs_no_room(ada: User) -> None:
    accept(ada, LORA)
    limit(ada, SIZE)
    again = uploads.create(
        actor=ada, path="b.safetensors", size_bytes=SIZE, sha256=hashlib.sha256(LORA).hexdigest()
    )
    assert again.state == UploadState.ACCEPTED


def test_the_quota_does_not_count_what_others_brought_since(ada: User, bob: User) -> None:
    uploads.cancel(actor=ada, upload=accept(ada, LORA))
    sweep()
    accept(bob, LORA)
    assert (used(ada), used(bob)) == (0, SIZE)


def test_the_quota_of_a_user_leaves_out_what_an_organisation_holds(ada: User) -> None:
    studio = Namespace.objects.create(kind="organisation", name="studio", key="studio")
    Membership.objects.create(namespace=studio, user=ada, role=Role.WRITE)
    adapter = adapters.create(actor=ada, name="noir", owner=studio)
    draft = publication.create_draft(actor=ada, adapter=adapter, uploads=[accept(ada, LORA)])
    assert used(ada) == SIZE
    publication.publish(actor=ada, version=draft)
    studio.refresh_from_db()
    assert used(ada) == 0
    assert quotas.used_by(studio) == studio.used_bytes >= SIZE


def test_the_quota_counts_what_was_cancelled_while_it_was_promoted(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = uploads.receive(actor=ada, upload=announce(ada), stream=io.BytesIO(LORA))
    bring = promote.move_to_digest

    def cancelled_meanwhile(**asked: Any) -> None:
        bring(**asked)
        uploads.cancel(actor=ada, upload=Upload.objects.get(pk=upload.pk))

    monkeypatch.setattr(promote, "move_to_digest", cancelled_meanwhile)
    assert check.run_checks(upload=upload).state == UploadState.CANCELLED
    assert used(ada) == SIZE
    sweep()
    assert (used(ada), list(storage.store().names())) == (0, [])


def test_the_quota_holds_when_many_announce_at_once(ada: User) -> None:
    limit(ada, 3 * SIZE)
    assert at_once(lambda _: announce(User.objects.get(pk=ada.pk)), QuotaExceeded) == 3
    assert used(ada) == 3 * SIZE


def test_the_limit_of_open_uploads_holds_when_many_announce_at_once(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_OPEN_UPLOADS", 3)
    assert at_once(lambda _: announce(User.objects.get(pk=ada.pk), 10), Invalid) == 3
    assert Upload.objects.count() == 3


def test_the_limit_of_deposits_holds_when_many_begin_at_once(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_digest, "MAX_DEPOSITS", 3)

    def begin(number: int) -> None:
        digest = hashlib.sha256(bytes([number])).hexdigest()
        by_digest.begin(actor=User.objects.get(pk=ada.pk), sha256=digest, size_bytes=1)

    assert at_once(begin, Invalid) == 3
    assert Upload.objects.count() == 3


def test_room_is_found_without_a_look_at_what_is_published(ada: User, noir: Adapter) -> None:
    release(noir, LORA)
    release(noir, OTHER)
    rows = Upload.objects.filter(owner=ada, blob__in=quotas.unpublished(ada).values("pk"))
    assert not rows.exists()


def later(**since: float) -> None:
    """Let time pass for what uploads and blobs remember."""
    age = timedelta(**since)
    Upload.objects.update(updated_at=F("updated_at") - age, created_at=F("created_at") - age)
    Blob.objects.update(created_at=F("created_at") - age)


def test_the_quota_does_not_tell_that_others_have_the_same_bytes(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)  # an adapter that bob cannot see
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    upload = accept(bob, LORA)
    assert used(bob) == SIZE
    uploads.cancel(actor=bob, upload=upload)
    assert used(bob) == SIZE
    later(days=8)
    assert used(bob) == 0
    assert Blob.objects.get(sha256=hashlib.sha256(LORA).hexdigest()).is_stored


def test_bytes_that_others_have_need_room_too(ada: User, bob: User, noir: Adapter) -> None:
    release(noir, LORA)
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    accept(bob, LORA)
    limit(bob, SIZE)
    with pytest.raises(QuotaExceeded, match=rf"uses {SIZE} of {SIZE}\. Cancel"):
        announce(bob, 1)


def test_stored_bytes_that_the_user_may_read_need_room_once(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)  # a public adapter
    limit(bob, SIZE - 1)
    digest = hashlib.sha256(LORA).hexdigest()

    def create() -> Upload:
        return uploads.create(actor=bob, path="noir.safetensors", size_bytes=SIZE, sha256=digest)

    with pytest.raises(QuotaExceeded) as refused:
        create()
    assert refused.value.facts["used_bytes"] == used(bob) == 0
    assert not bob.uploads.exists()
    limit(bob, SIZE)
    assert create().state == create().state == UploadState.ACCEPTED
    assert used(bob) == SIZE


def test_a_lapsed_upload_is_not_accepted_again_because_others_have_its_bytes(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)
    Adapter.objects.update(visibility=Visibility.PRIVATE)
    upload = accept(bob, LORA)
    later(days=8)
    assert sweeping.run(is_dry=True).uploads_expired == 1
    assert sweeping.run().uploads_expired == 1
    upload.refresh_from_db()
    assert (upload.state, used(bob)) == (UploadState.EXPIRED, SIZE)
    later(days=7)
    assert used(bob) == 0
    again = uploads.create(
        actor=bob,
        path="noir.safetensors",
        size_bytes=SIZE,
        sha256=hashlib.sha256(LORA).hexdigest(),
    )
    assert again.state == UploadState.RECEIVING
    with pytest.raises(UploadRefused):
        publication.create_draft(
            actor=bob, adapter=adapters.create(actor=bob, name="mine"), uploads=[upload]
        )


def test_an_upload_that_a_draft_holds_does_not_lapse(ada: User, noir: Adapter) -> None:
    upload = accept(ada, LORA)
    publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    later(days=400)
    sweeping.run()
    upload.refresh_from_db()
    assert (upload.state, used(ada)) == (UploadState.ACCEPTED, SIZE)


def test_what_others_have_published_does_not_keep_an_upload_from_being_cancelled(
    ada: User, bob: User, noir: Adapter
) -> None:
    release(noir, LORA)
    upload = accept(bob, LORA)
    uploads.cancel(actor=bob, upload=upload)
    upload.refresh_from_db()
    assert upload.state == UploadState.CANCELLED


def test_a_namespace_above_its_quota_keeps_what_it_has(ada: User, noir: Adapter) -> None:
    version = release(noir, LORA)
    limit(ada, 1)
    version.refresh_from_db()
    assert version.state == VersionState.PUBLISHED
    with pytest.raises(QuotaExceeded) as refusal:
        announce(ada, 1)
    assert refusal.value.facts["quota_bytes"] == 1
    withdraw.withdraw(actor=ada, version=version, reason="Mine.")  # makes room
