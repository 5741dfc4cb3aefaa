"""Uploads by parts over a directory and a bucket: any order, again, at once, after restarts."""

from __future__ import annotations

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.utils import timezone

from registry import storage, sweep
from registry.errors import DigestMismatch, SizeMismatch, StateConflict, UploadIncomplete
from registry.jobs import worker_process
from registry.models import BlobAnatomy, Upload, UploadState, User
from registry.scan import checks
from registry.uploads import check, parts
from registry.uploads import services as uploads
from tests.registry.in_parts import DIGEST, LARGE, MIB, begin, body, expect_accepted, names, send

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db(transaction=True)


def test_any_order_and_again(place: str, ada: User) -> None:
    upload = begin(ada)
    send(upload, 3, 1, 3, 2, 1)
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_at_once(place: str, ada: User) -> None:
    upload = begin(ada)

    def one(number: int) -> None:
        try:
            send(Upload.objects.get(pk=upload.pk), number)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(one, (1, 2, 3)))
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_a_request_that_is_read_too_late_takes_nothing_back(place: str, ada: User) -> None:
    """Its sender gave it up, sent the part again and was told that it is here."""
    upload = begin(ada)
    send(upload, 2)
    cut = io.BytesIO(body(upload, 2)[:1000])
    with pytest.raises(SizeMismatch):
        parts.receive_part(actor=ada, upload=upload, number=2, stream=cut)
    row = upload.parts.get()
    assert (row.number, row.sha256) == (2, hashlib.sha256(body(upload, 2)).hexdigest())
    send(upload, 2, 1, 3)
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_other_bytes_take_the_place_of_a_part(place: str, ada: User) -> None:
    upload = begin(ada)
    other = bytes(len(body(upload, 3)))
    parts.receive_part(actor=ada, upload=upload, number=3, stream=io.BytesIO(other))
    assert upload.parts.get().sha256 == hashlib.sha256(other).hexdigest()
    send(upload, 3, 1, 2)
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_after_a_restart_of_the_server(place: str, ada: User) -> None:
    upload = begin(ada)
    send(upload, 2)
    storage.store_at.cache_clear()
    again = Upload.objects.get(pk=upload.pk)
    assert list(again.parts.values_list("number", flat=True)) == [2]
    send(again, 1)
    with pytest.raises(UploadIncomplete) as refusal:
        uploads.complete(actor=ada, upload=again)
    assert refusal.value.facts["missing"] == [3]
    send(again, 3)
    uploads.complete(actor=ada, upload=again)
    expect_accepted(again)


def joined(actor: User, monkeypatch: pytest.MonkeyPatch) -> Upload:
    """Return an upload whose process died between joining its parts and saying so."""
    upload = begin(actor)
    send(upload, 1, 2, 3)
    with monkeypatch.context() as dying:
        dying.setattr(uploads, "_complete", lambda *_, **_more: None)
        uploads.complete(actor=actor, upload=upload)
    return upload


def test_a_process_that_died_after_joining_is_gone_on_from(
    place: str, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = joined(ada, monkeypatch)
    assert Upload.objects.get().state == UploadState.RECEIVING
    uploads.complete(actor=ada, upload=Upload.objects.get())
    expect_accepted(upload)


@pytest.mark.service
def test_a_part_that_comes_after_joining_does_not_make_the_upload_incomplete(
    bucket: SeaweedFS, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = joined(ada, monkeypatch)
    before = list(upload.parts.values_list("number", "sha256"))
    send(upload, 2)  # the same bytes: they are here
    other = io.BytesIO(bytes(len(body(upload, 2))))
    with pytest.raises(StateConflict, match="Complete it"):
        parts.receive_part(actor=ada, upload=upload, number=2, stream=other)
    assert list(upload.parts.values_list("number", "sha256")) == before
    uploads.complete(actor=ada, upload=Upload.objects.get())
    expect_accepted(upload)


def test_a_whole_body_after_a_process_that_died_at_its_end(
    place: str, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = begin(ada)
    with monkeypatch.context() as dying:
        dying.setattr(uploads, "_complete", lambda *_, **_more: None)
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    again = Upload.objects.get()
    uploads.receive(actor=ada, upload=again, stream=io.BytesIO(LARGE))
    expect_accepted(again)


def test_a_whole_body_that_is_cut_off_is_gone_on_with_by_parts(place: str, ada: User) -> None:
    upload = begin(ada)
    with pytest.raises(SizeMismatch):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE[: 12 * MIB]))
    assert list(upload.parts.values_list("number", flat=True)) == [1, 2]
    send(upload, 3)
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_a_body_that_breaks_off_takes_no_part_back(place: str, ada: User) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    before = list(upload.parts.values_list("number", "sha256"))
    with pytest.raises(SizeMismatch):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE[: 7 * MIB]))
    assert list(upload.parts.values_list("number", "sha256")) == before
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_a_body_again_takes_none_of_what_came_of_it_back(place: str, ada: User) -> None:
    upload = begin(ada)
    for size in (12 * MIB, 7 * MIB, 0):
        with pytest.raises(SizeMismatch):
            uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE[:size]))
        assert list(upload.parts.values_list("number", flat=True)) == [1, 2]
    uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    expect_accepted(upload)


