"""The way of a file over the API when bytes are kept in a bucket."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings

from registry import storage
from registry.cards import services as cards
from registry.jobs import worker_process
from registry.models import Blob, Upload
from registry.storage import s3_client
from registry.versions import download_counts
from tests.builders.adapters import DENOISERS, kohya
from tests.running import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, User, Version
    from tests.api.conftest import Caller
    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.service]

MIB = 2**20


def ask(url: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    """Talk to the bucket as anybody would."""
    method = "GET" if data is None else "PUT"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read(), dict(refusal.headers)


@pytest.fixture
def large() -> bytes:
    """Weights of 12.5 MiB: three parts."""
    return kohya(DENOISERS["sd1", "diffusers"], rank=240, dtype="F32")


def address_of(version: Version) -> str:
    adapter = version.adapter
    return f"adapters/{adapter.full_name}/versions/{version.name}/files/noir.safetensors"


def test_a_file_is_uploaded_checked_published_and_downloaded_by_way_of_the_bucket(
    bucket: SeaweedFS, as_ada: Caller, stranger: Caller, noir: Adapter, large: bytes
) -> None:
    digest = hashlib.sha256(large).hexdigest()
    announced = {"path": "noir.safetensors", "size": len(large), "sha256": digest}
    upload = as_ada.send("post", "uploads", announced).json()
    links = as_ada.send("post", upload["urls"]["links"], {"numbers": [3, 1, 2]}).json()["links"]
    assert [link["number"] for link in links] == [3, 1, 2]
    for link in links:
        begin = (link["number"] - 1) * upload["part_size"]
        assert ask(link["url"], large[begin : begin + upload["part_size"]])[0] == 200
    seen = as_ada.send("post", upload["urls"]["parts"]).json()
    assert seen["received"] == len(large)
    assert [part["sha256"] for part in seen["parts"]] == ["", "", ""]
    done = as_ada.send("post", upload["urls"]["complete"])
    assert (done.status_code, done.json()["state"]) == (200, "checking")
    worker_process.drain("checks")
    body = {"uploads": [upload["id"]], "trigger_words": ["noir style"]}
    published = as_ada.send("post", f"adapters/{noir.full_name}/versions", body)
    assert published.status_code == 201
    readmes = Blob.objects.filter(files__path="README.md").values_list("sha256", flat=True)
    assert {entry.name for entry in storage.store().names()} == {digest, *readmes}
    file = stranger.send("get", f"adapters/{noir.full_name}/versions/v1").json()["files"][0]
    answer = stranger.send("get", file["download_url"])
    assert (answer.status_code, answer.headers["ETag"]) == (302, f'"{digest}"')
    assert answer.headers["Cache-Control"] == "public, no-store"
    status, data, headers = ask(answer.headers["Location"])
    assert (status, hashlib.sha256(data).hexdigest()) == (200, digest)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == answer.headers["Content-Disposition"]
    assert "noir.safetensors" in headers["Content-Disposition"]
    assert download_counts.write()
    assert stranger.send("get", f"adapters/{noir.full_name}").json()["downloads"] == 1


def test_parts_through_the_hub_and_whole_bodies_work_as_ever(
    bucket: SeaweedFS, as_ada: Caller, large: bytes
) -> None:
    digest = hashlib.sha256(large).hexdigest()
    announced = {"path": "noir.safetensors", "size": len(large)}
    upload = as_ada.send("post", "uploads", announced).json()
    for number in (2, 3, 1):
        begin = (number - 1) * upload["part_size"]
        part = large[begin : begin + upload["part_size"]]
        place = upload["urls"]["part"].format(number=number)
        answer = as_ada.put_bytes(place, part)
        assert answer.json()["sha256"] == hashlib.sha256(part).hexdigest()
    done = as_ada.send("post", upload["urls"]["complete"])
    assert (done.json()["state"], done.json()["sha256"]) == ("checking", None)
    whole = as_ada.send("post", "uploads", announced).json()
    sent = as_ada.put_bytes(whole["urls"]["content"], large)
    assert (sent.json()["state"], sent.json()["sha256"]) == ("checking", digest)


@pytest.mark.parametrize("visibility", ["public", "private"])
def test_downloads_keep_their_headers_and_conditions(
    bucket: SeaweedFS,
    ada: User,
    as_ada: Caller,
    stranger: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
    visibility: str,
) -> None:
    version = released(noir, lora)
    cards.edit_adapter(actor=ada, adapter=noir, visibility=visibility)
    place, digest = address_of(version), hashlib.sha256(lora).hexdigest()
    known = stranger.send("get", place).status_code
    assert known == (302 if visibility == "public" else 404)
    head = as_ada.send("head", place)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(lora)))
    assert head.headers["ETag"] == f'"{digest}"'
    assert "Location" not in head.headers
    same = as_ada.send("get", place, headers={"If-None-Match": f'"{digest}"'})
    assert same.status_code == 304
    other = as_ada.send("get", place, headers={"If-Match": '"0"'})
    assert other.status_code == 412
    beyond = as_ada.send("get", place, headers={"Range": f"bytes={len(lora)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(lora)}")
    part = as_ada.send("get", place, headers={"Range": "bytes=8-99"})
    assert (part.status_code, part.headers["Cache-Control"]) == (302, f"{visibility}, no-store")
    assert part.headers["Repr-Digest"] == head.headers["Repr-Digest"]
    assert not {"Repr-Digest", "Content-Length"} & set(same.headers)
    assert ask(part.headers["Location"], Range="bytes=8-99")[:2] == (206, lora[8:100])


def test_a_hub_whose_bucket_others_cannot_reach_sends_everything_itself(
    bucket: SeaweedFS,
    as_ada: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    own_settings: Callable[..., None],
    lora: bytes,
) -> None:
    own_settings(storage=bucket.storage(links="no"))
    upload = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": len(lora)}).json()
    assert upload["urls"]["links"] is None
    place = address_of(released(noir, lora))
    whole: Any = as_ada.send("get", place)
    assert (whole.status_code, b"".join(whole.streaming_content)) == (200, lora)
    part: Any = as_ada.send("get", place, headers={"Range": "bytes=8-99"})
    assert (part.status_code, b"".join(part.streaming_content)) == (206, lora[8:100])


def test_a_bucket_that_is_away_is_said_to_be_and_nothing_is_left(
    bucket: SeaweedFS,
    as_ada: Caller,
    own_settings: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s3_client, "ATTEMPTS", 1)
    own_settings(storage=bucket.storage(endpoint=f"http://127.0.0.1:{free_port()}"))
    answer = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": 10})
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_away")
    assert int(answer.headers["Retry-After"]) > 0
    assert not Upload.objects.exists()
    assert settings.LORARY.part_bytes == 5 * MIB
