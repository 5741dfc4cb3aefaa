from __future__ import annotations

import hashlib
import io
import tracemalloc
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from registry import storage
from registry.errors import (
    DigestMismatch,
    Invalid,
    QuotaExceeded,
    SizeMismatch,
    StateConflict,
    UploadIncomplete,
    UploadRefused,
)
from registry.models import Upload, UploadState
from registry.scan import checks
from registry.uploads import by_digest, check, retention
from registry.uploads import services as uploads
from tests import catalogue
from tests.builders.streams import write_safetensors
from tests.registry.files import LORA, OTHER

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db(transaction=True)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def begin(actor: User, data: bytes) -> Upload | None:
    return by_digest.begin(actor=actor, sha256=digest_of(data), size_bytes=len(data))


def deposit(actor: User, data: bytes) -> Upload:
    """Send bytes whose name nobody knows yet."""
    upload = begin(actor, data)
    assert upload is not None
    by_digest.receive_body(actor=actor, upload=upload, stream=io.BytesIO(data))
    return upload


def name(actor: User, data: bytes, path: str = "noir.safetensors") -> Upload:
    return by_digest.assign_path(actor=actor, sha256=digest_of(data), path=path)


def named(actor: User, data: bytes, path: str = "noir.safetensors") -> Upload:
    """Give deposited bytes a path and run their checks."""
    upload = name(actor, data, path)
    return check.run_checks(upload=upload)


def test_bytes_that_came_before_their_name_are_checked_under_it(
    ada: User, small_parts: None
) -> None:
    deposit(ada, LORA)
    upload = named(ada, LORA, "lora/noir.safetensors")
    assert (upload.state, upload.path) == (UploadState.ACCEPTED, "lora/noir.safetensors")
    assert upload.blob is not None
    assert upload.blob.sha256 == digest_of(LORA)
    assert hasattr(upload.blob, "anatomy")


def test_parts_with_another_digest_are_refused_by_the_checks(ada: User) -> None:
    upload = begin(ada, LORA)
    assert upload is not None
    other = LORA[:-1] + bytes([LORA[-1] ^ 1])
    uploads.receive_part(actor=ada, upload=upload, number=1, stream=io.BytesIO(other))
    by_digest.finish_parts(actor=ada, upload=upload)
    assert name(ada, LORA).state == name(ada, LORA).state == UploadState.CHECKING
    assert named(ada, LORA).state == UploadState.REFUSED
    with pytest.raises(UploadRefused, match="was declared"):
        name(ada, LORA)
    assert begin(ada, LORA) is not None


def test_a_deposit_that_is_open_is_gone_on_with(ada: User) -> None:
    first = begin(ada, LORA)
    again = by_digest.begin(actor=ada, sha256=digest_of(LORA).upper(), size_bytes=len(LORA))
    assert first is not None
    assert first == again
    assert (first.state, first.path) == (UploadState.RECEIVING, digest_of(LORA))


def test_what_is_whole_being_checked_or_accepted_is_not_sent_again(ada: User) -> None:
    deposit(ada, LORA)
    assert begin(ada, LORA) is None
    upload = name(ada, LORA)
    assert begin(ada, LORA) is None
    check.run_checks(upload=upload)
    assert begin(ada, LORA) is None
    assert Upload.objects.count() == 1


def test_a_digest_alone_proves_nothing_of_what_others_sent(ada: User, bob: User) -> None:
    deposit(ada, LORA)
    for state in ("receiving", "accepted"):
        theirs = begin(bob, LORA)
        assert theirs is not None, state
        with pytest.raises(UploadIncomplete):
            name(bob, LORA)
        named(ada, LORA)


def test_what_is_published_needs_no_bytes_of_anybody(ada: User, bob: User, noir: Adapter) -> None:
    catalogue.release(noir, LORA)
    assert begin(bob, LORA) is None
    upload = name(bob, LORA, "mine.safetensors")
    assert (upload.state, upload.owner) == (UploadState.ACCEPTED, bob)


