"""Uploads by parts over a directory and a bucket: any order, again, at once, after restarts."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from registry import storage, worker
from registry.errors import DigestMismatch, Invalid, SizeMismatch, StateConflict, UploadIncomplete
from registry.models import Upload, UploadState, User
from registry.services import parts, sweeping, uploads
from registry.storage.s3 import S3Store
from tests.builders.adapters import kohya
from tests.registry.files import SD1

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db(transaction=True)

MIB = 2**20
#: Three parts of 5 MiB, the last one shorter.
LARGE = kohya(SD1, rank=240, dtype="F32")
DIGEST = hashlib.sha256(LARGE).hexdigest()


@pytest.fixture(params=["local", pytest.param("bucket", marks=pytest.mark.service)])
def place(request: pytest.FixtureRequest, own_settings: Callable[..., None]) -> str:
    """Parts of 5 MiB in each store."""
    own_settings(part_bytes=5 * MIB)
    if request.param == "bucket":
        request.getfixturevalue("bucket")
    return str(request.param)


def begin(actor: User, sha256: str | None = None) -> Upload:
    upload = uploads.create(
        actor=actor, path="noir.safetensors", size_bytes=len(LARGE), sha256=sha256
    )
    assert upload.part_count == 3
    return upload


def body(upload: Upload, number: int) -> bytes:
    part = parts.part_of(upload, number)
    return LARGE[part.offset : part.offset + part.size]


def send(upload: Upload, *numbers: int) -> None:
    for number in numbers:
        stream = io.BytesIO(body(upload, number))
        parts.receive_part(actor=upload.owner, upload=upload, number=number, stream=stream)


def names() -> list[str]:
    return [entry.name for entry in storage.store().names()]


def expect_accepted(upload: Upload) -> None:
    worker.drain("checks")
    upload.refresh_from_db()
    assert (upload.state, upload.sha256) == (UploadState.ACCEPTED, DIGEST)
    assert names() == [DIGEST]
    with storage.store().open(DIGEST) as handle:
        assert hashlib.sha256(handle.read()).hexdigest() == DIGEST


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
    storage.at.cache_clear()
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
        dying.setattr(uploads, "_complete", lambda *_: None)
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
        dying.setattr(uploads, "_complete", lambda *_: None)
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
    with pytest.raises(DigestMismatch):
        uploads.complete(actor=ada, upload=upload)
    upload.refresh_from_db()
    assert (upload.state, names()) == (UploadState.REFUSED, [])


def test_ending_an_upload_leaves_nothing(place: str, ada: User) -> None:
    cancelled, expired = begin(ada), begin(ada)
    send(cancelled, 1)
    send(expired, 2)
    uploads.cancel(actor=ada, upload=cancelled)
    Upload.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(1))
    assert sweeping.run().uploads_expired == 1
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


# --- Straight to the bucket ---------------------------------------------------------------------


@pytest.fixture
def straight(bucket: SeaweedFS, ada: User) -> Upload:
    """An upload whose parts can go straight to the bucket."""
    assert settings.LORARY.part_bytes == 5 * MIB
    return begin(ada)


def put(upload: Upload, *numbers: int) -> None:
    for number, url in parts.links(actor=upload.owner, upload=upload, numbers=numbers).items():
        assert _put(url, body(upload, number)) == 200


def _put(url: str, data: bytes) -> int:
    request = urllib.request.Request(url, data=data, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


def here(upload: Upload) -> list[tuple[int, int, str]]:
    return list(upload.parts.values_list("number", "size_bytes", "sha256"))


def store_of() -> S3Store:
    store = storage.store()
    assert isinstance(store, S3Store)
    return store


@pytest.mark.service
def test_a_part_that_comes_through_the_hub_while_the_bucket_lists_keeps_its_digest(
    straight: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = S3Store.names

    def names(store: S3Store, key: str = "") -> Iterator[storage.Entry]:
        send(straight, 2)
        return listing(store, key)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(S3Store, "names", names)
        parts.look(actor=straight.owner, upload=straight)
    sent = body(straight, 2)
    assert here(straight) == [(2, len(sent), hashlib.sha256(sent).hexdigest())]


@pytest.mark.parametrize("earlier_s", [5.0, 0.0])
def test_a_part_that_is_listed_twice_keeps_its_digest(
    straight: Upload, monkeypatch: pytest.MonkeyPatch, earlier_s: float
) -> None:
    """A process that was killed behind the bucket's answer leaves a part, which is sent again."""
    listing = S3Store.names

    def names(store: S3Store, key: str = "") -> Iterator[storage.Entry]:
        for entry in listing(store, key):
            yield entry
            yield entry._replace(changed=entry.changed - earlier_s)
            if not earlier_s:
                yield entry._replace(tag='"another"')

    send(straight, 2)
    sent = body(straight, 2)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(S3Store, "names", names)
        parts.look(actor=straight.owner, upload=straight)
    assert here(straight) == [(2, len(sent), hashlib.sha256(sent).hexdigest())]


