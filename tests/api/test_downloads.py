"""Ranges, conditions and headers of a download."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from hub.http import delivery
from hub.http.delivery import matches
from hub.http.throttles import AnonymousThrottle
from registry.errors import StorageAway
from registry.models import Blob
from registry.storage.local import LocalStore
from registry.versions import download_counts
from tests.transfers import CASES, body_of, outcome_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import Adapter, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db


HEADERS = [
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
]


def test_an_entity_tag_matches(subtests: pytest.Subtests) -> None:
    for header, is_weak, is_match in HEADERS:
        with subtests.test(header=header, is_weak=is_weak, is_match=is_match):
            assert matches(header, '"abc"', is_weak=is_weak) is is_match


RESTORED = "place"


@pytest.fixture
def place(noir: Adapter, released: Callable[..., Version], lora: bytes) -> str:
    if not noir.versions.exists():
        released(noir, lora)
    return "adapters/ada/noir/versions/v1/files/noir.safetensors"


def test_a_whole_file_comes_with_its_digest_and_name(
    stranger: Caller, place: str, lora: bytes
) -> None:
    answer = stranger.send("get", place)
    digest = hashlib.sha256(lora)
    assert (answer.status_code, body_of(answer)) == (200, lora)
    assert answer.headers["ETag"] == f'"{digest.hexdigest()}"'
    coded = base64.b64encode(digest.digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{coded}:"
    assert answer.headers["Content-Length"] == str(len(lora))
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="noir.safetensors"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Cache-Control"] == "public, no-cache"


def test_conditions_and_ranges_are_answered_as_the_rfc_says(
    stranger: Caller, place: str, lora: bytes
) -> None:
    etag = f'"{hashlib.sha256(lora).hexdigest()}"'
    digest = base64.b64encode(hashlib.sha256(lora).digest()).decode()
    for name, case in CASES.items():
        headers = case.sent(etag=etag, date="Wed, 25 Nov 2026 00:00:00 GMT", size=len(lora))
        answer = stranger.send(case.method.lower(), place, headers=headers)
        told = {key.lower(): value for key, value in answer.headers.items()}
        outcome = outcome_of(answer.status_code, told, body_of(answer), len(lora))
        assert outcome == case.expected(lora), name
        if answer.status_code in {200, 206, 304}:
            assert told["etag"] == etag, name
        if answer.status_code == 304:
            assert "content-length" not in told, name
        has_file = answer.status_code in {200, 206}
        if has_file:
            assert told["accept-ranges"] == "bytes", name
            assert told["x-content-type-options"] == "nosniff", name
        assert told.get("repr-digest") == (f"sha-256=:{digest}:" if has_file else None), name


def test_a_range_outside_is_refused_with_the_length(
    stranger: Caller, place: str, lora: bytes
) -> None:
    answer = stranger.send("get", place, headers={"Range": f"bytes={len(lora)}-"})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_unsatisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(lora)}"
    assert answer.json()["size"] == len(lora)


def counted(adapter: Adapter) -> int:
    """Return the downloads of an adapter once what was counted is written."""
    assert download_counts.write()
    adapter.refresh_from_db()
    return adapter.downloads


#: Headers of requests, and how many downloads they are together.
TRANSFERS: dict[str, tuple[list[dict[str, str]], int]] = {
    "whole": ([{}], 1),
    "twice": ([{}, {}], 2),
    "open from the start": ([{"Range": "bytes=0-"}], 1),
    "cut and resumed": ([{"Range": "bytes=0-99"}, {"Range": "bytes=100-"}], 1),
    "in four pieces": (
        [{"Range": f"bytes={a}-{b}"} for a, b in ((0, 99), (100, 199), (200, 299), (300, ""))],
        1,
    ),
    "in pieces, the last one first": (
        [{"Range": "bytes=500-"}, {"Range": "bytes=0-249"}, {"Range": "bytes=250-499"}],
        1,
    ),
    "the start again and again": ([{"Range": "bytes=0-99"}] * 5, 0),
    "a look at the header": ([{"Range": "bytes=0-7"}, {"Range": "bytes=8-99"}], 0),
    "a look at the end": ([{"Range": "bytes=-100"}], 0),
    "several parts": ([{"Range": "bytes=0-9,500-"}], 0),
    "beyond the end": ([{"Range": "bytes=99999999-"}], 0),
    "known already": ([{"If-None-Match": "*"}], 0),
    "another digest": ([{"If-Match": '"x"'}], 0),
    "a resumed one that changed": ([{"Range": "bytes=100-", "If-Range": '"x"'}], 1),
}


def test_a_download_is_counted_when_its_last_byte_is_sent(
    stranger: Caller, place: str, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, (requests, wanted) in TRANSFERS.items():
        monkeypatch.setattr(download_counts, "_process", download_counts._Process())
        before = noir.downloads
        for headers in requests:
            body_of(stranger.send("get", place, headers=headers))
            stranger.send("head", place, headers=headers)
        assert counted(noir) - before == wanted, name


@pytest.mark.django_db(transaction=True)  # the end of an answer closes connections
def test_a_download_that_is_cut_is_not_counted(
    stranger: Caller, place: str, noir: Adapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery._Transfer, "block_size", 100)
    answer = stranger.send("get", place)
    assert len(next(iter(answer.streaming_content))) == 100
    answer.close()
    assert counted(noir) == 0


@pytest.mark.django_db(transaction=True)  # the end of an answer closes connections
@pytest.mark.parametrize(("failure", "wanted"), [(None, 1), (BrokenPipeError, 0)])
def test_a_server_that_sends_by_itself_tells_by_how_it_ends(
    stranger: Caller, place: str, noir: Adapter, failure: type[Exception] | None, wanted: int
) -> None:
    answer = stranger.send("get", place, SERVER_SOFTWARE="gunicorn/27.0")
    with suppress(BrokenPipeError):
        try:
            if failure is not None:
                raise failure
        finally:
            answer.close()
    assert counted(noir) == wanted


def test_bytes_of_another_machine_end_where_the_range_does(
    stranger: Caller, place: str, lora: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "_open", lambda _blob: io.BytesIO(lora))
    headers = {"Range": "bytes=10-19"}
    answer = stranger.send("get", place, headers=headers, SERVER_SOFTWARE="gunicorn/27.0")
    assert (answer.status_code, body_of(answer)) == (206, lora[10:20])


def test_counting_writes_nothing_while_a_download_begins(stranger: Caller, place: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        body_of(stranger.send("get", place))
    told = [query["sql"] for query in queries]
    assert told
    assert all(sql.startswith("SELECT") for sql in told), told


def test_nginx_sends_when_told_so(
    stranger: Caller, place: str, lora: bytes, own_settings: Callable[..., None]
) -> None:
    own_settings(accel="/blobs/")
    digest = hashlib.sha256(lora).hexdigest()
    answer = stranger.send("get", place, headers={"Range": "bytes=0-9"})
    where = f"/blobs/{digest[:2]}/{digest[2:4]}/{digest}"
    assert (answer.status_code, answer.headers["X-Accel-Redirect"]) == (200, where)
    assert body_of(answer) == b""
    own = {"Range": "bytes=0-9", "If-Match": f'"{digest}"'}
    answer = stranger.send("get", place, headers=own)
    assert (answer.status_code, body_of(answer)) == (206, lora[:10])
    assert "X-Accel-Redirect" not in answer.headers


def test_a_request_that_does_not_come_through_nginx_gets_the_bytes(
    stranger: Caller, place: str, lora: bytes, own_settings: Callable[..., None]
) -> None:
    own_settings(accel="/blobs/", trust_proxy=1)
    direct = stranger.send("get", place)
    assert "X-Accel-Redirect" not in direct.headers
    assert body_of(direct) == lora
    through = stranger.send("get", place, headers={"X-Forwarded-For": "192.0.2.7"})
    assert body_of(through) == b""
    assert through.headers["X-Accel-Redirect"].startswith("/blobs/")


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
    plain = 'attachment; filename="noir x\'.safetensors"'
    assert told == f"{plain}; filename*=UTF-8''n%C3%B6ir%20x%27.safetensors"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pytorch_lora_weights.safetensors", "ada--noir.safetensors"),
        ("unet/model.fp16.safetensors", "ada--noir--fp16.safetensors"),
        ("weights/film.safetensors", "film.safetensors"),
    ],
)
def test_a_generic_name_is_saved_as_the_adapters(
    stranger: Caller,
    noir: Adapter,
    released: Callable[..., Version],
    lora: bytes,
    path: str,
    name: str,
) -> None:
    released(noir, lora, path=path)
    answer = stranger.send("head", f"adapters/ada/noir/versions/v1/files/{path}")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


def test_a_file_that_is_not_there_is_not_found(stranger: Caller, place: str) -> None:
    answer = stranger.send("get", place + "x")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_bucket_sends_when_it_has_the_bytes(
    stranger: Caller, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "https://bucket.example/noir"
    monkeypatch.setattr(LocalStore, "link", lambda _self, _name, _way: link)
    answer = stranger.send("get", place)
    assert (answer.status_code, answer.headers["Location"]) == (302, link)
    assert answer.headers["Content-Length"] == "0"


@pytest.mark.parametrize(
    ("broken", "fault", "status"),
    [
        ("registry.versions.files.Compiled.first", OperationalError("database is locked"), 503),
        ("registry.storage.local.LocalStore.open", OSError(errno.EIO, "disk"), 500),
        ("hub.http.throttles.AnonymousThrottle._count", ConnectionError("the cache is away"), 500),
        ("registry.storage.local.LocalStore.open", StorageAway("The bucket is away."), 503),
    ],
)
def test_a_fault_is_answered_as_a_problem(
    stranger: Caller,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    fault: Exception,
    status: int,
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise fault

    stranger.raise_request_exception = False
    monkeypatch.setattr(broken, fail)
    answer = stranger.send("get", place)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_flood_does_not_reach_the_database(
    stranger: Caller, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AnonymousThrottle, "get_rate", lambda _self: "1/min")
    monkeypatch.setattr(AnonymousThrottle, "timer", lambda _self: 1230.0)
    assert stranger.send("get", place).status_code == 200
    with CaptureQueriesContext(connection) as questions:
        answer = stranger.send("get", place)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert not questions.captured_queries