def test_a_body_takes_the_place_of_parts_with_other_bytes(place: str, ada: User) -> None:
    upload = begin(ada)
    other = io.BytesIO(bytes(len(body(upload, 2))))
    parts.receive_part(actor=ada, upload=upload, number=2, stream=other)
    send(upload, 1, 3)
    uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    expect_accepted(upload)


def test_parts_that_the_store_lost_are_told_and_sent_again(place: str, ada: User) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    storage.store().delete(upload.storage_key)
    with pytest.raises(UploadIncomplete):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    assert not upload.parts.exists()
    uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    expect_accepted(upload)


@pytest.mark.service
@pytest.mark.parametrize("first", [True, False])
def test_another_body_after_joining_begins_anew_or_loses_nothing(
    bucket: SeaweedFS, ada: User, monkeypatch: pytest.MonkeyPatch, *, first: bool
) -> None:
    upload = joined(ada, monkeypatch)
    before = list(upload.parts.values_list("number", "sha256"))
    at = 0 if first else 6 * MIB
    other = LARGE[:at] + bytes(len(LARGE) - at)
    with pytest.raises(SizeMismatch if first else StateConflict):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(other[:-1]))
    if first:
        assert list(upload.parts.values_list("number", flat=True)) == [1, 2]
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LARGE))
    else:
        assert list(upload.parts.values_list("number", "sha256")) == before
        uploads.complete(actor=ada, upload=Upload.objects.get())
    expect_accepted(upload)


def test_a_damaged_part_never_replaces_a_sound_one(place: str, ada: User) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    damaged = io.BytesIO(b"x" * len(body(upload, 3)))
    with pytest.raises(DigestMismatch):
        parts.receive_part(actor=ada, upload=upload, number=3, stream=damaged, sha256="0" * 64)
    send(upload, 3)
    uploads.complete(actor=ada, upload=upload)
    expect_accepted(upload)


def test_a_declared_digest_is_held_to(place: str, ada: User) -> None:
    upload = begin(ada, "0" * 64)
    send(upload, 1, 2, 3)
    uploads.complete(actor=ada, upload=upload)
    assert (upload.state, upload.sha256) == (UploadState.CHECKING, "")
    worker_process.drain("checks")
    upload.refresh_from_db()
    assert (upload.state, names()) == (UploadState.REFUSED, [])
    assert [found.code for found in upload.findings.all()] == ["digest_mismatch"]
    with pytest.raises(StateConflict):
        uploads.complete(actor=ada, upload=upload)


@pytest.mark.parametrize("step", ["storage.BlobStore.promote", "check._record"])
def test_a_worker_that_dies_before_or_after_the_digest_is_the_name_loses_nothing(
    place: str, ada: User, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    uploads.complete(actor=ada, upload=upload)

    def die(*_: object, **_more: object) -> None:
        raise KeyboardInterrupt

    owner = check if step.startswith("check") else type(storage.store())
    with monkeypatch.context() as dying:
        dying.setattr(owner, step.rpartition(".")[2], die)
        with pytest.raises(KeyboardInterrupt):
            check.run_checks(upload=upload)
    assert Upload.objects.get().sha256 == DIGEST
    expect_accepted(upload)


@pytest.mark.parametrize("release", ["this", "before"])
def test_the_anatomy_is_worked_out_once(
    place: str, ada: User, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    uploads.complete(actor=ada, upload=upload)
    known = Upload.objects.get().anatomy
    with monkeypatch.context() as patch:
        if release == "this":
            patch.setattr(checks, "inspect_file", None)
        else:  # which hashed on completion and left no anatomy
            Upload.objects.update(sha256=DIGEST, anatomy=None)
        expect_accepted(upload)
    assert known == BlobAnatomy.objects.get().document
    assert upload.anatomy is None


def test_ending_an_upload_leaves_nothing(place: str, ada: User) -> None:
    cancelled, expired = begin(ada), begin(ada)
    send(cancelled, 1)
    send(expired, 2)
    uploads.cancel(actor=ada, upload=cancelled)
    Upload.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(1))
    assert sweep.run().uploads_expired == 1
    assert names() == []
    for upload in (cancelled, expired):
        with pytest.raises(StateConflict):
            send(Upload.objects.get(pk=upload.pk), 1)
    assert names() == []


def test_files_with_too_many_parts_get_longer_ones(
    ada: User, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=64 * 1024)
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=10_000 * 65_536 + 1)
    assert (upload.part_bytes, upload.part_count) == (MIB, 626)
    fits = uploads.create(actor=ada, path="noir.safetensors", size_bytes=10_000 * 65_536)
    assert (fits.part_bytes, fits.part_count) == (65_536, 10_000)
