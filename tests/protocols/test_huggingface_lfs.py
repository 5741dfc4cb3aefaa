"""Git LFS: what a batch answers, and what its links allow."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from django.core import signing

from hub.protocols.huggingface.commits import lfs
from registry.models import AccessToken, Upload, UploadState
from registry.uploads import by_digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import Adapter, User
    from tests.buckets import SeaweedFS

pytestmark = pytest.mark.django_db

PLACE = "/ada/noir.git/info/lfs/objects/batch"
MEDIA = "application/vnd.git-lfs+json"
MIB = 2**20


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def asked(*datas: bytes, **more: Any) -> dict[str, Any]:
    objects = [{"oid": sha(data), "size": len(data)} for data in datas]
    return {"operation": "upload", "transfers": ["basic", "multipart"], "objects": objects,
            "hash_algo": "sha256", **more}  # fmt: skip


def batch(client: Client, body: Any) -> Any:
    return client.post(PLACE, json.dumps(body), content_type=MEDIA, headers={"Accept": MEDIA})


def path_of(href: str) -> str:
    assert href.startswith("http://testserver/ada/noir.git/info/lfs/objects/")
    return urlsplit(href).path


def put(client: Client, href: str, data: bytes) -> Any:
    return client.generic("PUT", path_of(href), data, content_type="application/octet-stream")


def test_a_file_travels_in_one_body_without_a_token(
    as_ada: Client, stranger: Client, ada: User, noir: Adapter
) -> None:
    data = os.urandom(100_000)
    answer = batch(as_ada, asked(data))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, MEDIA)
    (told,) = answer.json()["objects"]
    assert (told["oid"], told["size"]) == (sha(data), len(data))
    href = told["actions"]["upload"]["href"]
    for _again in range(2):
        sent = put(stranger, href, data)
        assert (sent.status_code, sent.headers["ETag"]) == (200, f'"{sha(data)}"')
    (there,) = batch(as_ada, asked(data)).json()["objects"]
    assert "actions" not in there
    assert Upload.objects.get(owner=ada, path=sha(data)).state == UploadState.RECEIVING


def test_large_files_travel_by_parts(
    as_ada: Client, stranger: Client, noir: Adapter, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=MIB)
    data = os.urandom(2 * MIB + 5)
    told = batch(as_ada, asked(data)).json()
    assert told["transfer"] == "multipart"
    action = told["objects"][0]["actions"]["upload"]
    assert action["header"]["chunk_size"] == str(MIB)
    assert set(action["header"]) == {"chunk_size", "1", "2", "3"}
    done = path_of(action["href"])
    early = stranger.post(done, b"{}", content_type=MEDIA)
    assert early.status_code == 409
    for number in (3, 1, 2):
        part = data[(number - 1) * MIB : number * MIB]
        sent = put(stranger, action["header"][str(number)], part)
        assert (sent.status_code, sent.headers["ETag"]) == (200, f'"{sha(part)}"')
    for _again in range(2):
        assert (
            stranger.post(done, b'{"oid": "x", "parts": []}', content_type=MEDIA).status_code == 200
        )
    assert "actions" not in batch(as_ada, asked(data)).json()["objects"][0]


@pytest.mark.service
def test_parts_go_straight_to_a_bucket(
    bucket: SeaweedFS, as_ada: Client, stranger: Client, noir: Adapter
) -> None:
    data = os.urandom(11 * MIB)
    action = batch(as_ada, asked(data)).json()["objects"][0]["actions"]["upload"]
    size, done = int(action["header"].pop("chunk_size")), path_of(action["href"])
    assert stranger.post(done, b"{}", content_type=MEDIA).status_code == 409
    for number, href in action["header"].items():
        assert not href.startswith("http://testserver")
        part = data[(int(number) - 1) * size : int(number) * size]
        with urlopen(Request(href, data=part, method="PUT")) as answer:
            assert answer.headers["ETag"]
    assert stranger.post(done, b"{}", content_type=MEDIA).status_code == 200
    assert "actions" not in batch(as_ada, asked(data)).json()["objects"][0]


def test_a_client_that_knows_no_parts_sends_one_body(
    as_ada: Client, noir: Adapter, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=MIB)
    for transfers in (["basic"], ["basic", "xet"], None, []):
        told = batch(as_ada, asked(os.urandom(2 * MIB), transfers=transfers)).json()
        assert told["transfer"] == "basic"
        assert "header" not in told["objects"][0]["actions"]["upload"]


def test_bytes_that_can_be_read_here_are_not_sent_again(
    as_ada: Client, noir: Adapter, lora: bytes
) -> None:
    (told,) = batch(as_ada, asked(lora)).json()["objects"]
    assert told == {"oid": sha(lora), "size": len(lora)}


def test_other_bytes_than_announced_are_refused(
    as_ada: Client, stranger: Client, noir: Adapter
) -> None:
    data = os.urandom(1000)
    href = batch(as_ada, asked(data)).json()["objects"][0]["actions"]["upload"]["href"]
    for wrong in (data[:-1], data + b"x", os.urandom(1000)):
        assert put(stranger, href, wrong).status_code == 422
    assert put(stranger, href, data).status_code == 200


@pytest.mark.parametrize("oid", ["", "x", "a" * 63, "g" * 64, "a" * 65])
def test_one_object_that_makes_no_sense_stops_no_other(
    as_ada: Client, noir: Adapter, oid: str
) -> None:
    body = asked(b"abc")
    body["objects"].append({"oid": oid, "size": 3})
    body["objects"].append({"oid": "a" * 64, "size": 2**60})
    fine, strange, huge = batch(as_ada, body).json()["objects"]
    assert fine["actions"]["upload"]["href"]
    assert strange["error"]["code"] == 400
    assert huge["error"]["code"] == 413
    assert "bytes" in huge["error"]["message"]


BODIES: list[Any] = [
    None, [], {}, {"operation": "download"}, {"operation": "upload"},
    {"operation": "upload", "objects": {}}, {"operation": "upload", "objects": [3]},
    {"operation": "upload", "objects": [{"oid": 3, "size": 3}]},
    {"operation": "upload", "objects": [{"oid": "a" * 64, "size": "3"}]},
    {"operation": "upload", "objects": [{"oid": "a" * 64, "size": -3}]},
    {"operation": "upload", "objects": [{"oid": "a" * 64}]},
    {"operation": "upload", "objects": [{}] * 1001},
    {"operation": "upload", "objects": [], "hash_algo": "md5"},
]  # fmt: skip


def test_a_batch_that_makes_no_sense_is_refused(
    as_ada: Client, noir: Adapter, subtests: pytest.Subtests
) -> None:
    for body in BODIES:
        with subtests.test(body=body):
            answer = batch(as_ada, body)
            assert answer.status_code == 400
            assert answer.json()["error"]
            assert not Upload.objects.filter(state=UploadState.RECEIVING).exists()


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_link_is_written_by_this_hub_alone(
    stranger: Client, as_bob: Client, ada: User, noir: Adapter, method: str
) -> None:
    upload = by_digest.begin(actor=ada, sha256=sha(b"abc"), size_bytes=3)
    assert upload is not None
    link = lfs.signed_link(ada, upload)
    other = signing.dumps([upload.public_id.hex, ada.pk, 0, 0], salt="other")
    for text in ("x", link[:-1], link[:-1] + ("a" if link[-1] != "a" else "b"), f"a{link}", other):
        for client in (stranger, as_bob):
            place = f"/ada/noir.git/info/lfs/objects/{text}"
            answer = client.generic(method, place, b"abc")
            assert answer.status_code == 401
    assert not upload.parts.exists()


def test_a_link_ends_with_its_token_and_its_account(
    as_ada: Client, stranger: Client, ada: User, noir: Adapter
) -> None:
    href = batch(as_ada, asked(b"abc")).json()["objects"][0]["actions"]["upload"]["href"]
    ada.is_active = False
    ada.save()
    assert put(stranger, href, b"abc").status_code == 401
    ada.is_active = True
    ada.save()
    AccessToken.objects.all().delete()
    assert put(stranger, href, b"abc").status_code == 401


def test_a_link_outlives_no_upload(
    as_ada: Client, stranger: Client, ada: User, noir: Adapter
) -> None:
    href = batch(as_ada, asked(b"abc")).json()["objects"][0]["actions"]["upload"]["href"]
    Upload.objects.filter(owner=ada, path=sha(b"abc")).update(state=UploadState.EXPIRED)
    assert put(stranger, href, b"abc").status_code == 409
    Upload.objects.filter(owner=ada, path=sha(b"abc")).delete()
    assert put(stranger, href, b"abc").status_code == 404


def test_a_body_announces_its_length(as_ada: Client, stranger: Client, noir: Adapter) -> None:
    href = batch(as_ada, asked(b"abc")).json()["objects"][0]["actions"]["upload"]["href"]
    answer = stranger.generic("PUT", path_of(href), b"abc", CONTENT_LENGTH="")
    assert answer.status_code == 411
