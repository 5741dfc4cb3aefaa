"""From nothing to a download, as the SDK goes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from registry.jobs import worker_process
from registry.versions import download_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_file_is_uploaded_checked_published_and_downloaded(
    as_ada: Caller, stranger: Caller, lora: bytes
) -> None:
    digest = hashlib.sha256(lora).hexdigest()
    seen = as_ada.send(
        "post",
        f"inspect?name=noir.safetensors&size={len(lora)}",
        lora[:60_000],
        content_type="application/octet-stream",
    ).json()
    assert seen["base"]["family"] == "sd1"
    assert seen["file"]["name"] == "noir.safetensors"
    created = as_ada.send("post", "adapters", {"name": "noir", "kind": "style", "tags": ["Film"]})
    assert created.status_code == 201
    assert created.json()["full_name"] == "ada/noir"
    upload = as_ada.send(
        "post", "uploads", {"path": "noir.safetensors", "size": len(lora), "sha256": digest}
    ).json()
    assert upload["state"] == "receiving"
    sent = as_ada.put_bytes(upload["urls"]["content"], lora)
    assert (sent.status_code, sent.json()["state"]) == (200, "checking")
    early = as_ada.send("post", "adapters/ada/noir/versions", {"uploads": [upload["id"]]})
    assert (early.status_code, early.json()["code"]) == (409, "upload_not_ready")
    worker_process.drain("checks")
    checked = as_ada.send("get", upload["urls"]["self"]).json()
    assert checked["state"] == "accepted"
    assert checked["anatomy"]["rank"]["mode"] == 4
    assert checked["progress"] == {"done": len(lora), "total": len(lora)}
    body = {"uploads": [upload["id"]], "trigger_words": ["noir style"], "strength": 0.8}
    published = as_ada.send("post", "adapters/ada/noir/versions", body)
    assert published.status_code == 201
    version = published.json()
    assert version["version"] == "v1"
    assert version["state"] == "published"
    assert version["strength"] == {"recommended": 0.8, "min": None, "max": None}
    assert version["family"] == "sd1"
    assert version["previews"]["state"] in {"queued", "waiting"}
    again = as_ada.send("post", "adapters/ada/noir/versions", body)
    assert (again.status_code, again.json()["id"]) == (200, version["id"])
    file = stranger.send("get", "adapters/ada/noir/versions/latest").json()["files"][0]
    assert file["primary"] is True
    got = stranger.send("get", file["download_url"])
    assert got.status_code == 200
    assert hashlib.sha256(b"".join(got.streaming_content)).hexdigest() == digest
    assert download_counts.write()
    page = stranger.send("get", "adapters/ada/noir").json()
    assert page["downloads"] == 1
    assert page["latest_version"] == "v1"
    assert page["aliases"]["v1"] == version["revision"]
    assert page["versions"][0]["version"] == "v1"


def test_parts_may_be_sent_in_any_order_and_again(
    as_ada: Caller, lora: bytes, own_settings: Callable[..., None]
) -> None:
    own_settings(part_bytes=65_536)
    upload = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": len(lora)}).json()
    count = -(-len(lora) // upload["part_size"])
    early = as_ada.send("post", upload["urls"]["complete"])
    assert (early.status_code, early.json()["code"]) == (409, "upload_incomplete")
    assert early.json()["missing"] == list(range(1, count + 1))
    for number in [*range(count, 0, -1), 1]:
        begin = (number - 1) * upload["part_size"]
        part = lora[begin : begin + upload["part_size"]]
        sha256 = hashlib.sha256(part).hexdigest()
        answer = as_ada.put_bytes(
            upload["urls"]["part"].format(number=number), part, headers={"X-Part-SHA256": sha256}
        )
        assert answer.json() == {"number": number, "size": len(part), "sha256": sha256}
    half = as_ada.send("get", upload["urls"]["self"]).json()
    assert half["received"] == len(lora)
    assert [part["number"] for part in half["parts"]] == list(range(1, count + 1))
    done = as_ada.send("post", upload["urls"]["complete"])
    assert (done.status_code, done.json()["state"]) == (200, "checking")


def test_a_part_with_another_digest_is_taken_back(as_ada: Caller, lora: bytes) -> None:
    upload = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": len(lora)}).json()
    answer = as_ada.put_bytes(
        upload["urls"]["part"].format(number=1), lora, headers={"X-Part-SHA256": "0" * 64}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "digest_mismatch")
    assert as_ada.send("get", upload["urls"]["self"]).json()["parts"] == []


def test_an_upload_can_be_cancelled_and_listed(as_ada: Caller, lora: bytes) -> None:
    upload = as_ada.send("post", "uploads", {"path": "a.safetensors", "size": len(lora)}).json()
    listed = as_ada.send("get", "uploads?limit=1").json()
    assert [row["id"] for row in listed["results"]] == [upload["id"]]
    assert listed["next"] is None
    assert as_ada.send("delete", upload["urls"]["self"]).status_code == 204
    assert as_ada.send("get", upload["urls"]["self"]).json()["state"] == "cancelled"
