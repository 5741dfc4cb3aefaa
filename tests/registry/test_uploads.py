from __future__ import annotations

import hashlib
import io
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry import storage, sweep
from registry.accounts import users
from registry.adapters import services as adapters
from registry.errors import (
    DigestMismatch,
    Invalid,
    NotFound,
    PathInvalid,
    QuotaExceeded,
    SizeMismatch,
    StateConflict,
    TooLarge,
    UploadRefused,
)
from registry.jobs import worker_process
from registry.models import Blob, Job, JobState, Upload, UploadState, User
from registry.publication import services as publication
from registry.uploads import selectors as upload_selectors
from registry.uploads import services as uploads
from tests.registry.files import LORA

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


def names() -> list[str]:
    return [entry.name for entry in storage.store().names()]


def start(actor: User, data: bytes = LORA, path: str = "noir.safetensors") -> Upload:
    return uploads.create(actor=actor, path=path, size_bytes=len(data))


def test_a_whole_body_is_checked_and_accepted(ada: User) -> None:
    upload = uploads.receive(actor=ada, upload=start(ada), stream=io.BytesIO(LORA))
    assert upload.state == UploadState.CHECKING
    worker_process.drain("checks")
    upload.refresh_from_db()
    assert upload.state == UploadState.ACCEPTED
    assert upload.blob is not None
    assert upload.blob.sha256 == hashlib.sha256(LORA).hexdigest()
    assert upload.blob.anatomy.family == "sd1"
    assert names() == [upload.blob.sha256]


def test_a_part_of_another_length_is_refused_and_the_upload_stays_open(ada: User) -> None:
    upload = start(ada)
    for body in (LORA[:-1], LORA + b"x"):
        with pytest.raises(SizeMismatch):
            uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(body))
    uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LORA))
    upload.refresh_from_db()
    assert upload.state == UploadState.CHECKING


@pytest.mark.parametrize("number", [0, 2, -1])
def test_a_part_number_outside_the_file_is_refused(ada: User, number: int) -> None:
    with pytest.raises(Invalid):
        uploads.receive_part(actor=ada, upload=start(ada), number=number, stream=io.BytesIO(LORA))


def test_bytes_that_are_not_the_announced_ones_are_refused_and_gone(ada: User) -> None:
    upload = uploads.create(
        actor=ada, path="noir.safetensors", size_bytes=len(LORA), sha256="0" * 64
    )
    with pytest.raises(DigestMismatch):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LORA))
    upload.refresh_from_db()
    assert upload.state == UploadState.REFUSED
    assert [finding.code for finding in upload.findings.all()] == ["digest_mismatch"]
    assert names() == []
    assert not Blob.objects.exists()


def test_checks_that_cannot_be_finished_end_as_refused(ada: User) -> None:
    upload = uploads.receive(actor=ada, upload=start(ada), stream=io.BytesIO(LORA))
    Job.objects.update(attempt=5)
    worker_process.drain("checks")
    upload.refresh_from_db()
    assert upload.state == UploadState.REFUSED
    assert Job.objects.get().state == JobState.FAILED


def test_a_known_digest_needs_no_bytes(ada: User, send: Callable[..., Upload]) -> None:
    send(ada, LORA)
    digest = hashlib.sha256(LORA).hexdigest()
    again = uploads.create(actor=ada, path="copy.safetensors", size_bytes=len(LORA), sha256=digest)
    assert again.state == UploadState.ACCEPTED


def test_anothers_digest_must_be_proven_by_sending(
    ada: User, bob: User, send: Callable[..., Upload]
) -> None:
    send(ada, LORA)
    digest = hashlib.sha256(LORA).hexdigest()
    attempt = uploads.create(
        actor=bob, path="copy.safetensors", size_bytes=len(LORA), sha256=digest
    )
    assert attempt.state == UploadState.RECEIVING