def test_a_length_that_is_not_theirs_is_refused(ada: User, noir: Adapter) -> None:
    catalogue.release(noir, LORA)
    with pytest.raises(SizeMismatch):
        by_digest.begin(actor=ada, sha256=digest_of(LORA), size_bytes=1)
    with pytest.raises(SizeMismatch):
        by_digest.assign_path(
            actor=ada, sha256=digest_of(LORA), path="noir.safetensors", size_bytes=len(LORA) + 1
        )


def test_a_body_with_another_digest_counts_for_nothing(ada: User, small_parts: None) -> None:
    upload = begin(ada, LORA)
    assert upload is not None
    other = LORA[:-1] + bytes([LORA[-1] ^ 1])
    with pytest.raises(DigestMismatch):
        by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(other))
    assert upload.part_count > 1
    assert not upload.parts.exists()
    by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(LORA))
    assert upload.is_whole


def test_a_body_that_was_cut_off_is_sent_again(ada: User, small_parts: None) -> None:
    upload = begin(ada, LORA)
    assert upload is not None
    with pytest.raises(SizeMismatch):
        by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(LORA[:-1]))
    with pytest.raises(UploadIncomplete):
        name(ada, LORA)
    by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(LORA))
    assert named(ada, LORA).state == UploadState.ACCEPTED


def test_parts_come_in_any_order_and_are_missed_by_number(ada: User, small_parts: None) -> None:
    upload = begin(ada, LORA)
    assert upload is not None
    numbers = list(range(upload.part_count, 0, -1))
    for number in numbers:
        if number == 1:
            with pytest.raises(UploadIncomplete) as refusal:
                by_digest.finish_parts(actor=ada, upload=upload)
            assert refusal.value.facts["missing"] == [1]
        part = uploads.part_of(upload, number)
        piece = io.BytesIO(LORA[part.offset : part.offset + part.size])
        uploads.receive_part(actor=ada, upload=upload, number=number, stream=piece)
    by_digest.finish_parts(actor=ada, upload=upload)
    assert named(ada, LORA).state == UploadState.ACCEPTED


def test_the_same_bytes_have_two_names(ada: User) -> None:
    deposit(ada, LORA)
    first = name(ada, LORA, "a.safetensors")
    waiting = name(ada, LORA, "b.safetensors")
    assert (waiting, waiting.path) == (first, "a.safetensors")
    check.run_checks(upload=first)
    second = name(ada, LORA, "b.safetensors")
    assert (second.path, second.state) == ("b.safetensors", UploadState.ACCEPTED)


def test_naming_again_finds_what_was_named(ada: User) -> None:
    deposit(ada, LORA)
    first = name(ada, LORA)
    assert name(ada, LORA) == first
    check.run_checks(upload=first)
    assert name(ada, LORA) == first
    assert Upload.objects.count() == 1


def test_a_name_given_by_a_process_that_died_is_gone_on_with(ada: User) -> None:
    upload = deposit(ada, LORA)
    Upload.objects.filter(pk=upload.pk).update(path="noir.safetensors")
    assert begin(ada, LORA) is not None
    assert named(ada, LORA) == upload


def test_a_refused_file_is_refused_again_with_what_was_found(ada: User) -> None:
    text = b"not an adapter at all"
    deposit(ada, text)
    findings = []
    for _time in range(2):
        with pytest.raises(UploadRefused) as refusal:
            name(ada, text)
        assert checks.is_refused(refusal.value.findings)
        findings.append([found.to_dict() for found in refusal.value.findings])
    assert findings[0] == findings[1]
    # Sent again under a name that fits, it is welcome.
    deposit(ada, text)
    assert named(ada, text, "notes.txt").state == UploadState.ACCEPTED


def test_bytes_accepted_as_text_are_no_weights(ada: User) -> None:
    deposit(ada, b"# Noir")
    named(ada, b"# Noir", "README.md")
    with pytest.raises(UploadRefused):
        name(ada, b"# Noir", "noir.safetensors")


