"""Packs over the API."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from registry.adapters import services as adapters
from registry.models import Adapter, Pack, PackVersion
from registry.packs import aliases
from registry.packs import manifest as manifests
from registry.versions import withdraw
from tests.packs import drawn, manifest, part, sheet, variant

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test.utils import CaptureQueriesContext

    from registry.models import User, Version
    from tests.api.conftest import Caller

pytestmark = pytest.mark.django_db

PLACE = "packs/ada/dusk"
DOCUMENT = {"manifest": manifest(variant(part("ada/noir"), steps=20)), "notes": "First"}
RESTORED = "released_noir"


@pytest.fixture
def released_noir(noir: Adapter, released: Callable[..., Version], lora: bytes) -> Version:
    return noir.versions.first() or released(noir, lora)


@pytest.fixture
def dusk(as_ada: Caller, released_noir: Version) -> dict[str, Any]:
    made = as_ada.send("post", "packs", {"name": "dusk", "title": "Dusk", "tags": ["Evening"]})
    assert made.status_code == 201
    answer = as_ada.send("post", f"{PLACE}/versions", DOCUMENT)
    assert answer.status_code == 201
    found: dict[str, Any] = answer.json()
    return found


def test_a_pack_is_made_published_and_read(
    stranger: Caller, as_ada: Caller, dusk: dict[str, Any], lora: bytes
) -> None:
    assert (dusk["version"], dusk["state"], dusk["notes"]) == ("v1", "published", "First")
    digest = hashlib.sha256(manifests.canonical(dusk["manifest"])).hexdigest()
    assert dusk["manifest_sha256"] == digest
    (found,) = dusk["variants"]
    assert (found["complete"], found["settings"]["steps"], found["settings"]["guidance"]) == (
        True, 20, None,
    )  # fmt: skip
    (one,) = found["parts"]
    assert (one["adapter"], one["version"], one["state"]) == ("ada/noir", "v1", "available")
    body = b"".join(stranger.send("get", one["download_url"]).streaming_content)
    assert hashlib.sha256(body).hexdigest() == one["sha256"] == hashlib.sha256(lora).hexdigest()
    again = as_ada.send("post", f"{PLACE}/versions", DOCUMENT)
    assert (again.status_code, again.json()["version"]) == (200, "v1")
    pack = stranger.send("get", PLACE).json()
    assert (pack["full_name"], pack["latest_version"], pack["can_write"]) == (
        "ada/dusk", "v1", False,
    )  # fmt: skip
    assert pack["cover"].startswith("http://testserver/media/")
    (listed,) = stranger.send("get", "packs?q=dus&tag=evening&family=sd1").json()["results"]
    assert set(listed) < set(pack)
    assert listed["variants"] == [
        {"name": "sd1", "family": "sd1", "output": "image", "complete": True}
    ]
    assert stranger.send("get", f"{PLACE}/versions/latest").json() == dusk
    (row,) = stranger.send("get", f"{PLACE}/versions").json()["results"]
    assert row["version"] == "v1"


def test_lists_come_page_by_page_with_as_many_queries(
    as_ada: Caller,
    stranger: Caller,
    dusk: dict[str, Any],
    django_assert_max_num_queries: Callable[[int], CaptureQueriesContext],
) -> None:
    for name in ("dawn", "noon"):
        as_ada.send("post", "packs", {"name": name})
        as_ada.send("post", f"packs/ada/{name}/versions", DOCUMENT)
    with django_assert_max_num_queries(12):
        first = stranger.send("get", "packs?limit=2").json()
    assert [one["name"] for one in first["results"]] == ["noon", "dawn"]
    with django_assert_max_num_queries(12):
        second = stranger.send("get", first["next"]).json()
    assert [one["name"] for one in second["results"]] == ["dusk"]
    assert second["next"] is None
    assert stranger.send("get", "packs?limit=0").status_code == 400
    assert stranger.send("get", "packs?flavour=x").status_code == 400


def test_faults_are_named_by_their_json_path(as_ada: Caller, dusk: dict[str, Any]) -> None:
    bad = {"manifest": manifest(variant(part("ada/noir", strength=9)))}
    answer = as_ada.send("post", f"{PLACE}/versions", bad)
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert list(answer.json()["fields"]) == ["variants[0].parts[0].strength"]
    for body in ({}, {"manifest": 7}, {"manifest": {}, "more": 1}):
        assert as_ada.send("post", f"{PLACE}/versions", body).status_code == 400
    assert as_ada.send("patch", PLACE, {"flavour": "x"}).status_code == 400


def test_a_pack_is_edited_renamed_and_deleted(
    as_ada: Caller, stranger: Caller, dusk: dict[str, Any]
) -> None:
    changed = as_ada.send("patch", PLACE, {"summary": "Evenings", "name": "evening"}).json()
    assert (changed["summary"], changed["full_name"]) == ("Evenings", "ada/evening")
    moved = stranger.send("get", PLACE)
    assert (moved.status_code, moved["Location"]) == (308, "/api/v1/packs/ada/evening")
    assert as_ada.send("delete", "packs/ada/evening").status_code == 204
    assert as_ada.send("delete", "packs/ada/evening").status_code == 204
    gone = stranger.send("get", "packs/ada/evening")
    assert (gone.status_code, gone.json()["code"]) == (410, "gone")
    assert stranger.send("get", "packs").json()["results"] == []
    assert Pack.objects.count() == 1


def test_versions_are_yanked_restored_and_withdrawn(
    as_ada: Caller, stranger: Caller, dusk: dict[str, Any]
) -> None:
    place = f"{PLACE}/versions/v1"
    yanked = as_ada.send("post", f"{place}/yank", {"reason": "Too dark"}).json()
    assert (yanked["state"], yanked["reason"]) == ("yanked", "Too dark")
    assert stranger.send("get", PLACE).json()["latest_version"] is None
    assert as_ada.send("post", f"{place}/yank", {"reason": ""}).status_code == 400
    assert as_ada.send("delete", f"{place}/yank").json()["state"] == "published"
    withdrawn = as_ada.send("post", f"{place}/withdraw", {"reason": "Copied"}).json()
    assert (withdrawn["state"], withdrawn["variants"]) == ("withdrawn", [])
    gone = stranger.send("get", place)
    assert (gone.status_code, gone.json()["reason"]) == (410, "Copied")
    assert gone.json()["manifest_sha256"] == dusk["manifest_sha256"]
    assert as_ada.send("post", f"{PLACE}/withdraw", {"reason": "Copied"}).status_code == 200


def test_a_version_is_taken_down_by_its_number_only(
    as_ada: Caller, ada: User, dusk: dict[str, Any]
) -> None:
    pack = Pack.objects.get()
    aliases.point(actor=ada, pack=pack, name="stable", to=pack.versions.get())
    for name in ("latest", "stable"):
        place = f"{PLACE}/versions/{name}"
        for method, request in (
            ("post", f"{place}/withdraw"), ("post", f"{place}/yank"), ("delete", f"{place}/yank"),
        ):  # fmt: skip
            body = {"reason": "Copied"} if method == "post" else None
            refused = as_ada.send(method, request, body)
            assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
            assert (refused.json()["version"], pack.versions.get().state) == ("v1", "published")


def test_a_part_that_goes_is_said_without_its_address(
    as_ada: Caller, stranger: Caller, ada: User, released_noir: Version, dusk: dict[str, Any]
) -> None:
    noir = released_noir.adapter
    adapters.describe(actor=ada, adapter=noir, maturity="mature")
    assert stranger.send("get", PLACE).json()["maturity"] == "mature"
    adapters.rename(actor=ada, adapter=noir, name="secret")
    adapters.describe(actor=ada, adapter=noir, visibility="private")
    answer = stranger.send("get", f"{PLACE}/versions/v1")
    (one,) = answer.json()["variants"][0]["parts"]
    assert (one["state"], one["url"], one["download_url"]) == ("private", None, None)
    assert b"secret" not in answer.content
    pack = stranger.send("get", PLACE).json()
    assert (pack["cover"], pack["variants"][0]["complete"]) == (None, False)
    assert as_ada.send("get", PLACE).json()["variants"][0]["complete"] is True
    withdraw.withdraw(actor=ada, version=released_noir, reason="Copied")
    (one,) = as_ada.send("get", f"{PLACE}/versions/v1").json()["variants"][0]["parts"]
    assert (one["state"], one["reason"], one["download_url"]) == ("withdrawn", "Copied", None)


def test_aliases_are_moved_and_listed(
    as_ada: Caller, stranger: Caller, dusk: dict[str, Any]
) -> None:
    made = as_ada.send("put", f"{PLACE}/aliases/stable", {"to": "v1", "expected": None}).json()
    assert made == {
        "name": "stable", "version": "v1", "state": "published",
        "moved_at": made["moved_at"], "moved_by": "ada",
    }  # fmt: skip
    assert stranger.send("get", f"{PLACE}/versions/stable").json()["version"] == "v1"
    assert stranger.send("get", f"{PLACE}/aliases").json()["results"] == [made]
    assert stranger.send("get", PLACE).json()["aliases"] == {"stable": "v1"}
    refused = as_ada.send("put", f"{PLACE}/aliases/stable", {"to": "v1", "expected": None})
    assert (refused.status_code, refused.json()["current"]) == (409, "v1")
    assert as_ada.send("delete", f"{PLACE}/aliases/stable?expected=v1").status_code == 204
    moves = stranger.send("get", f"{PLACE}/aliases/stable/history").json()["results"]
    assert [(move["before"], move["after"]) for move in moves] == [("v1", None), (None, "v1")]


def test_the_cover_of_a_pack_is_a_picture_with_it(
    stranger: Caller, as_ada: Caller, dusk: dict[str, Any]
) -> None:
    def sheet_for(caller: Caller) -> dict[str, Any] | None:
        (variant,) = caller.send("get", f"{PLACE}/versions/v1").json()["variants"]
        previews: dict[str, Any] | None = variant["previews"]
        return previews

    assert sheet_for(stranger) is None
    version = PackVersion.objects.get()
    render = sheet(version, "running", shots=2)
    found = sheet_for(stranger)
    assert found is not None
    assert (found["state"], found["progress"]) == ("running", {"done": 2, "total": 4})
    assert "/media/images/" not in stranger.send("get", PLACE).json()["cover"]
    render.delete()
    render = sheet(version)
    drawn(render)
    cover = f"http://testserver/media/images/{render.images.filter(strength=1)[0].pk}.png"
    assert stranger.send("get", PLACE).json()["cover"] == cover
    (listed,) = stranger.send("get", "packs").json()["results"]
    assert listed["cover"] == cover
    found = sheet_for(stranger)
    assert found is not None
    assert found["sheets"] == {"png": f"http://testserver/media/sheets/{render.pk}.png"}
    assert [one["strength"] for one in found["images"]] == [0, 0, 1, 1]
    assert {one["maturity"] for one in found["images"]} == {"general"}
    Adapter.objects.update(visibility="private")
    assert stranger.send("get", PLACE).json()["cover"] is None
    assert sheet_for(stranger) is None
    assert sheet_for(as_ada) is not None