def test_a_companion_never_becomes_weights_by_its_digest(
    ada: User, send: Callable[..., Upload]
) -> None:
    card = b"# Noir\n"
    send(ada, card, "README.md")
    digest = hashlib.sha256(card).hexdigest()
    trick = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(card), sha256=digest)
    assert trick.state == UploadState.RECEIVING


def test_an_empty_file_is_refused_at_the_announcement(ada: User) -> None:
    with pytest.raises(UploadRefused):
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=0)
    assert not Upload.objects.exists()


def test_a_path_that_escapes_is_refused_at_the_announcement(ada: User) -> None:
    with pytest.raises(PathInvalid):
        uploads.create(actor=ada, path="../noir.safetensors", size_bytes=9)


def test_a_file_over_the_limit_is_refused_at_the_announcement(ada: User) -> None:
    with pytest.raises(TooLarge):
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=2**50)


def test_a_full_namespace_takes_no_more(ada: User) -> None:
    ada.namespace.quota_bytes = 10
    ada.namespace.save()
    with pytest.raises(QuotaExceeded):
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=11)


def test_a_malformed_digest_is_refused(ada: User) -> None:
    with pytest.raises(Invalid):
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=9, sha256="abc")


def test_a_cancelled_upload_keeps_no_bytes(ada: User) -> None:
    upload = uploads.receive(actor=ada, upload=start(ada), stream=io.BytesIO(LORA))
    uploads.cancel(actor=ada, upload=upload)
    assert names() == []
    assert worker_process.drain("checks") == 0
    upload.refresh_from_db()
    with pytest.raises(StateConflict):
        uploads.receive(actor=ada, upload=upload, stream=io.BytesIO(LORA))


def test_an_accepted_upload_can_be_let_go_until_a_version_holds_it(
    ada: User, send: Callable[..., Upload]
) -> None:
    loose = send(ada, LORA)
    uploads.cancel(actor=ada, upload=loose)
    loose.refresh_from_db()
    assert loose.state == UploadState.CANCELLED
    held = send(ada, LORA)
    noir = adapters.create(actor=ada, name="noir")
    publication.create_draft(actor=ada, adapter=noir, uploads=[held])
    with pytest.raises(StateConflict, match="A version already contains"):
        uploads.cancel(actor=ada, upload=held)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("expired", "was not finished by .* Start a new one"),
        ("cancelled", "was cancelled, .* Start a new one"),
        ("refused", "its findings give the reasons"),
        ("checking", "it is complete"),
    ],
)
def test_bytes_after_the_end_are_told_what_to_do(ada: User, state: str, said: str) -> None:
    upload = start(ada)
    Upload.objects.update(state=state)
    with pytest.raises(StateConflict, match=said) as refusal:
        uploads.receive_part(actor=ada, upload=upload, number=1, stream=io.BytesIO(LORA))
    assert refusal.value.facts["state"] == state


def test_anothers_upload_is_absent(ada: User, bob: User) -> None:
    upload = start(ada)
    with pytest.raises(NotFound):
        upload_selectors.get(bob, upload.public_id)
    with pytest.raises(NotFound):
        upload_selectors.get(ada, "no-uuid")


def test_an_upload_that_nobody_finished_expires(ada: User) -> None:
    upload = start(ada)
    storage.store().write(upload.storage_key, [LORA[:10]])
    Upload.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert sweep.run().uploads_expired == 1
    assert names() == []


def test_the_database_refuses_accepted_without_a_blob(ada: User) -> None:
    upload = start(ada)
    with pytest.raises(IntegrityError), transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(state=UploadState.ACCEPTED)


def test_the_database_refuses_a_digest_that_is_none() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Blob.objects.create(sha256="Z" * 64, size_bytes=1)


def test_sign_up_says_everything_that_does_not_fit_at_once() -> None:
    with pytest.raises(Invalid) as refusal:
        users.sign_up(name="ada", email="nowhere", password="123")
    assert set(refusal.value.facts["fields"]) == {"email", "password"}
