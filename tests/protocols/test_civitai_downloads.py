"""``/api/download/models/{versionId}``: a redirect for who may, and a link that needs no token."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from django.core import signing

from hub.protocols.civitai.downloads import PASS_S
from registry.adapters import services as adapters
from registry.cards import services as cards
from registry.models import Adapter, Blob, User, Version
from registry.publication import services as publication
from registry.tokens import services as tokens
from registry.versions import download_counts, withdraw
from registry.versions import services as versions
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya
from tests.transfers import body_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db


def link(client: Client, version: Version, query: str = "") -> str:
    """Return where a download leads, as a path of this site."""
    answer = client.get(f"/api/download/models/{version.pk}{query}")
    assert answer.status_code == 302, answer.content
    assert "no-store" in answer["Cache-Control"]
    location: str = answer["Location"]
    assert location.startswith("http://testserver/api/download/files/")
    return location.removeprefix("http://testserver")


def counted(version: Version) -> int:
    download_counts.write()
    version.refresh_from_db()
    return version.downloads


def test_a_download_leads_to_bytes_for_anybody_with_the_link(
    stranger: Client, first: Version, lora: bytes
) -> None:
    place = link(stranger, first)
    assert urlsplit(place).path.endswith("/noir.safetensors")
    answer = stranger.get(place)
    assert (answer.status_code, body_of(answer)) == (200, lora)
    assert answer["Content-Length"] == str(len(lora))
    assert answer["Content-Disposition"] == 'attachment; filename="noir.safetensors"'
    assert answer["Accept-Ranges"] == "bytes"


def test_parts_and_heads_are_answered_by_the_link(
    stranger: Client, first: Version, lora: bytes
) -> None:
    place = link(stranger, first)
    answer = stranger.get(place, headers={"Range": "bytes=100-"})
    assert (answer.status_code, body_of(answer)) == (206, lora[100:])
    assert answer["Content-Range"] == f"bytes 100-{len(lora) - 1}/{len(lora)}"
    answer = stranger.head(place)
    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(lora)))
    assert body_of(answer) == b""
    answer = stranger.get(place, headers={"Range": f"bytes={len(lora)}-"})
    assert answer.status_code == 416
    assert answer["Content-Range"] == f"bytes */{len(lora)}"
    assert answer.json()["error"]
    assert stranger.head(f"/api/download/models/{first.pk}").status_code == 302


def test_a_download_is_counted_once(stranger: Client, first: Version, lora: bytes) -> None:
    place = link(stranger, first)
    stranger.head(place)
    assert counted(first) == 0
    body_of(stranger.get(place))
    assert counted(first) == 1
    half = len(lora) // 2
    body_of(stranger.get(place, headers={"Range": f"bytes=0-{half}"}))
    body_of(stranger.get(place, headers={"Range": f"bytes={half + 1}-"}))
    assert counted(first) == 2
    told = stranger.get(f"/api/v1/model-versions/{first.pk}").json()
    assert told["stats"]["downloadCount"] == 2


def test_a_token_opens_what_is_private_and_the_link_needs_none(
    stranger: Client, as_bob: Client, ada: User, first: Version, lora: bytes, token_of: Any
) -> None:
    cards.edit_adapter(actor=ada, adapter=first.adapter, visibility="private")
    place = f"/api/download/models/{first.pk}"
    for client in (stranger, as_bob):
        answer = client.get(place)
        assert answer.status_code == 404
        assert "not found" in answer.json()["error"]
    secret = token_of(ada, "read")
    for answer in (
        stranger.get(f"{place}?token={secret}"),
        stranger.get(place, headers={"Authorization": f"Bearer {secret}"}),
    ):
        assert secret not in answer["Location"]
        assert body_of(stranger.get(answer["Location"])) == lora
    assert stranger.get(f"{place}?token=lor_wrong").status_code == 401


def test_a_link_ends_when_its_user_may_not_see_the_version_any_more(
    stranger: Client, as_ada: Client, ada: User, first: Version
) -> None:
    as_anybody, as_owner = link(stranger, first), link(as_ada, first)
    cards.edit_adapter(actor=ada, adapter=first.adapter, visibility="private")
    assert stranger.get(as_anybody).status_code == 404
    answer = stranger.get(as_owner)
    assert (answer.status_code, bool(body_of(answer))) == (200, True)
    assert "private" in answer["Cache-Control"]
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert stranger.get(as_owner).status_code == 404


def test_a_link_to_what_is_private_ends_with_the_token_that_asked_for_it(
    stranger: Client, as_ada: Client, ada: User, first: Version
) -> None:
    cards.edit_adapter(actor=ada, adapter=first.adapter, visibility="private")
    place = link(as_ada, first)
    assert body_of(stranger.get(place))
    tokens.revoke_all(actor=ada)
    assert stranger.get(place).status_code == 404
    cards.edit_adapter(actor=ada, adapter=first.adapter, visibility="public")
    assert body_of(stranger.get(place))


@pytest.mark.parametrize("access", ["gated-auto", "gated-manual"])
def test_gated_files_are_for_those_who_were_let_in(
    stranger: Client, as_bob: Client, as_ada: Client, first: Version, access: str
) -> None:
    place = f"/api/download/models/{first.pk}"
    before = link(stranger, first)
    Adapter.objects.filter(pk=first.adapter_id).update(access=access)
    for client, address in ((stranger, place), (as_bob, place), (stranger, before)):
        answer = client.get(address)
        assert answer.status_code == 403
        assert "gated" in answer.json()["error"]
    assert stranger.head(place).status_code == 403
    sent = stranger.get(link(as_ada, first))
    assert body_of(sent)
    assert sent.headers["Cache-Control"] == "private, no-store"
    Version.objects.filter(pk=first.pk).update(state="yanked")
    assert body_of(stranger.get(link(as_ada, first)))


def test_a_link_ends_after_its_time_and_cannot_be_made_up(
    stranger: Client, first: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = link(stranger, first)
    signed = unquote(urlsplit(place).path.split("/")[-2])
    other = signing.dumps([first.pk, first.files.get(is_primary=True).pk, 0, "x"], salt="another")
    for wrong in (signed[:-1], signed[1:], signed.upper(), other, "x", ":::"):
        answer = stranger.get(place.replace(signed, wrong))
        assert answer.status_code == 403, wrong
        assert answer.json()["error"]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + PASS_S - 5)
    assert stranger.head(place).status_code == 200
    monkeypatch.setattr(time, "time", lambda: now + PASS_S + 5)
    answer = stranger.get(place)
    assert answer.status_code == 403
    assert "expired" in answer.json()["error"]


def test_what_was_withdrawn_is_gone_with_its_reason(
    stranger: Client, ada: User, first: Version
) -> None:
    place = link(stranger, first)
    withdraw.withdraw(actor=ada, version=first, reason="copied from elsewhere")
    for address in (f"/api/download/models/{first.pk}", place):
        answer = stranger.get(address)
        assert answer.status_code == 410
        assert "copied from elsewhere" in answer.json()["error"]
        assert answer.json()["message"] == answer.json()["error"]
    assert stranger.get("/api/v1/models").json()["items"] == []


def test_what_is_not_offered_is_still_downloaded_by_its_number(
    stranger: Client, ada: User, first: Version, lora: bytes
) -> None:
    versions.yank(actor=ada, version=first, reason="too strong")
    assert body_of(stranger.get(link(stranger, first))) == lora


def test_bytes_that_are_not_there_are_gone(stranger: Client, first: Version) -> None:
    place = link(stranger, first)
    Blob.objects.update(is_stored=False)
    for address in (f"/api/download/models/{first.pk}", place):
        answer = stranger.get(address)
        assert answer.status_code == 410
        assert answer.json()["error"]


@pytest.fixture
def pair(ada: User) -> Version:
    """Two weights and a configuration, whose names need quoting."""
    adapter = adapters.create(actor=ada, name="pair")
    weights = {
        "a b (fp16).safetensors": kohya(DENOISERS["sd1", "diffusers"]),
        "größe.safetensors": kohya(DENOISERS["sd1", "diffusers"], dtype="BF16"),
        "notes.json": b'{"steps": 4}',
    }
    uploads = [catalogue.accept(ada, data, path) for path, data in weights.items()]
    draft = publication.create_draft(actor=ada, adapter=adapter, uploads=uploads)
    return publication.publish(actor=ada, version=draft)


def test_a_query_chooses_another_file(stranger: Client, pair: Version) -> None:
    files = {file.path: file for file in pair.files}
    primary = next(file for file in files.values() if file.is_primary)
    told = stranger.get(f"/api/v1/model-versions/{pair.pk}").json()["files"]
    assert told[0]["id"] == primary.pk
    for file in told:
        place = file["downloadUrl"].removeprefix("http://testserver")
        answer = stranger.get(stranger.get(place)["Location"])
        assert len(body_of(answer)) == file["sizeKB"] * 1024
    for query, path in {
        "?fp=bf16": "größe.safetensors",
        "?fp=fp16": "a b (fp16).safetensors",
        "?type=Model&format=SafeTensor&size=full": primary.path,
        f"?fileId={files['notes.json'].pk}": "notes.json",
        f"?fileId={files['größe.safetensors'].pk}&fp=bf16": "größe.safetensors",
    }.items():
        answer = stranger.get(link(stranger, pair, query))
        assert len(body_of(answer)) == files[path].size_bytes, query
    for query in ("?type=VAE", "?fp=nf4", "?fileId=999999", "?format=GGUF"):
        answer = stranger.get(f"/api/download/models/{pair.pk}{query}")
        assert answer.status_code == 404, query
        assert "not found" in answer.json()["error"]


def test_a_name_that_needs_quoting_arrives_whole(stranger: Client, pair: Version) -> None:
    for file in pair.files.filter(role="weights"):
        place = link(stranger, pair, f"?fileId={file.pk}")
        assert unquote(urlsplit(place).path.rpartition("/")[2]) == file.path
        (told,) = parse_qs(urlsplit(place).query)["response-content-disposition"]
        assert unquote(told.split("filename=")[1].strip('"')) == file.path
        answer = stranger.get(place)
        body_of(answer)
        assert answer["Content-Disposition"].startswith("attachment; filename=")


def test_a_download_asks_few_questions(
    stranger: Client, first: Version, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):  # version, files
        place = link(stranger, first)
    with django_assert_num_queries(1):
        body_of(stranger.get(place))


def test_a_blocked_adapter_is_closed_to_strangers(
    stranger: Client, as_ada: Client, first: Version
) -> None:
    place = link(stranger, first)
    Adapter.objects.update(blocked_reason="under review")
    assert stranger.get(f"/api/download/models/{first.pk}").status_code == 404
    assert stranger.get(place).status_code == 404
    assert as_ada.get(f"/api/download/models/{first.pk}").status_code == 302


@pytest.mark.service
@pytest.mark.django_db(transaction=True)
def test_of_bytes_in_a_bucket_the_redirect_leads_there(
    bucket: Any, stranger: Client, ada: User, lora: bytes, fetched: Callable[..., Any]
) -> None:
    adapter = adapters.create(actor=ada, name="noir")
    version = catalogue.release(adapter, lora)
    answer = stranger.get(f"/api/download/models/{version.pk}")
    assert answer.status_code == 302
    place = answer["Location"]
    assert not place.startswith("http://testserver")
    told = parse_qs(urlsplit(place).query)["response-content-disposition"]
    assert told == ['attachment; filename="noir.safetensors"']
    status, data, headers = fetched(place)
    assert (status, data) == (200, lora)
    assert headers["Content-Disposition"] == 'attachment; filename="noir.safetensors"'
    status, data, _headers = fetched(place, Range="bytes=100-")
    assert (status, data) == (206, lora[100:])
    assert counted(version) == 1
    head = stranger.head(f"/api/download/models/{version.pk}")
    assert head["Location"].startswith("http://testserver/api/download/files/")
    answer = stranger.head(head["Location"])
    assert (answer.status_code, answer["Content-Length"]) == (200, str(len(lora)))
    assert counted(version) == 1


@pytest.fixture
def fetched() -> Callable[..., Any]:
    """Ask another server, as anybody would."""

    def fetched(url: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        asked = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read(), dict(answer.headers)

    return fetched
