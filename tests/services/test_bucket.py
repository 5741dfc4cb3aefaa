"""What only a bucket does: links, sealed keys, servers that are away, files of any length."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from registry import storage
from registry.errors import SizeMismatch, StorageAway, UploadIncomplete
from registry.storage import Fetch, Part, s3, s3_client, spooling
from registry.storage.s3 import S3Store
from tests.running import free_port
from tests.stored import put_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.service, pytest.mark.slow]

MIB = 2**20
STEP = 5 * MIB
BINARY = "application/octet-stream"


@pytest.fixture
def store(bucket: SeaweedFS) -> S3Store:
    del bucket
    found = storage.store()
    assert isinstance(found, S3Store)
    return found


def get(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    return _ask(urllib.request.Request(url, headers=headers))


def put(url: str, data: bytes) -> int:
    return _ask(urllib.request.Request(url, data=data, method="PUT"))[0]


def _ask(request: urllib.request.Request) -> tuple[int, bytes, dict[str, str]]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(), dict(refusal.headers)


def uploads_of(store: S3Store) -> list[str]:
    """Multipart uploads that the server keeps for this hub."""
    listed = store.client.list_multipart_uploads(
        Bucket=store.location.bucket, Prefix=store.location.prefix
    )
    return [one["Key"] for one in listed.get("Uploads", [])]


# --- Links --------------------------------------------------------------------------------------


def test_a_link_hands_a_file_out_under_its_name_and_in_ranges(store: S3Store) -> None:
    data = os.urandom(1000)
    name = put_bytes([data]).sha256
    said = "attachment; filename=\"a b.safetensors\"; filename*=UTF-8''a%20b%C3%A9.safetensors"
    url = store.link(name, Fetch(content_type="image/png", disposition=said))
    assert url is not None
    status, body, headers = get(url)
    assert (status, body) == (200, data)
    assert (headers["Content-Type"], headers["Content-Disposition"]) == ("image/png", said)
    status, body, headers = get(url, Range="bytes=10-19")
    assert (status, body, headers["Content-Range"]) == (206, data[10:20], "bytes 10-19/1000")


def test_a_link_that_was_tampered_with_or_is_old_gives_nothing(store: S3Store) -> None:
    name, other = put_bytes([b"mine"]).sha256, put_bytes([b"another's"]).sha256
    url = store.link(name, Fetch())
    assert url is not None
    assert get(url.replace(name, other))[0] == 403
    assert get(url[:-4] + ("0000" if url[-4:] != "0000" else "1111"))[0] == 403
    assert get(url.partition("?")[0])[0] == 403
    brief = store.link(name, Fetch(seconds=1))
    assert brief is not None
    until = time.monotonic() + 30
    while get(brief)[0] == 200:
        assert time.monotonic() < until
    assert get(brief)[0] == 403


def test_parts_that_came_by_links_make_the_file(store: S3Store) -> None:
    data, key = os.urandom(STEP + 1000), storage.new_key()
    parts = [Part(1, 0, STEP), Part(2, STEP, 1000)]
    for part in reversed(parts):
        url = store.link(key, part)
        assert url is not None
        assert put(url, data[part.offset : part.offset + part.size]) == 200
    listed = {entry.number: entry.size for entry in store.names(key)}
    assert listed == {1: STEP, 2: 1000}
    store.assemble(key, parts)
    with store.open(key) as handle:
        assert handle.read() == data


@pytest.mark.parametrize("size", [999, 1001, 5000])
def test_a_link_takes_exactly_the_bytes_of_its_part(store: S3Store, size: int) -> None:
    url = store.link(storage.new_key(), Part(1, 0, 1000))
    assert url is not None
    assert put(url, b"x" * size) == 403


def test_more_bytes_that_came_around_a_link_are_refused(store: S3Store) -> None:
    key = storage.new_key()
    store.link(key, Part(1, 0, 1000))
    store.write(key, [b"x" * 1001], part=Part(1, 0, 1000))
    with pytest.raises(SizeMismatch):
        store.assemble(key, [Part(1, 0, 1000)])
    with pytest.raises(FileNotFoundError):
        store.open(key)


def test_many_links_cost_one_look(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = storage.new_key()
    monkeypatch.setattr(s3, "UPLOAD_ID_S", 3600.0)
    first = store.link(key, Part(1, 0, 10))
    looked: list[object] = []

    def look(*said: object, **_more: object) -> list[object]:
        looked.append(said)
        return []

    monkeypatch.setattr(S3Store, "_pages", look)
    monkeypatch.setattr(S3Store, "_call", look)
    links = {store.link(key, Part(number, 0, 10)) for number in range(1, 500)}
    assert (len(links), looked) == (499, [])
    assert first is not None
    assert "uploadId=" in first


# --- What is joined stays as it is --------------------------------------------------------------


def test_nothing_changes_a_file_that_was_joined(store: S3Store) -> None:
    key, part = storage.new_key(), Part(1, 0, 4)
    late = store.link(key, part)
    assert late is not None
    store.write(key, [b"good"], part=part)
    store.assemble(key, [part])
    assert put(late, b"evil") == 404
    with pytest.raises(FileExistsError):
        store.write(key, [b"evil"], part=part)
    with pytest.raises(FileExistsError):
        store.write(key, [b"evil"])
    with pytest.raises(FileExistsError):
        store.link(key, part)
    store.assemble(key, [part])
    with store.open(key) as handle:
        assert handle.read() == b"good"
    assert uploads_of(store) == []


def test_parts_that_a_server_lists_no_more_because_it_joins_them_are_not_missing(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SeaweedFS has the object before it forgets the parts, one by one."""
    key, part = storage.new_key(), Part(1, 0, 4)
    store.write(key, [b"good"], part=part)
    upload = store._found(key)
    with monkeypatch.context() as early:
        early.setattr(S3Store, "_listed", lambda *_: [])
        with pytest.raises(UploadIncomplete):
            store.assemble(key, [part])
    store.assemble(key, [part])
    with monkeypatch.context() as late:
        late.setattr(S3Store, "_found", lambda *_: upload)
        late.setattr(S3Store, "_listed", lambda *_: [])
        store.assemble(key, [part])


