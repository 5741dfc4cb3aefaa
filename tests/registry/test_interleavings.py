"""What happens when two things happen at once, or late."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from registry import locks, storage, sweep
from registry.cards import services as cards
from registry.errors import AlreadyPublished, Conflict, SizeMismatch, StateConflict, UploadRefused
from registry.jobs import identity, queue, worker_process
from registry.models import Adapter, Blob, Job, JobState, Upload, UploadState, User, Version
from registry.publication import services as publication
from registry.scan import checks
from registry.uploads import check
from registry.uploads import services as uploads
from registry.versions import services as versions
from registry.versions.details import Details
from tests.catalogue import accept, release
from tests.registry.files import LORA, OTHER

pytestmark = pytest.mark.django_db(transaction=True)


class Slow(io.BytesIO):
    """A body whose rest comes once the test says so."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.is_begun, self.may_end = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.is_begun.is_set():
            self.may_end.wait(10)
        self.is_begun.set()
        return super().read(size)


def sent(actor: User, data: bytes = LORA) -> Upload:
    """An upload of which every part is here."""
    upload = uploads.create(actor=actor, path="noir.safetensors", size_bytes=len(data))
    uploads.receive_part(actor=actor, upload=upload, number=1, stream=io.BytesIO(data))
    return upload


def test_a_part_that_is_still_arriving_holds_up_completion(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "WAIT_S", 0.1)
    upload, late = sent(ada), Slow(LORA)

    def send_again() -> None:
        try:
            again = Upload.objects.get(pk=upload.pk)
            uploads.receive_part(actor=ada, upload=again, number=1, stream=late)
        finally:
            connection.close()

    thread = threading.Thread(target=send_again)
    thread.start()
    late.is_begun.wait(10)
    with pytest.raises(Conflict):
        uploads.complete(actor=ada, upload=upload)
    late.may_end.set()
    thread.join()
    uploads.complete(actor=ada, upload=upload)
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED


def test_a_part_that_comes_after_completion_changes_nothing(ada: User) -> None:
    upload = sent(ada)
    stale = Upload.objects.get(pk=upload.pk)
    uploads.complete(actor=ada, upload=upload)
    body = io.BytesIO(b"x" * len(LORA))
    with pytest.raises(StateConflict):
        uploads.receive_part(actor=ada, upload=stale, number=1, stream=body)
    check.run_checks(upload=upload)
    with storage.store().open(hashlib.sha256(LORA).hexdigest()) as handle:
        assert handle.read() == LORA


def test_a_part_sent_again_by_halves_stays_as_it_was(ada: User) -> None:
    upload = sent(ada)
    with pytest.raises(SizeMismatch):
        uploads.receive_part(actor=ada, upload=upload, number=1, stream=io.BytesIO(b"x"))
    uploads.complete(actor=ada, upload=upload)
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED


def test_completing_twice_with_old_rows_is_no_error(ada: User) -> None:
    upload = sent(ada)
    stale = Upload.objects.get(pk=upload.pk)
    uploads.complete(actor=ada, upload=upload)
    assert uploads.complete(actor=ada, upload=stale).state == UploadState.CHECKING


def test_a_refusal_that_comes_late_keeps_the_bytes(ada: User) -> None:
    upload = sent(ada)
    uploads.complete(actor=ada, upload=upload)
    check.refuse(upload, [], from_state=UploadState.RECEIVING)
    assert check.run_checks(upload=upload).state == UploadState.ACCEPTED