def test_deposits_without_a_name_expire_and_leave_nothing(ada: User) -> None:
    upload = deposit(ada, LORA)
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert retention.expire() == [(1, len(LORA))]
    with pytest.raises(FileNotFoundError):
        storage.store().open(upload.storage_key)
    with pytest.raises(UploadIncomplete):
        name(ada, LORA)
    with pytest.raises(StateConflict):
        by_digest.receive_body(actor=ada, upload=upload, stream=io.BytesIO(LORA))


def test_deposits_have_a_limit_of_their_own(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_digest, "MAX_DEPOSITS", 2)
    for number in range(2):
        by_digest.begin(actor=ada, sha256=digest_of(bytes([number])), size_bytes=1)
    with pytest.raises(Invalid):
        by_digest.begin(actor=ada, sha256=digest_of(b"more"), size_bytes=4)
    assert uploads.create(actor=ada, path="README.md", size_bytes=4).state == UploadState.RECEIVING


def test_deposits_count_against_the_quota(ada: User) -> None:
    ada.namespace.quota_bytes = len(LORA) + 10
    ada.namespace.save()
    deposit(ada, LORA)
    with pytest.raises(QuotaExceeded):
        begin(ada, OTHER)


@pytest.mark.parametrize("sha256", ["", "xyz", "0" * 63])
def test_what_is_no_digest_is_refused(ada: User, sha256: str) -> None:
    with pytest.raises(Invalid):
        by_digest.begin(actor=ada, sha256=sha256, size_bytes=3)
    with pytest.raises(Invalid):
        by_digest.assign_path(actor=ada, sha256=sha256, path="README.md")


def test_a_small_file_in_memory_is_kept_once(ada: User) -> None:
    first = by_digest.upload_bytes(actor=ada, path="README.md", data=b"# Noir")
    check.run_checks(upload=first)
    assert by_digest.upload_bytes(actor=ada, path="README.md", data=b"# Noir") == first
    other = by_digest.upload_bytes(actor=ada, path="notes.md", data=b"# Noir")
    assert (other.state, other.blob) == (UploadState.ACCEPTED, Upload.objects.get(pk=first.pk).blob)


def large(size_bytes: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the tensors of an adapter of one module, about so large."""
    rank = size_bytes // (2 * 2 * 320)
    module = "lora_unet_down_blocks_0_attentions_0_proj_in"
    return {
        f"{module}.alpha": ("F16", ()),
        f"{module}.lora_down.weight": ("F16", (rank, 320, 1, 1)),
        f"{module}.lora_up.weight": ("F16", (320, rank, 1, 1)),
    }


def test_a_large_file_passes_through_without_being_held(ada: User, tmp_path: Path) -> None:
    file = tmp_path / "large.safetensors"
    size = write_safetensors(file, large(64 * 2**20))
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    upload = by_digest.begin(actor=ada, sha256=sha256, size_bytes=size)
    assert upload is not None
    with file.open("rb") as handle:
        tracemalloc.start()
        by_digest.receive_body(actor=ada, upload=upload, stream=handle)
        named = by_digest.assign_path(actor=ada, sha256=sha256, path="large.safetensors")
        _now, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (named.state, named.size_bytes) == (UploadState.CHECKING, size)
    assert peak < 8 * 2**20


@pytest.mark.usefixtures("either_store")
def test_deposits_go_the_same_way_in_every_store(ada: User) -> None:
    deposit(ada, LORA)
    assert begin(ada, LORA) is None
    upload = named(ada, LORA)
    assert upload.state == UploadState.ACCEPTED
    assert name(ada, LORA, "copy.safetensors").state == UploadState.ACCEPTED


def test_a_deposit_past_its_deadline_is_begun_anew(ada: User) -> None:
    late = deposit(ada, LORA)
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    with pytest.raises(UploadIncomplete):
        name(ada, LORA)
    assert deposit(ada, LORA) != late
    assert named(ada, LORA).state == UploadState.ACCEPTED
