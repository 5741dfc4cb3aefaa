"""The owner's pages of a pack: creating, publishing, yanking, withdrawing, aliases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hub.pages.packs import views
from registry.models import Membership, Namespace, NamespaceName, Pack, PackVersion
from registry.packs import publish, selectors, services
from tests import packs
from tests.packs import part, variant

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Adapter, User

pytestmark = pytest.mark.django_db

PLACE = "/packs/ada/dusk"
CARD = {"name": "dusk", "kind": "style", "maturity": "general", "visibility": "public"}


@pytest.fixture
def dusk(ada: User, noir: Adapter) -> PackVersion:
    return packs.published(ada, noir, title="Dusk")


@pytest.fixture
def second(ada: User, dusk: PackVersion) -> PackVersion:
    other = packs.manifest(variant(part("ada/noir", strength=0.5), steps=20))
    return publish.publish(actor=ada, pack=dusk.pack, manifest=other)


def text(client: Client, path: str = PLACE, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, path
    return str(answer.content.decode())


def sent(*rows: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the fields of the form of a version, as browsers send them."""
    data: dict[str, Any] = {"count": len(rows), "notes": "", **more}
    for number, row in enumerate(rows):
        roles = {f"part{n}_role": "style" for n in range(5)}
        fields = {"name": "sd1", "family": "sd1", "output": "image", "prompt": "{prompt}", **roles}
        data |= {f"{number}-{name}": value for name, value in {**fields, **row}.items()}
    return data


def test_the_address_of_an_adapter_leads_to_a_pack_of_this_name(
    client: Client, dusk: PackVersion, noir: Adapter
) -> None:
    assert client.get("/ada/dusk").headers["Location"] == PLACE
    assert client.get("/ada/noir").status_code == 200
    dusk.pack.visibility = "private"
    dusk.pack.save()
    assert client.get("/ada/dusk").status_code == 404


def test_a_pack_is_created_and_its_first_version_published(as_ada: Client, noir: Adapter) -> None:
    assert 'href="/packs/new"' in text(as_ada, "/packs")
    assert 'name="owner"' not in text(as_ada, "/packs/new")
    made = as_ada.post("/packs/new", {**CARD, "title": "Dusk", "tags": "evening"})
    assert (made.status_code, made.headers["Location"]) == (302, f"{PLACE}/publish")
    for name, fault in (("dusk", "is in use"), ("a--b", "must not contain"), ("", "required")):
        again = as_ada.post("/packs/new", {**CARD, "name": name})
        assert (again.status_code, fault in again.content.decode()) == (400, True), name
    form = text(as_ada, f"{PLACE}/publish")
    assert 'name="0-part4_adapter"' in form
    row = {"part0_adapter": "ada/noir@v1", "part0_strength": "0.7", "prompt": "noir, {prompt}"}
    done = as_ada.post(f"{PLACE}/publish", sent(row, publish="1", notes="First"), follow=True)
    assert "v1 is published." in done.content.decode()
    version = PackVersion.objects.get()
    (found,) = version.manifest["variants"]
    assert (found["prompt"], version.notes, "steps" in found) == ("noir, {prompt}", "First", False)
    assert (found["parts"][0]["strength"], found["parts"][0]["version"]) == (0.7, "v1")
    again = as_ada.post(f"{PLACE}/publish", sent(row, publish="1"), follow=True)
    assert "v1 has the same variants already." in again.content.decode()


def test_a_pack_is_created_in_an_organisation(as_ada: Client, ada: User) -> None:
    studio = Namespace.objects.create(name="studio", key="studio", kind="organisation")
    NamespaceName.objects.create(namespace=studio, key="studio")
    Membership.objects.create(namespace=studio, user=ada, role="write")
    assert '<option value="studio">' in text(as_ada, "/packs/new")
    as_ada.post("/packs/new", {**CARD, "owner": "studio"})
    assert Pack.objects.get().full_name == "studio/dusk"


def test_the_form_of_a_version_begins_with_the_latest(as_ada: Client, second: PackVersion) -> None:
    form = text(as_ada, f"{PLACE}/publish")
    for value in ("ada/noir@v1", "0.5", "noir style, {prompt}, film grain", "20"):
        assert value in form, value
    assert 'name="0-part0_file" class="in"' not in form
    more = as_ada.post(f"{PLACE}/publish", sent({"name": "kept"}, add="1")).content.decode()
    assert 'value="kept"' in more
    assert ("Variant 2" in more, 'name="count" value="2"' in more) == (True, True)
    assert "This field is required" not in more
    less = as_ada.post(
        f"{PLACE}/publish", sent({"name": "gone"}, {"name": "kept"}, remove="0")
    ).content.decode()
    assert ('value="kept"' in less, 'value="gone"' in less) == (True, False)
    assert PackVersion.objects.count() == 2