def test_an_upload_cancelled_during_its_checks_leaves_no_blob(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = sent(ada)
    uploads.complete(actor=ada, upload=upload)
    run = checks.run_deep

    def cancelled_meanwhile(*args: Any, **more: Any) -> Any:
        uploads.cancel(actor=ada, upload=Upload.objects.get(pk=upload.pk))
        return run(*args, **more)

    monkeypatch.setattr(checks, "run_deep", cancelled_meanwhile)
    assert check.run_checks(upload=upload).state == UploadState.CANCELLED
    assert not Blob.objects.exists()


def test_an_edit_with_an_old_row_does_not_undo_a_publication(ada: User, noir: Adapter) -> None:
    stale = Adapter.objects.get(pk=noir.pk)
    version = release(noir, LORA)
    cards.edit_adapter(actor=ada, adapter=stale, summary="Hard shadows.")
    fresh = Adapter.objects.get(pk=noir.pk)
    assert (fresh.latest_version, fresh.last_number) == (version, 1)


def test_words_written_on_an_old_row_do_not_undo_a_publication(ada: User, noir: Adapter) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    stale = Version.objects.get(pk=draft.pk)
    publication.publish(actor=ada, version=draft)
    cards.edit_version(actor=ada, version=stale, details=Details(notes="later"))
    assert Version.objects.get(pk=draft.pk).state == "published"


def test_a_draft_published_meanwhile_is_not_discarded(ada: User, noir: Adapter) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    stale = Version.objects.get(pk=draft.pk)
    publication.publish(actor=ada, version=draft)
    with pytest.raises(AlreadyPublished):
        versions.discard(actor=ada, version=stale)


def test_a_discarded_draft_lets_go_of_its_files(ada: User, noir: Adapter) -> None:
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    versions.discard(actor=ada, version=draft)
    assert not Blob.objects.get().files.exists()


def test_the_newest_number_is_offered_whatever_was_published_last(ada: User, noir: Adapter) -> None:
    first = publication.create_draft(actor=ada, adapter=noir, uploads=[accept(ada, LORA)])
    second = release(noir, OTHER)
    publication.publish(actor=ada, version=first)
    noir.refresh_from_db()
    assert noir.latest_version == second


def test_details_given_with_the_files_of_a_draft_are_taken(ada: User, noir: Adapter) -> None:
    upload = accept(ada, LORA)
    publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    said = Details(trigger_words=["noir light"])
    version = publication.release(actor=ada, adapter=noir, uploads=[upload], details=said)
    assert version.trigger_words == ["noir light"]


def age(days: int) -> None:
    """Make everything that is stored as old as this."""
    past = timezone.now() - timedelta(days=days)
    Upload.objects.update(updated_at=past)
    Blob.objects.filter(unreferenced_since__isnull=False).update(unreferenced_since=past)
    for path in locks.folder().parent.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - days * 86_400,) * 2)


def test_an_accepted_upload_keeps_its_bytes_while_it_may_be_published(ada: User) -> None:
    accept(ada, LORA)
    sweep.run()
    age(3)
    assert sweep.run().blobs == 0


def test_bytes_that_were_swept_cannot_be_published(ada: User, noir: Adapter) -> None:
    upload = accept(ada, LORA)
    age(400)
    sweep.run()
    age(400)
    assert sweep.run().files >= 1
    with pytest.raises(UploadRefused, match="deleted after"):
        publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    assert accept(ada, LORA).state == UploadState.ACCEPTED


def test_published_bytes_are_never_swept(ada: User, noir: Adapter) -> None:
    release(noir, LORA)
    for _round in range(3):
        age(400)
        sweep.run()
    with storage.store().open(hashlib.sha256(LORA).hexdigest()) as handle:
        assert handle.read() == LORA


def test_a_dry_run_removes_nothing(ada: User) -> None:
    accept(ada, LORA)
    sweep.run()
    age(400)
    sweep.run()
    age(400)
    before = list(storage.store().names())
    assert sweep.run(is_dry=True).blobs == 1
    assert list(storage.store().names()) == before


def test_bytes_of_one_kind_are_not_taken_for_another(ada: User) -> None:
    text = b"cos\nsystem\n(S'echo'\ntR."
    accept(ada, text, "notes.txt")
    digest = hashlib.sha256(text).hexdigest()
    with pytest.raises(UploadRefused):
        uploads.create(actor=ada, path="model.ckpt", size_bytes=len(text), sha256=digest)


def test_a_failure_ends_job_and_upload_together(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = sent(ada)
    uploads.complete(actor=ada, upload=upload)
    Job.objects.update(attempt=5)

    def broken(*_: object, **__: object) -> None:
        reason = "away"
        raise OSError(reason)

    monkeypatch.setattr(check, "save_findings", broken)
    with pytest.raises(OSError, match="away"):
        worker_process.drain("checks")
    assert Job.objects.get().state == JobState.RUNNING


def test_jobs_claimed_meanwhile_are_not_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job.objects.create(
        queue="checks", task="x", key="k", state=JobState.RUNNING, worker="dead:1"
    )

    def claimed(_worker: str) -> bool:
        Job.objects.filter(pk=job.pk).update(worker=identity.worker_name())
        return True

    monkeypatch.setattr(queue, "is_dead", claimed)
    assert queue.release_dead() == 0
