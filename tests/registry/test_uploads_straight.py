"""Parts that go straight to the bucket, and what its list of them says."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from registry import storage
from registry.errors import Invalid, SizeMismatch, StateConflict, UploadIncomplete
from registry.models import Upload, UploadState, User
from registry.storage.s3 import S3Store
from registry.uploads import parts
from registry.uploads import services as uploads
from tests.registry.in_parts import LARGE, MIB, begin, body, expect_accepted, names, send

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db(transaction=True)


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
        parts.record_sent(actor=straight.owner, upload=straight)
    sent = body(straight, 2)
    assert here(straight) == [(2, len(sent), hashlib.sha256(sent).hexdigest())]


@pytest.mark.service
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
        parts.record_sent(actor=straight.owner, upload=straight)
    assert here(straight) == [(2, len(sent), hashlib.sha256(sent).hexdigest())]


def sneak(upload: Upload, number: int, data: bytes) -> None:
    """Send a part as nobody can who has only links."""
    store = store_of()
    key = store._private(upload.storage_key)
    (session,) = store._uploads(key)
    store.client.upload_part(
        Bucket=store.location.bucket, Key=key, UploadId=session, PartNumber=number, Body=data
    )


@pytest.mark.service
def test_parts_go_straight_to_the_bucket(straight: Upload, ada: User) -> None:
    put(straight, 2, 1)
    assert here(straight) == []  # nobody looked yet
    parts.record_sent(actor=ada, upload=straight)
    assert here(straight) == [(1, 5 * MIB, ""), (2, 5 * MIB, "")]
    put(straight, 3)
    uploads.complete(actor=ada, upload=straight)
    expect_accepted(straight)


@pytest.mark.service
def test_both_ways_may_be_mixed_and_repeated(straight: Upload, ada: User) -> None:
    send(straight, 1)
    put(straight, 2, 1)
    send(straight, 3, 2)
    parts.record_sent(actor=ada, upload=straight)
    put(straight, 3)
    uploads.complete(actor=ada, upload=straight)
    expect_accepted(straight)


@pytest.mark.service
def test_nobody_s_word_counts_for_a_part(straight: Upload, ada: User) -> None:
    put(straight, 1)
    sneak(straight, 2, body(straight, 2)[:-1])
    parts.record_sent(actor=ada, upload=straight)
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
    parts.record_sent(actor=ada, upload=upload)
    assert here(upload) == []


@pytest.mark.service
def test_what_a_link_put_over_a_part_is_not_taken_for_it(straight: Upload) -> None:
    """A whole body keeps parts that have its bytes: by what the bucket lists, not by their rows."""
    send(straight, 1, 2, 3)
    (link,) = parts.links(actor=straight.owner, upload=straight, numbers=[2]).values()
    assert _put(link, bytes(len(body(straight, 2)))) == 200
    uploads.receive(actor=straight.owner, upload=straight, stream=io.BytesIO(LARGE))
    expect_accepted(straight)
