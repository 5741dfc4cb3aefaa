"""Pages of organisations: one's own, their members, and the administrators' list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from registry.accounts import organisations
from registry.adapters import services as adapters
from registry.models import Namespace, User
from tests import catalogue
from tests.registry.files import LORA

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db
PAGE = "/settings/organisations/studio"


@pytest.fixture
def studio(ada: User) -> Namespace:
    return organisations.create(actor=None, name="studio", admin=ada)


def roles(organisation: Namespace) -> dict[str, str]:
    return {row.user.username: row.role for row in organisations.members(organisation)}


def test_an_administrator_creates_an_organisation(as_operator: Client, ada: User) -> None:
    page = "/operator/organisations"
    assert "There are no organisations yet." in as_operator.get(page).content.decode()
    for data, expected in (
        ({"name": "ada", "admin": "ada"}, "“ada” is taken"),
        ({"name": "studio", "admin": "eve"}, "There is no user “eve”."),
        ({"name": "", "admin": ""}, "This field is required."),
    ):
        answer = as_operator.post(page, data)
        assert answer.status_code == 400
        assert expected in answer.content.decode()
    answer = as_operator.post(page, {"name": "studio", "admin": "Ada"})
    assert answer["Location"] == PAGE
    assert roles(organisations.named("studio")) == {ada.username: "admin"}
    listed = as_operator.get(page).content.decode()
    assert f'href="{PAGE}"' in listed
    assert "no active admin" not in listed
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert "no active admin" in as_operator.get(page).content.decode()


def test_the_list_is_read_page_by_page(as_operator: Client, ada: User) -> None:
    Namespace.objects.bulk_create(
        Namespace(kind="organisation", name=f"o{number:03}", key=f"o{number:03}")
        for number in range(120)
    )
    first = as_operator.get("/operator/organisations")
    assert first.context["following"] == "o099"
    second = as_operator.get("/operator/organisations?after=o099")
    assert [one.name for one in second.context["organisations"]][-1] == "o119"
    assert 'rel="next"' not in second.content.decode()


def test_members_see_their_organisations(
    client: Client, studio: Namespace, ada: User, bob: User
) -> None:
    client.force_login(bob)
    assert "You are not a member" in client.get("/settings/organisations").content.decode()
    assert client.get(PAGE).status_code == 404
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="read")
    assert f'href="{PAGE}"' in client.get("/settings/organisations").content.decode()
    page = client.get(PAGE).content.decode()
    assert "Add a member" not in page
    assert "Leave" in page
    assert "Members</a>" in client.get("/studio").content.decode()


def test_an_admin_adds_changes_and_removes_members(
    client: Client, studio: Namespace, ada: User, bob: User
) -> None:
    client.force_login(ada)
    answer = client.post(PAGE, {"user": "BOB", "role": "write"}, follow=True)
    assert "The role of BOB is saved." in answer.content.decode()
    client.post(PAGE, {"user": "bob", "role": "read"})
    assert roles(studio) == {"ada": "admin", "bob": "read"}
    for data, expected in (
        ({"user": "eve", "role": "read"}, "There is no user “eve”."),
        ({"user": "bob", "role": "king"}, "Select a valid choice."),
        ({"user": "ada", "role": "read"}, "Make another member an admin first."),
    ):
        answer = client.post(PAGE, data)
        assert answer.status_code == 400
        assert expected in answer.content.decode()
    answer = client.post(f"{PAGE}/members/{bob.pk}/remove", follow=True)
    assert "bob is no longer a member." in answer.content.decode()
    assert client.post(f"{PAGE}/members/{bob.pk}/remove").status_code == 404
    answer = client.post(f"{PAGE}/members/{ada.pk}/remove", follow=True)
    assert "needs an admin. Make another member an admin first." in answer.content.decode()
    assert roles(studio) == {"ada": "admin"}


def test_a_member_leaves(client: Client, studio: Namespace, ada: User, bob: User) -> None:
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="write")
    client.force_login(bob)
    assert client.post(PAGE, {"user": "bob", "role": "admin"}).status_code == 403
    answer = client.post(f"{PAGE}/members/{bob.pk}/remove", follow=True)
    assert answer.redirect_chain == [("/settings/organisations", 302)]
    assert roles(studio) == {"ada": "admin"}


def test_a_refused_role_is_reported_above_the_rows(
    client: Client, studio: Namespace, ada: User
) -> None:
    client.force_login(ada)
    answer = client.post(PAGE, {"user": "ada", "role": "read", "row": "1"})
    page = answer.content.decode()
    assert page.index("needs an admin.") < page.index("<table")
    assert not answer.context["form"].is_bound


def test_administrators_change_members_and_quota(
    as_operator: Client, studio: Namespace, bob: User
) -> None:
    assert "Change the quota" in as_operator.get(PAGE).content.decode()
    as_operator.post(PAGE, {"user": "bob", "role": "admin"})
    assert roles(studio) == {"ada": "admin", "bob": "admin"}
    assert as_operator.post(f"{PAGE}/quota", {"size": "much"}).status_code == 400
    as_operator.post(f"{PAGE}/quota", {"size": "5 GB"})
    studio.refresh_from_db()
    assert studio.quota_bytes == 5 * 10**9
    assert as_operator.get("/settings/organisations/bob").status_code == 404


def test_a_member_publishes_under_the_organisation(
    client: Client, studio: Namespace, ada: User, bob: User
) -> None:
    client.force_login(bob)
    upload = catalogue.accept(bob, LORA)
    page = f"/publish?upload={upload.public_id}"
    assert 'name="owner"' not in client.get(page).content.decode()
    organisations.set_role(actor=ada, organisation=studio, user=bob, role="write")
    assert '<option value="studio">studio</option>' in client.get(page).content.decode()
    note = client.get("/publish/name?name=ink&owner=studio").content.decode()
    assert note == "Available: the address will be /studio/ink."
    form = {
        "upload": upload.public_id, "owner": "studio", "name": "ink", "title": "Ink",
        "kind": "style", "maturity": "general", "visibility": "public",
    }  # fmt: skip
    assert client.post("/publish", {**form, "owner": "ada"}).status_code == 400
    answer = client.post("/publish", form)
    assert answer["Location"] == "/studio/ink"
    assert studio.adapters.get().latest_version
    assert not bob.namespace.adapters.exists()
    note = client.get("/publish/name?name=ink&owner=studio").content.decode()
    assert note.startswith("This adapter exists: the file becomes a new version after v1.")
    assert "Available" in client.get("/publish/name?name=ink").content.decode()


def test_a_mix_is_saved_as_a_pack_of_the_organisation(
    client: Client, studio: Namespace, ada: User
) -> None:
    adapter = adapters.create(actor=ada, name="noir")
    catalogue.release(adapter, LORA)
    client.force_login(ada)
    place = "/mixer/pack?layer=ada/noir@v1"
    assert '<option value="studio">studio</option>' in client.get(place).content.decode()
    assert client.post(place, {"title": "Dusk", "owner": "bob"}).status_code == 400
    answer = client.post(place, {"title": "Dusk", "owner": "studio"})
    assert answer["Location"] == "/packs/studio/Dusk"
    assert studio.packs.get().latest_version