def sneak(upload: Upload, number: int, data: bytes) -> None:
    """Send a part as nobody can who has only links."""
    store = store_of()
    key = store._private(upload.storage_key)
    (session,) = store._uploads(key)
    store.client.upload_part(
        Bucket=store.place.bucket, Key=key, UploadId=session, PartNumber=number, Body=data
    )


@pytest.mark.service
def test_parts_go_straight_to_the_bucket(straight: Upload, ada: User) -> None:
    put(straight, 2, 1)
    assert here(straight) == []  # nobody looked yet
    parts.look(actor=ada, upload=straight)
    assert here(straight) == [(1, 5 * MIB, ""), (2, 5 * MIB, "")]
    put(straight, 3)
    uploads.complete(actor=ada, upload=straight)
    expect_accepted(straight)


@pytest.mark.service
def test_both_ways_may_be_mixed_and_repeated(straight: Upload, ada: User) -> None:
    send(straight, 1)
    put(straight, 2, 1)
    send(straight, 3, 2)
    parts.look(actor=ada, upload=straight)
    put(straight, 3)
    uploads.complete(actor=ada, upload=straight)
    expect_accepted(straight)


@pytest.mark.service
def test_nobody_s_word_counts_for_a_part(straight: Upload, ada: User) -> None:
    put(straight, 1)
    sneak(straight, 2, body(straight, 2)[:-1])
    parts.look(actor=ada, upload=straight)
    assert [number for number, *_ in here(straight)] == [1]
    with pytest.raises(UploadIncomplete) as refusal:
        uploads.complete(actor=ada, upload=straight)
    assert refusal.value.facts["missing"] == [2, 3]


@pytest.mark.service
def test_a_part_with_more_bytes_than_it_may_have_ends_the_upload(
    straight: Upload, ada: User
) -> None:
    put(straight, 1, 2)
    sneak(straight, 3, body(straight, 3) + b"x")
    with pytest.raises(SizeMismatch):
        uploads.complete(actor=ada, upload=straight)
    straight.refresh_from_db()
    assert straight.state == UploadState.REFUSED
    assert [finding.code for finding in straight.findings.all()] == ["part_too_long"]
    assert (names(), list(storage.store().names(straight.storage_key))) == ([], [])


@pytest.mark.service
def test_a_link_of_an_upload_that_ended_leads_nowhere(straight: Upload, ada: User) -> None:
    links = parts.links(actor=ada, upload=straight, numbers=[1])
    uploads.cancel(actor=ada, upload=straight)
    assert _put(links[1], body(straight, 1)) == 404
    assert names() == []
    with pytest.raises(StateConflict):
        parts.links(actor=ada, upload=straight, numbers=[1])


@pytest.mark.service
def test_what_is_being_checked_cannot_be_changed_by_an_old_link(
    straight: Upload, ada: User
) -> None:
    links = parts.links(actor=ada, upload=straight, numbers=[1, 2, 3])
    put(straight, 1, 2, 3)
    uploads.complete(actor=ada, upload=straight)
    assert _put(links[1], b"x" * (5 * MIB)) == 404
    expect_accepted(straight)


@pytest.mark.service
def test_parts_that_a_rule_of_the_bucket_removed_are_asked_for_again(
    straight: Upload, ada: User
) -> None:
    send(straight, 1, 2, 3)
    storage.store().delete(straight.storage_key)
    with pytest.raises(UploadIncomplete):
        uploads.complete(actor=ada, upload=straight)
    assert here(straight) == []
    put(straight, 1)
    send(straight, 2, 3)
    uploads.complete(actor=ada, upload=straight)
    expect_accepted(straight)


@pytest.mark.service
@pytest.mark.parametrize("numbers", [[0], [4], range(1, 1002)])
def test_links_for_parts_that_are_none_are_refused(
    straight: Upload, ada: User, numbers: Iterable[int]
) -> None:
    with pytest.raises(Invalid):
        parts.links(actor=ada, upload=straight, numbers=list(numbers))


def test_a_hub_without_a_bucket_has_no_links(ada: User) -> None:
    upload = uploads.create(actor=ada, path="noir.safetensors", size_bytes=len(LARGE))
    assert parts.links(actor=ada, upload=upload, numbers=[1]) == {}
    parts.look(actor=ada, upload=upload)
    assert here(upload) == []
