"""Ranges, conditions and headers of a download."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from hub.delivery import matches, span_of
from registry.errors import RangeUnsatisfiable
from registry.models import Blob

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

N = 1000

#: Range header → (first, last), None for the whole file, "416" for outside.
RANGES: dict[str, tuple[int, int] | str | None] = {
    "bytes=0-0": (0, 0),
    "bytes=0-": (0, 999),
    "bytes=0-999": (0, 999),
    "bytes=0-1000": (0, 999),
    "bytes=0-99999999999999999999999999": (0, 999),
    "bytes=1-1": (1, 1),
    "bytes=10-19": (10, 19),
    "bytes=500-": (500, 999),
    "bytes=999-": (999, 999),
    "bytes=999-999": (999, 999),
    "bytes=-1": (999, 999),
    "bytes=-500": (500, 999),
    "bytes=-1000": (0, 999),
    "bytes=-1001": (0, 999),
    "bytes=-99999999999999999999999999": (0, 999),
    "BYTES=0-1": (0, 1),
    "Bytes=5-6": (5, 6),
    "bytes= 5-6": (5, 6),
    "bytes=5-6 ": (5, 6),
    "bytes=0005-0006": (5, 6),
    "bytes=1000-": "416",
    "bytes=1000-1001": "416",
    "bytes=1001-": "416",
    "bytes=99999999999999999999999999-": "416",
    "bytes=-0": "416",
    "bytes=-000": "416",
    "bytes=2-1": None,
    "bytes=-": None,
    "bytes=": None,
    "bytes": None,
    "": None,
    "0-1": None,
    "items=0-1": None,
    "bytes=a-b": None,
    "bytes=1-b": None,
    "bytes=-1-2": None,
    "bytes=1--2": None,
    "bytes=+1-2": None,
    "bytes=1.0-2": None,
    "bytes=0x1-2": None,
    "bytes=0-1,5-6": None,
    "bytes=0-1, 5-6": None,
    "bytes=,": None,
    "bytes=0-1;": None,
    "bytes =0-1": None,
    "bytes=1 - 2": None,
    "bytes=\u0661-\u0662": None,
}


@pytest.mark.parametrize("header", RANGES)
def test_a_range_header_means(header: str) -> None:
    wanted = RANGES[header]
    if wanted == "416":
        with pytest.raises(RangeUnsatisfiable):
            span_of(header, N)
        return
    span = span_of(header, N)
    assert (span and (span.first, span.last)) == wanted


@pytest.mark.parametrize(
    ("header", "is_weak", "is_match"),
    [
        ('"abc"', False, True),
        ('"abc"', True, True),
        ('W/"abc"', True, True),
        ('W/"abc"', False, False),
        ('"x", "abc"', False, True),
        ('"x","y"', True, False),
        ("*", True, True),
        ("abc", True, False),
        ("", True, False),
        ('"ab"', True, False),
    ],
)
def test_an_entity_tag_matches(header: str, is_weak: bool, is_match: bool) -> None:
    assert matches(header, '"abc"', is_weak=is_weak) is is_match


@pytest.fixture
def place(noir: Adapter, released: Callable[..., Version], lora: bytes) -> str:
    released(noir, lora)
    return "adapters/ada/noir/versions/v1/files/noir.safetensors"


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_whole_file_comes_with_its_digest_and_name(
    stranger: Caller, place: str, lora: bytes
) -> None:
    answer = stranger.send("get", place)
    digest = hashlib.sha256(lora)
    assert (answer.status_code, body(answer)) == (200, lora)
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    coded = base64.b64encode(digest.digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{coded}:"
    assert answer.headers["Content-Length"] == str(len(lora))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="noir.safetensors"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "public, no-cache"


def test_a_range_is_a_part_of_the_file(stranger: Caller, place: str, lora: bytes) -> None:
    answer = stranger.send("get", place, headers={"Range": "bytes=100-299"})
    assert (answer.status_code, body(answer)) == (206, lora[100:300])
    assert answer.headers["Content-Range"] == f"bytes 100-299/{len(lora)}"
    assert answer.headers["Content-Length"] == "200"
    assert answer.headers["ETag"].strip('"') == hashlib.sha256(lora).hexdigest()


def test_a_range_outside_is_refused_with_the_length(
    stranger: Caller, place: str, lora: bytes
) -> None:
    answer = stranger.send("get", place, headers={"Range": f"bytes={len(lora)}-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_unsatisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(lora)}"
    assert answer.json()["size"] == len(lora)


@pytest.mark.parametrize(
    ("condition", "status"),
    [("right", 206), ("wrong", 200), ("weak", 200), ("Wed, 25 Nov 2026 00:00:00 GMT", 200)],
)
def test_a_range_of_another_file_is_not_sent(
    stranger: Caller, place: str, lora: bytes, condition: str, status: int
) -> None:
    digest = hashlib.sha256(lora).hexdigest()
    known = {"right": f'"{digest}"', "wrong": '"0"', "weak": f'W/"{digest}"'}
    headers = {"Range": "bytes=1-2", "If-Range": known.get(condition, condition)}
    answer = stranger.send("get", place, headers=headers)
    assert answer.status_code == status
    assert body(answer) == (lora[1:3] if status == 206 else lora)


def test_head_tells_the_length_and_sends_nothing(stranger: Caller, place: str, lora: bytes) -> None:
    for headers in ({}, {"Range": "bytes=0-9"}):
        answer = stranger.send("head", place, headers=headers)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["Content-Length"] == str(len(lora))
        assert answer.headers["Accept-Ranges"] == "bytes"


def test_a_copy_that_is_right_is_not_sent_again(stranger: Caller, place: str) -> None:
    etag = stranger.send("head", place).headers["ETag"]
    for header in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        for method in ("get", "head"):
            answer = stranger.send(method, place, headers={"If-None-Match": header})
            assert (answer.status_code, answer.content) == (304, b"")
            assert answer.headers["ETag"] == etag
    assert stranger.send("get", place, headers={"If-None-Match": '"x"'}).status_code == 200


def test_if_match_insists_on_a_digest(stranger: Caller, place: str) -> None:
    etag = stranger.send("head", place).headers["ETag"]
    assert stranger.send("get", place, headers={"If-Match": etag}).status_code == 200
    answer = stranger.send("get", place, headers={"If-Match": '"x"'})
    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")


def test_a_download_counts_once(stranger: Caller, place: str, noir: Adapter) -> None:
    etag = stranger.send("head", place).headers["ETag"]
    stranger.send("get", place, headers={"If-None-Match": etag})
    stranger.send("get", place, headers={"Range": "bytes=100-"})
    noir.refresh_from_db()
    assert noir.downloads == 0
    stranger.send("get", place, headers={"Range": "bytes=0-99"})
    stranger.send("get", place)
    noir.refresh_from_db()
    assert noir.downloads == 2


def test_nginx_sends_when_told_so(
    stranger: Caller, place: str, lora: bytes, own_settings: Callable[..., None]
) -> None:
    own_settings(accel="/blobs/")
    digest = hashlib.sha256(lora).hexdigest()
    answer = stranger.send("get", place, headers={"Range": "bytes=0-9"})
    where = f"/blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    assert (answer.status_code, answer.headers["X-Accel-Redirect"]) == (200, where)
    assert body(answer) == b""
    own = {"Range": "bytes=0-9", "If-Range": f'"{digest}"'}
    answer = stranger.send("get", place, headers=own)
    assert (answer.status_code, body(answer)) == (206, lora[:10])
    assert "X-Accel-Redirect" not in answer.headers


def test_bytes_that_were_removed_are_gone(stranger: Caller, place: str) -> None:
    Blob.objects.update(is_stored=False)
    answer = stranger.send("get", place)
    assert (answer.status_code, answer.json()["code"]) == (410, "gone")


def test_a_name_outside_ascii_is_kept(
    stranger: Caller, noir: Adapter, released: Callable[..., Version], lora: bytes
) -> None:
    released(noir, lora, path="weights/nöir \"x'.safetensors".replace('"', ""))
    file = stranger.send("get", "adapters/ada/noir/versions/v1").json()["files"][0]
    answer = stranger.send("head", file["download_url"])
    assert answer.status_code == 200
    told = answer.headers["Content-Disposition"]
    assert told == "attachment; filename*=utf-8''n%C3%B6ir%20x%27.safetensors"


def test_a_file_that_is_not_there_is_not_found(stranger: Caller, place: str) -> None:
    answer = stranger.send("get", place + "x")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
