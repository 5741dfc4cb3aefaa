"""Uploads that are long decided, and who still needs them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import sweep
from registry.accounts import quotas
from registry.jobs import queue
from registry.models import (
    Blob,
    Event,
    Finding,
    Job,
    JobState,
    Upload,
    UploadPart,
    UploadState,
    User,
)
from registry.publication import services as publication
from registry.uploads import retention
from registry.uploads import services as uploads
from registry.versions import selectors as version_selectors
from registry.versions import withdraw
from tests.catalogue import accept, release
from tests.registry.files import LORA, OTHER, UNKNOWN, with_nan

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter

pytestmark = pytest.mark.django_db


def announced(actor: User, state: UploadState) -> Upload:
    upload = uploads.create(actor=actor, path="noir.safetensors", size_bytes=1000)
    Upload.objects.filter(pk=upload.pk).update(state=state)
    return upload


def age(days: float = 0.0) -> None:
    """Have everything happened a minute and so many days ago, the days of the log if left out."""
    past = timezone.now() - timedelta(days=days or settings.LORARY.upload_log_days, minutes=1)
    Upload.objects.update(updated_at=past)
    Blob.objects.update(created_at=past)


def swept() -> int:
    """Sweep, and return how many uploads were forgotten, as a dry run told before."""
    told = sweep.run(is_dry=True)
    done = sweep.run()
    assert done == told
    return done.uploads_forgotten


def found_of(upload: Upload) -> set[str]:
    """Return the codes of what was found in the bytes of an upload."""
    return set(upload.findings.exclude(blob=None).values_list("code", flat=True))


def left() -> set[int]:
    return set(Upload.objects.values_list("pk", flat=True))


@pytest.mark.parametrize("state", [UploadState.CANCELLED, UploadState.REFUSED, UploadState.EXPIRED])
def test_what_came_to_nothing_is_forgotten_after_its_days(ada: User, state: UploadState) -> None:
    announced(ada, state)
    age(settings.LORARY.upload_log_days - 1)
    assert swept() == 0
    age()
    assert swept() == 1
    assert not left()


def test_what_is_open_is_never_forgotten(ada: User) -> None:
    kept = {announced(ada, state).pk for state in (UploadState.RECEIVING, UploadState.CHECKING)}
    age(4000)
    assert swept() == 0
    assert left() == kept


def test_findings_parts_and_jobs_go_along_and_those_of_others_stay(ada: User) -> None:
    refused = accept(ada, with_nan(LORA))
    assert refused.state == UploadState.REFUSED
    age()
    recent, is_open = accept(ada, UNKNOWN), announced(ada, UploadState.RECEIVING)
    for upload in (refused, recent, is_open):
        UploadPart.objects.create(upload=upload, number=7, size_bytes=1)
    Job.objects.exclude(key=f"check_upload:{refused.pk}").update(state=JobState.DONE)
    again = queue.enqueue(
        queue="checks", task="check_upload", args={}, key=f"check_upload:{refused.pk}"
    )
    Job.objects.create(
        queue="checks", task="check_upload", key=f"check_upload:{refused.pk}", state=JobState.FAILED
    )
    events = Event.objects.count()
    assert retention.forget() == 1
    assert left() == {recent.pk, is_open.pk}
    assert set(Finding.objects.values_list("upload", flat=True)) == {recent.pk}
    assert set(UploadPart.objects.values_list("upload", flat=True)) == {recent.pk, is_open.pk}
    keys = {f"check_upload:{upload.pk}" for upload in (refused, recent)}
    assert set(Job.objects.values_list("key", flat=True)) == keys
    assert Job.objects.get(key=again.key) == again  # the open one; who runs it finds no upload
    assert Event.objects.count() == events


def test_what_is_published_keeps_its_upload_and_what_was_found(ada: User, noir: Adapter) -> None:
    version = release(noir, UNKNOWN)
    file = version.files.get(is_primary=True)
    before = version_selectors.findings_of(version, file, is_owner=True)
    assert before
    age()
    assert swept() == 0
    assert version_selectors.findings_of(version, file, is_owner=True) == before


def test_of_uploads_of_the_same_bytes_the_last_one_stays(ada: User, noir: Adapter) -> None:
    uploads_of = [accept(ada, UNKNOWN) for _ in range(3)]
    release(noir, UNKNOWN)
    last = Upload.objects.latest("pk")
    age()
    assert swept() == len(uploads_of)
    assert left() == {last.pk}
    assert set(Finding.objects.values_list("upload", flat=True)) == {last.pk}


def test_what_was_found_outlives_later_uploads_by_digest(ada: User, noir: Adapter) -> None:
    release(noir, UNKNOWN)
    digest, told = Blob.objects.get().sha256, found_of(Upload.objects.get())
    assert told
    known = [
        uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(UNKNOWN), sha256=digest)
        for _ in range(3)
    ]
    assert {one.state for one in known} == {UploadState.ACCEPTED}
    age()
    assert swept() == 3
    assert left() == {known[-1].pk}
    assert told <= found_of(known[-1]), "the last one has what was found in the bytes"


def test_uploads_of_others_do_not_stand_for_ones_own(ada: User, bob: User) -> None:
    kept = {accept(user, LORA).pk for user in (ada, bob)}
    Blob.objects.update(unreferenced_since=None)
    age()
    assert retention.forget() == 0
    assert left() == kept


def test_a_cancelled_upload_does_not_stand_for_an_accepted_one(ada: User) -> None:
    accepted, cancelled = accept(ada, LORA), accept(ada, LORA)
    uploads.cancel(actor=ada, upload=cancelled)
    age()
    assert retention.forget() == 0
    Upload.objects.filter(pk=accepted.pk).update(state=UploadState.CANCELLED)
    assert retention.forget() == 1
    assert left() == {cancelled.pk}


def test_bytes_of_a_draft_count_against_the_quota_for_good(ada: User, noir: Adapter) -> None:
    upload = accept(ada, LORA)
    publication.create_draft(actor=ada, adapter=noir, uploads=[upload])
    age(4000)
    used = quotas.used_by(ada.namespace)
    assert used >= len(LORA)
    assert swept() == 0
    assert quotas.used_by(ada.namespace) == used


def test_bytes_that_are_gone_take_their_uploads_along(
    ada: User, noir: Adapter, own_settings: Callable[..., None]
) -> None:
    own_settings(grace_days=0)
    accept(ada, OTHER)
    withdraw.withdraw(actor=ada, version=release(noir, LORA), reason="Mine no more.")
    age()
    assert [swept() for _ in range(3)] == [0, 0, 2]  # marked, let go of, forgotten
    assert not left()
    assert Blob.objects.count() == 2


def test_an_accepted_upload_outlives_a_short_log_while_it_may_be_published(
    ada: User, own_settings: Callable[..., None]
) -> None:
    own_settings(upload_log_days=1, upload_days=30)
    for _ in range(2):
        accept(ada, LORA)
    age(29)
    assert swept() == 0


def test_many_go_in_short_transactions(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    for _ in range(5):
        announced(ada, UploadState.CANCELLED)
    age()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert retention.forget() == 5
    begun = [one for one in queries if one["sql"].startswith("SAVEPOINT")]
    assert len(begun) >= 3


def test_whatever_refers_to_an_upload_goes_with_it() -> None:
    """A model that is to keep its upload has to be thought of in ``retention``."""
    referring = {one.related_model for one in Upload._meta.related_objects}
    assert referring == {Finding, UploadPart}