def test_faults_of_a_version_are_shown_at_their_fields(as_ada: Client, dusk: PackVersion) -> None:
    rows = (
        {"part1_adapter": "ada/never", "part2_adapter": "ada/noir@v9", "width": "500"},
        {"name": "SD 1", "prompt": "no place", "part0_adapter": "ada/noir", "part0_file": "x"},
        {"name": "three", "steps": "many", "part0_strength": "7"},
    )
    answer = as_ada.post(f"{PLACE}/publish", sent(*rows, publish="1"))
    assert answer.status_code == 400
    assert answer.content.count(b'class="err"') == 2  # what is not a number, then the others
    answer = as_ada.post(f"{PLACE}/publish", sent(*rows[:2], publish="1"))
    page = answer.content.decode()
    for field in ("0-part1_adapter", "0-part2_adapter", "0-width", "0-height", "1-name",
                  "1-prompt", "1-part0_file"):  # fmt: skip
        assert f'id="id_{field}_error"' in page, field
    empty = as_ada.post(f"{PLACE}/publish", sent({}, publish="1", count="x"))
    assert "Enter a list of 1 to 5." in empty.content.decode()
    assert PackVersion.objects.count() == 1


def test_a_version_is_yanked_restored_and_withdrawn(
    as_ada: Client, ada: User, second: PackVersion
) -> None:
    page = text(as_ada)
    assert f'href="{PLACE}/versions/v2/yank"' in page
    address = f"{PLACE}/versions/v2/yank"
    assert "offer the newest other version instead of v2" in " ".join(text(as_ada, address).split())
    for _ in range(2):
        done = as_ada.post(address, {"reason": "Too soft"})
        assert done.headers["Location"] == f"{PLACE}?v=v2"
        assert PackVersion.objects.get(number=2).state == "yanked"
    assert "Restore v2" in text(as_ada, address)
    as_ada.post(address, {"restore": "1"})
    assert PackVersion.objects.get(number=2).state == "published"
    address = f"{PLACE}/versions/v2/withdraw"
    assert "the adapters that it is made of stay" in text(as_ada, address)
    refused = as_ada.post(address, {"reason": "Copied", "name": "v1"})
    assert (refused.status_code, b"exactly" in refused.content) == (400, True)
    as_ada.post(address, {"reason": "Copied", "name": "v2"})
    assert PackVersion.objects.get(number=2).state == "withdrawn"
    for deed in ("yank", "withdraw"):
        refused = as_ada.post(f"{PLACE}/versions/latest/{deed}", {"reason": "x", "name": "v1"})
        assert (refused.status_code, b"Use v1 here" in refused.content) == (400, True)
    as_ada.post(f"{PLACE}/withdraw", {"reason": "Rights", "name": "ada/dusk"})
    assert "Rights" in text(as_ada, PLACE, 410)
    text(as_ada, f"{PLACE}/aliases", 410)


def test_aliases_are_created_moved_and_removed(
    as_ada: Client, client: Client, ada: User, second: PackVersion
) -> None:
    address = f"{PLACE}/aliases"
    as_ada.post(address, {"name": "stable", "to": "v1"})
    page = as_ada.post(
        address, {"name": "stable", "to": "v2", "seen": "v1"}, follow=True
    ).content.decode()
    assert "“stable” now points to v2." in page
    assert "Hugging Face" not in page
    late = as_ada.post(address, {"name": "stable", "to": "v1", "seen": "v1"})
    assert (late.status_code, b"now points to v2" in late.content) == (400, True)
    assert "@stable" in text(as_ada)
    assert "It points to v2 now" in text(as_ada, f"{address}/stable/remove")
    as_ada.post(f"{address}/stable/remove")
    assert not selectors.aliases(second.pack).exists()
    history = text(as_ada, address)
    assert "removed" in history
    assert "Create an alias" in history


def test_others_see_no_deeds_and_are_refused(client: Client, bob: User, dusk: PackVersion) -> None:
    client.force_login(bob)
    page = text(client)
    for word in ("/yank", "/withdraw", "/publish"):
        assert f"{PLACE}{word}" not in page
        assert f"{PLACE}/versions/v1{word}" not in page
    for deed in ("publish", "withdraw", "versions/v1/yank", "versions/v1/withdraw"):
        text(client, f"{PLACE}/{deed}", 403)
    assert "Create an alias" not in text(client, f"{PLACE}/aliases")
    assert client.post(f"{PLACE}/aliases", {"name": "x", "to": "v1"}).status_code == 403


def test_versions_are_listed_by_pages(
    client: Client, ada: User, second: PackVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "VERSIONS_PER_PAGE", 1)
    services.describe(actor=ada, pack=second.pack, title="Dusk")
    first = text(client)
    assert f'href="{PLACE}?v=v2"' in first
    assert f'href="{PLACE}?v=v1"' not in first
    assert 'href="?before=2#versions"' in first
    older = text(client, f"{PLACE}?before=2")
    assert f'href="{PLACE}?v=v1"' in older
    assert "Older versions" not in older
    assert f'href="{PLACE}?v=v2"' in text(client, f"{PLACE}?before=1")
