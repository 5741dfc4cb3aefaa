"""``/api/v1/model-versions``: by number and by hash."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from hub.protocols.civitai import versions as versions_view
from registry.adapters import services as adapters
from registry.database import guards
from registry.models import BlobHash, Version
from registry.publication import services as publication
from registry.versions import services as versions
from registry.versions.details import Details
from tests import catalogue
from tests.builders.adapters import DENOISERS, kohya

if TYPE_CHECKING:
    from django.test import Client
    from pytest_django import DjangoAssertNumQueries

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

HASHES = "/api/v1/model-versions/by-hash"
IDS = "/api/v1/model-versions/by-id"


def post(client: Client, place: str, data: Any) -> Any:
    return client.post(place, json.dumps(data), content_type="application/json")


def test_a_version_tells_of_its_model(stranger: Client, first: Version) -> None:
    told = stranger.get(f"/api/v1/model-versions/{first.pk}").json()
    assert (told["id"], told["modelId"]) == (first.pk, first.adapter_id)
    assert told["model"] == {"name": "Noir", "type": "LORA", "nsfw": False, "poi": False}
    assert told["air"] == f"urn:air:sd1:lora:lorary:{first.adapter_id}@{first.pk}"
    assert told["usageControl"] == "Download"
    assert told["earlyAccessEndsAt"] is None
    assert told["updatedAt"].endswith("Z")
    assert (told["status"], told["availability"]) == ("Published", "Public")


def test_a_yanked_version_is_told_and_a_withdrawn_one_is_not(
    stranger: Client, ada: User, first: Version
) -> None:
    versions.yank(actor=ada, version=first, reason="too strong")
    told = stranger.get(f"/api/v1/model-versions/{first.pk}").json()
    assert told["status"] == "Unpublished"
    assert (
        stranger.get(f"{HASHES}/{first.files.get(is_primary=True).sha256}").json()["id"] == first.pk
    )
    catalogue.put(Version.objects.all(), "withdrawn")
    for address in (
        f"/api/v1/model-versions/{first.pk}",
        f"/api/v1/model-versions/mini/{first.pk}",
        f"{HASHES}/{first.files.get(is_primary=True).sha256}",
    ):
        answer = stranger.get(address)
        assert answer.status_code == 404
        assert "not found" in answer.json()["error"]


def test_notes_are_told_in_whole_by_a_version_alone(
    stranger: Client, ada: User, noir: Adapter
) -> None:
    notes = "# New\n\n" + "word " * 100
    data = kohya(DENOISERS["sd1", "diffusers"], metadata={"n": "2"})
    version = catalogue.release(noir, data, Details(notes=notes))
    told = stranger.get(f"/api/v1/model-versions/{version.pk}").json()["description"]
    assert told.startswith("<h2>New</h2>")
    assert told.count("word") == 100
    model = stranger.get(f"/api/v1/models/{noir.pk}").json()
    brief = model["modelVersions"][0]["description"]
    assert brief.startswith("<p># New word word")
    assert len(brief) <= 280 + len("<p></p>")


def test_notes_that_are_costly_to_format_are_told_as_plain_text(
    stranger: Client, noir: Adapter
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], metadata={"n": "2"})
    version = catalogue.release(noir, data, Details(notes="![" * 10_000))
    told = stranger.get(f"/api/v1/model-versions/{version.pk}").json()["description"]
    assert told == f"<pre>{'![' * 10_000}</pre>"


def test_drafts_are_not_there_even_for_their_owner(
    as_ada: Client, ada: User, noir: Adapter
) -> None:
    data = kohya(DENOISERS["sd1", "diffusers"], metadata={"draft": "1"})
    draft = publication.create_draft(actor=ada, adapter=noir, uploads=[catalogue.accept(ada, data)])
    assert as_ada.get(f"/api/v1/model-versions/{draft.pk}").status_code == 404
    assert as_ada.get(f"/api/download/models/{draft.pk}").status_code == 404


def test_mini_has_what_a_download_needs(stranger: Client, first: Version, lora: bytes) -> None:
    told = stranger.get(f"/api/v1/model-versions/mini/{first.pk}").json()
    assert (told["versionName"], told["modelName"], told["baseModel"]) == ("v1", "Noir", "SD 1.5")
    assert told["size"] * 1024 == len(lora)
    assert (told["fileName"], told["fileType"]) == ("noir.safetensors", "Model")
    assert told["format"] == "SafeTensor"
    assert told["downloadUrls"] == [f"http://testserver/api/download/models/{first.pk}"]
    assert told["hashes"]["SHA256"] == first.files.get(is_primary=True).sha256.upper()
    assert (told["requireAuth"], told["checkPermission"]) == (False, False)
    file = first.files.get(is_primary=True).pk
    place = f"/api/v1/model-versions/mini/{first.pk}?modelFileId="
    assert stranger.get(f"{place}{file}").json() == told
    assert stranger.get(f"{place}{file + 1}").status_code == 404


def test_every_kind_of_hash_finds_in_any_case(stranger: Client, first: Version) -> None:
    known = dict(BlobHash.objects.values_list("kind", "value"))
    assert {"sha256", "autov2", "autov3", "crc32", "blake3"} <= known.keys()
    swapped = bytes.fromhex(known["crc32"])[::-1].hex()
    for value in (*known.values(), swapped):
        for text in (value, value.upper()):
            assert stranger.get(f"{HASHES}/{text}").json()["id"] == first.pk, value
    told = stranger.get(f"{HASHES}/{known['sha256']}").json()
    assert told == stranger.get(f"/api/v1/model-versions/{first.pk}").json()


def test_of_several_versions_the_first_is_told(
    stranger: Client, ada: User, bob: User, first: Version, lora: bytes
) -> None:
    copy = adapters.create(actor=bob, name="copy")
    catalogue.release(copy, kohya(DENOISERS["sdxl", "diffusers"]))
    second = catalogue.release(copy, lora)
    digest = first.files.get(is_primary=True).sha256
    place = f"{HASHES}/{digest}"
    for _ in range(2):
        assert stranger.get(place).json()["id"] == first.pk
        (told,) = post(stranger, f"{HASHES}/ids", [digest]).json()
        assert told["modelVersionId"] == first.pk
        with guards.lifted(connection):  # now at the same time: the lower number
            Version.objects.update(published_at=timezone.now())
    versions.yank(actor=ada, version=first, reason="too strong")
    assert stranger.get(place).json()["id"] == second.pk


def test_lists_of_digests_drop_what_is_not_here(
    stranger: Client,
    ada: User,
    first: Version,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    other = adapters.create(actor=ada, name="other")
    second = catalogue.release(other, kohya(DENOISERS["sdxl", "diffusers"]))
    digests = [
        first.files.get(is_primary=True).sha256.upper(),
        "0" * 64,
        second.files.get(is_primary=True).sha256,
    ]
    with django_assert_num_queries(7):
        told = post(stranger, HASHES, digests).json()
    assert [one["id"] for one in told] == [first.pk, second.pk]
    with django_assert_num_queries(2):  # files of versions, and files that the hub made
        told = post(stranger, f"{HASHES}/ids", digests).json()
    assert told == [
        {"modelVersionId": first.pk, "modelId": first.adapter_id, "hash": digests[0]},
        {"modelVersionId": second.pk, "modelId": other.pk, "hash": digests[2].upper()},
    ]
    many = [f"{n:064x}" for n in range(9_999)]
    told = post(stranger, f"{HASHES}/ids", [*many, digests[0]]).json()
    assert [one["modelVersionId"] for one in told] == [first.pk]


def test_versions_by_id_are_told_as_alone(
    stranger: Client,
    ada: User,
    first: Version,
    noir: Adapter,
    django_assert_num_queries: DjangoAssertNumQueries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def release(number: int, notes: str) -> Version:
        data = kohya(DENOISERS["sd1", "diffusers"], metadata={"n": str(number)})
        return catalogue.release(noir, data, Details(notes=notes))

    noted, long, withdrawn, hidden = (
        release(1, "# New\n\n" + "word " * 100), release(2, "word " * 500), release(3, ""),
        catalogue.release(adapters.create(actor=ada, name="own", visibility="private"),
                          kohya(DENOISERS["sdxl", "diffusers"])),
    )  # fmt: skip
    versions.yank(actor=ada, version=first, reason="too strong")
    catalogue.put(Version.objects.filter(pk=withdrawn.pk), "withdrawn")
    asked = [one.pk for one in (noted, long, withdrawn, hidden, first, noted)]
    with django_assert_num_queries(5):
        told = post(stranger, IDS, [*asked, 7777]).json()
    assert told == [
        stranger.get(f"/api/v1/model-versions/{one.pk}").json() for one in (first, noted)
    ]
    assert post(stranger, IDS, [7777]).json() == []
    monkeypatch.setattr(versions_view, "MOST_NOTES_IN_ALL", len(noted.notes) - 1)
    assert [one["id"] for one in post(stranger, IDS, asked).json()] == [first.pk]


def test_bodies_that_are_no_ids_are_refused(stranger: Client, subtests: pytest.Subtests) -> None:
    bodies = ["", "{}", "[]", "5", '["1"]', "[true]", "[0]", "[-1]", "[1.0]", f"[{2**31}]"]
    for body in [*bodies, json.dumps([1] * 101)]:
        with subtests.test(body=body):
            answer = stranger.post(IDS, body, content_type="application/json")
            assert answer.status_code == 400
    assert stranger.get(IDS).status_code == 405


BODIES = [
    "", "{", "{}", "[]", "null", "5", '"x"', "[5]", "[null]", '["abc"]', '["' + "g" * 64 + '"]',
    '[["' + "0" * 64 + '"]]', "[" * 5000, '["\\ud800"]', '["\\u0000"]',
]  # fmt: skip


def test_bodies_that_are_no_digests_are_refused(
    stranger: Client, subtests: pytest.Subtests
) -> None:
    for place in [HASHES, f"{HASHES}/ids"]:
        for body in BODIES:
            with subtests.test(place=place, body=body):
                answer = stranger.post(place, body, content_type="application/json")
                assert answer.status_code == 400
                assert answer.json()["error"]


def test_more_digests_than_allowed_are_refused(stranger: Client, db: None) -> None:
    digests = [f"{n:064x}" for n in range(10_001)]
    assert post(stranger, HASHES, digests[:101]).status_code == 400
    assert post(stranger, HASHES, digests[:100]).status_code == 200
    assert post(stranger, f"{HASHES}/ids", digests).status_code == 400
    answer = stranger.post(HASHES, b" " * (3 * 2**20), content_type="application/json")
    assert answer.status_code == 413


def test_a_version_asks_a_fixed_number_of_questions(
    stranger: Client, first: Version, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(5):  # version, files, pictures, samples, chosen covers
        stranger.get(f"/api/v1/model-versions/{first.pk}")
