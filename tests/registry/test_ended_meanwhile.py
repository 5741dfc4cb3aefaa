"""Uploads that are cancelled, or whose time is over, while their bytes are on the way."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry import storage
from registry import sweep as sweeping
from registry.errors import StateConflict
from registry.models import Upload, UploadState, User
from registry.scan import checks
from registry.uploads import by_digest, parts
from registry.uploads import services as uploads
from tests.registry.in_parts import DIGEST, LARGE, MIB, begin, body, expect_accepted, names, send

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)


class Eventful(io.BytesIO):
    """A body in the middle of which something happens."""

    def __init__(self, data: bytes, at: int, event: Callable[[], object]) -> None:
        super().__init__(data)
        self.at, self.event, self.has_happened = at, event, False

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() >= self.at and not self.has_happened:
            self.has_happened = True
            self.event()
        return super().read(size)


def cancelling(upload: Upload) -> Callable[[], object]:
    return lambda: uploads.cancel(actor=upload.owner, upload=Upload.objects.get(pk=upload.pk))


def expect_gone(upload: Upload, refusal: StateConflict) -> None:
    assert refusal.facts["state"] == UploadState.CANCELLED
    assert "was cancelled" in str(refusal.detail)
    assert Upload.objects.get(pk=upload.pk).state == UploadState.CANCELLED
    assert not upload.findings.exists()
    assert not upload.parts.exists()
    assert names() == []


@pytest.mark.parametrize("at", [0, 2 * MIB, 7 * MIB, len(LARGE) - 1])
def test_a_whole_body_of_an_upload_that_was_cancelled_leaves_nothing(
    place: str, ada: User, at: int
) -> None:
    upload = begin(ada)
    stream = Eventful(LARGE, at, cancelling(upload))
    with pytest.raises(StateConflict) as refusal:
        uploads.receive(actor=ada, upload=upload, stream=stream)
    expect_gone(upload, refusal.value)
    assert stream.tell() <= at + 6 * MIB  # the rest is not taken


@pytest.mark.parametrize("at", [0, 2 * MIB])
def test_a_part_of_an_upload_that_was_cancelled_is_not_acknowledged(
    place: str, ada: User, at: int
) -> None:
    upload = begin(ada)
    send(upload, 1)
    stream = Eventful(body(upload, 2), at, cancelling(upload))
    with pytest.raises(StateConflict) as refusal:
        parts.receive_part(actor=ada, upload=upload, number=2, stream=stream)
    expect_gone(upload, refusal.value)


def test_a_part_sent_again_of_an_upload_that_was_cancelled_is_refused(
    place: str, ada: User
) -> None:
    upload = begin(ada)
    send(upload, 2)
    stream = Eventful(bytes(len(body(upload, 2))), MIB, cancelling(upload))
    with pytest.raises(StateConflict) as refusal:
        parts.receive_part(actor=ada, upload=upload, number=2, stream=stream)
    expect_gone(upload, refusal.value)


def test_a_deposit_that_was_cancelled_meanwhile_leaves_nothing(place: str, ada: User) -> None:
    upload = by_digest.begin(actor=ada, sha256=DIGEST, size_bytes=len(LARGE))
    assert upload is not None
    stream = Eventful(LARGE, 7 * MIB, cancelling(upload))
    with pytest.raises(StateConflict) as refusal:
        by_digest.receive_body(actor=ada, upload=upload, stream=stream)
    expect_gone(upload, refusal.value)


@pytest.mark.parametrize("step", ["parts.require_all", "checks.run_quick"])
def test_completing_what_was_cancelled_meanwhile_says_so(
    place: str, ada: User, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    upload = begin(ada)
    send(upload, 1, 2, 3)
    module, name = (
        {"parts": parts, "checks": checks}[step.partition(".")[0]],
        step.rpartition(".")[2],
    )
    do = getattr(module, name)

    def cancelled_first(*args: object) -> object:
        cancelling(upload)()
        return do(*args)

    monkeypatch.setattr(module, name, cancelled_first)
    with pytest.raises(StateConflict) as refusal:
        uploads.complete(actor=ada, upload=upload)
    assert refusal.value.facts["state"] == UploadState.CANCELLED
    assert names() == []


def test_cancelling_with_an_old_row_discards_the_newest_key(place: str, ada: User) -> None:
    upload, new = begin(ada), storage.new_key()
    Upload.objects.update(storage_key=new)
    storage.discard(upload.storage_key)
    storage.store().write(new, [LARGE])
    uploads.cancel(actor=ada, upload=upload)
    assert names() == []


def test_a_body_under_way_at_its_deadline_may_end(place: str, ada: User) -> None:
    upload = begin(ada)

    def sweep() -> None:
        Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
        assert sweeping.run().uploads_expired == 0

    uploads.receive(actor=ada, upload=upload, stream=Eventful(LARGE, 7 * MIB, sweep))
    expect_accepted(upload)


def test_an_upload_is_swept_once_no_body_is_under_way(place: str, ada: User) -> None:
    upload = begin(ada)

    def sweep() -> None:
        Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
        assert sweeping.run().uploads_expired == 0

    send(upload, 2)
    stream = Eventful(body(upload, 1), MIB, sweep)
    parts.receive_part(actor=ada, upload=upload, number=1, stream=stream)
    assert sweeping.run().uploads_expired == 1
    assert (names(), upload.parts.count()) == ([], 0)