def test_a_handle_never_mixes_two_objects(store: S3Store) -> None:
    key = storage.new_key()
    store.write(key, [b"a" * MIB])
    with store.open(key) as handle:
        assert handle.read(10) == b"a" * 10
        place = store._private(key)
        store.client.put_object(Bucket=store.location.bucket, Key=place, Body=b"b" * MIB)
        handle.seek(MIB - 10)
        with pytest.raises(FileExistsError):
            handle.read(10)


# --- Length -------------------------------------------------------------------------------------


def test_a_header_costs_a_header(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    name = put_bytes([os.urandom(MIB) for _ in range(3)]).sha256
    asked: list[str] = []
    call = S3Store._call

    def counted(self: S3Store, verb: str, **more: object) -> object:
        asked.append(str(more.get("Range", verb)))
        return call(self, verb, **more)

    monkeypatch.setattr(S3Store, "_call", counted)
    with store.open(name) as handle:
        handle.read(8)
        handle.read(1000)
    assert asked == ["head_object", "bytes=0-65535"]


def test_a_file_of_unknown_length_is_sent_in_pieces(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "PIECE", STEP)
    data = os.urandom(2 * STEP + 77)
    written = put_bytes(data[place : place + 100_000] for place in range(0, len(data), 100_000))
    with store.open(written.sha256) as handle:
        assert hashlib.sha256(handle.read()).hexdigest() == hashlib.sha256(data).hexdigest()
    assert uploads_of(store) == []


def test_a_long_file_is_promoted_by_stretches(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "COPY_BYTES", STEP)
    data = os.urandom(2 * STEP + 77)
    name = put_bytes([data]).sha256
    assert put_bytes([data]).sha256 == name
    with store.open(name) as handle:
        assert handle.read() == data
    assert [entry.name for entry in store.names()] == [name]
    assert uploads_of(store) == []


def test_the_rest_of_a_copy_that_was_cut_off_is_removed_and_the_blob_stays(store: S3Store) -> None:
    name = put_bytes([b"kept"]).sha256
    place = store._blob(name)
    store.client.create_multipart_upload(Bucket=store.location.bucket, Key=place)
    assert sorted(entry.is_partial for entry in store.names()) == [False, True]
    store.delete(name, is_partial=True)
    assert [entry.is_partial for entry in store.names()] == [False]


# --- Servers that do not answer -----------------------------------------------------------------


def expect_away(store: storage.BlobStore) -> None:
    for attempt in (
        lambda: store.write("a" * 32, [b"x"]),
        lambda: store.open("b" * 64),
        lambda: list(store.names()),
    ):
        with pytest.raises(StorageAway) as refusal:
            attempt()
        assert refusal.value.facts["retry_after"] > 0


def test_a_server_that_is_away_is_said_to_be(
    bucket: SeaweedFS, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 2)
    place = bucket.storage(endpoint=f"http://127.0.0.1:{free_port()}")
    own_settings(storage=place)
    expect_away(storage.store())


def test_a_bucket_that_is_none_is_said_to_be_away(
    bucket: SeaweedFS, own_settings: Callable[..., None]
) -> None:
    own_settings(storage=urlsplit(bucket.storage())._replace(netloc="nobodys").geturl())
    with pytest.raises(StorageAway):
        list(storage.store().names())
    with pytest.raises(StorageAway):
        storage.store().write("a" * 32, [b"x"])


def test_a_server_that_does_not_know_us_is_said_to_be_away(
    bucket: SeaweedFS, own_settings: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    own_settings(storage=bucket.storage())
    expect_away(storage.store())


def test_a_hub_whose_clients_do_not_reach_the_server_has_no_links(
    bucket: SeaweedFS, own_settings: Callable[..., None]
) -> None:
    own_settings(storage=bucket.storage(links="no"))
    key = storage.new_key()
    assert storage.store().link(key, Part(1, 0, 1)) is None
    assert storage.store().link("a" * 64, Fetch()) is None
    assert not storage.has_links()


def test_links_name_the_server_as_others_reach_it(
    bucket: SeaweedFS, own_settings: Callable[..., None]
) -> None:
    own_settings(storage=bucket.storage(links="https://files.example"))
    link = storage.store().link("a" * 64, Fetch())
    assert isinstance(link, str)
    assert link.startswith("https://files.example/")
